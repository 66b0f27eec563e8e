# Needs python3 (3.11 or later, with venv), make, and PyPI; everything else goes into .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo lint format test test-all bench bench-class notebooks notebooks-check docs wheel \
	reference demonstrations check-wheels lock clean

PYTHON ?= python3
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Idle threads give way. On a busy machine torch's threads would otherwise wait for each other.
export OMP_WAIT_POLICY = PASSIVE

# nbgrader calls alembic by its bare name, so .venv/bin is on the PATH of whatever runs in it.
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" python

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name what; do printf '  make %-16s %s\n' "$$name" "$$what"; done

setup: .venv/.kit  ## the environment, .venv (the targets below make it when they need it)

demo: .venv/.kit  ## a course from start to end: six submissions, graded (no network)
	$(RUN) -m score demo

lint: .venv/.kit  ## format, lint, types, the direction of imports, sizes; changes nothing
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check
	$(RUN) -m mypy
	.venv/bin/lint-imports --no-logo
	$(RUN) -m pytest -q --noconftest tests/test_house.py

format: .venv/.kit  ## format the code, and fix what ruff can fix
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

test: .venv/.kit  ## the tests, without the long ones
	$(RUN) -m pytest -q

test-all: .venv/.kit  ## all the tests
	$(RUN) -m pytest -q -m ''

bench: .venv/.kit .venv-peer/.peer  ## speed, beside gym-pusht's in the same run
	$(RUN) -m benchmarks

bench-class: .venv/.kit  ## how fast a class is graded, and what that costs beyond the rollouts (half an hour)
	$(RUN) -m benchmarks.grading

notebooks: .venv/.kit  ## build the students' notebooks from notebooks/source
	$(RUN) -m score.course.notebooks.build

notebooks-check: .venv/.kit  ## fail when a built notebook is stale
	$(RUN) -m score.course.notebooks.build --check

docs: .venv/.docs  ## the API reference and the guides as a site: build/site
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

wheel: .venv/.kit  ## the package: dist/pusht_course_kit-….whl
	rm -rf build/lib build/bdist.*
	$(RUN) -m pip wheel -q --no-deps --no-build-isolation --wheel-dir dist .

reference: .venv/.kit  ## train the reference solutions on the shipped demonstrations: losses/shipped and the checkpoints
	$(RUN) -m score.course.tools.reference

demonstrations: .venv/.kit  ## make the shipped demonstrations again
	$(RUN) -m score.course.tools.demonstrations

check-wheels: .venv/.kit  ## every requirement has a wheel for 3.11, 3.12, 3.13 and fits Colab (network)
	$(RUN) .ci/check_wheels.py

lock: .venv/.kit  ## write requirements.lock with today's versions (network)
	$(RUN) .ci/lock.py

clean:  ## remove caches and build leftovers; the environments stay
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path './.venv*' -prune -o -path ./.git -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

# The stamp is written last, so an interrupted install is done again.
.venv/.kit: requirements.lock pyproject.toml setup.py
	@rm -f $@
	@$(usable-venv)
	.venv/bin/python -m pip install -q -r requirements.lock
	.venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# What builds the site. The lock does not have it: no machine that grades needs it.
.venv/.docs: .venv/.kit
	@rm -f $@
	.venv/bin/python -m pip install -q -c requirements.lock --no-build-isolation -e '.[docs]'
	@touch $@

# gym-pusht needs pymunk<7 and the kit pymunk 7: it has its own environment, otherwise with the same versions.
.venv-peer/.peer: requirements.lock
	@rm -f $@
	@$(usable-venv)
	.venv-peer/bin/python -m pip install -q gym-pusht==0.1.8 $$(grep -E '^(torch|numpy|pygame|shapely|gymnasium)==' requirements.lock)
	@touch $@

# Makes the environment $(@D), and makes it again when its Python is gone or too old.
define usable-venv
$(@D)/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This kit needs Python 3.11 or later, and '$(PYTHON)' is not one; name one: make PYTHON=python3.12 …" >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' comes without venv; on Debian and Ubuntu it is the package python3-venv" >&2; exit 1; }; \
	$(PYTHON) -m venv --clear $(@D); }
endef
