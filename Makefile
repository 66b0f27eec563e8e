# You need python3 (3.11 or later, with venv), make, and access to PyPI. Everything else goes into .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo lint format test test-pythons test-all bench bench-class bench-flags bench-training notebooks notebooks-check pictures site \
	wheel \
	reference demonstrations check-wheels lock clean

PYTHON ?= python3
# Of which Python .venv is, if the command line names one of another version: it is then made again.
ifeq ($(origin PYTHON),command line)
OTHER := $(shell .venv/bin/python -V 2>/dev/null | grep -vxF "$$($(PYTHON) -V 2>/dev/null)")
endif
ifneq ($(OTHER),)
.PHONY: .venv/.kit
endif
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Idle threads sleep. Otherwise, on a busy machine, torch's threads would spin and delay each other.
export OMP_WAIT_POLICY = PASSIVE

# nbgrader calls `alembic` by its name only, so .venv/bin must be on the PATH.
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" python

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name what; do printf '  make %-16s %s\n' "$$name" "$$what"; done

setup: .venv/.kit  ## make the environment, .venv (the targets below do this when necessary); TORCH=cpu or pypi

demo: .venv/.kit  ## make a course with two assignments and six students, and grade them (no network)
	$(RUN) -m score demo

lint: .venv/.kit  ## check format, lint, types, direction of imports and sizes; changes nothing
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check
	$(RUN) -m mypy
	.venv/bin/lint-imports --no-logo
	$(RUN) -m pytest -q --noconftest tests/test_house.py

format: .venv/.kit  ## format the code, and apply ruff's fixes
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

test: .venv/.kit  ## run the tests except the long ones
	$(RUN) -m pytest -q -n 3 --dist worksteal

test-pythons:  ## set up, and run demo and tests, on each Python from 3.11 to 3.13 that is found, in .venv-3.11 …
	$(PYTHON) .ci/pythons.py

test-all: .venv/.kit  ## run all tests
	$(RUN) -m pytest -q -m ''

bench: .venv/.kit .venv-peer/.peer  ## measure the speed, and gym-pusht's in the same run
	$(RUN) -m benchmarks

bench-class: .venv/.kit  ## measure how fast a class is graded, and the cost beyond the rollouts (half an hour)
	$(RUN) -m benchmarks.grading

bench-flags: .venv/.kit  ## count the flags on honest policies of Part IV
	$(RUN) -m benchmarks.flags

bench-training: .venv/.kit  ## measure how much faster networks train than with the notebooks' steps alone
	$(RUN) -m benchmarks.training

notebooks: .venv/.kit  ## build the students' notebooks from notebooks/source
	$(RUN) -m score.course.notebooks.build

notebooks-check: .venv/.kit  ## fail if a built notebook is out of date
	$(RUN) -m score.course.notebooks.build --check

pictures: .venv/.kit  ## make the README's pictures, with chromium; grades the demo on the way
	$(RUN) tests/pictures.py

site: .venv/.docs  ## build the site: chapters, guides, API reference; in build/site, without a network
	$(RUN) .ci/site/run_chapters.py
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

wheel: .venv/.kit  ## build the package: dist/pusht_course_kit-….whl
	rm -rf build/lib build/bdist.*
	$(RUN) -m pip wheel -q --no-deps --no-build-isolation --wheel-dir dist .

reference: .venv/.kit  ## train the reference solutions on the shipped demonstrations; write losses/ and data/reference/
	$(RUN) -m score.course.tools.reference

demonstrations: .venv/.kit  ## make the shipped demonstrations again
	$(RUN) -m score.course.tools.demonstrations

check-wheels: .venv/.kit  ## check that every requirement has a wheel for 3.11, 3.12, 3.13 and fits Colab (network)
	$(RUN) .ci/check_wheels.py

lock: .venv/.kit  ## write requirements.lock with the newest versions (network)
	$(RUN) .ci/lock.py

clean:  ## remove caches and build files, but not the environments
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path './.venv*' -prune -o -path ./.git -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

# The stamp is written last, so an interrupted installation is repeated.
.venv/.kit: requirements.lock pyproject.toml setup.py .ci/environment.py
	@rm -f $@
	@$(usable-venv)
	@.venv/bin/python .ci/environment.py
	@touch $@

# The packages that build the site are not in the lock, because grading does not need them.
.venv/.docs: .venv/.kit
	@rm -f $@
	.venv/bin/python -m pip install -q -c requirements.lock --no-build-isolation -e '.[docs]'
	@touch $@

# gym-pusht needs pymunk<7 and the kit pymunk 7, so it has its own environment, otherwise with the same versions.
.venv-peer/.peer: requirements.lock
	@rm -f $@
	@$(usable-venv)
	.venv-peer/bin/python -m pip install -q gym-pusht==0.1.8 $$(grep -E '^(torch|numpy|pygame|shapely|gymnasium)==' requirements.lock)
	@touch $@

# Make the environment $(@D), and make it again if its Python is missing, too old or another one.
define usable-venv
$(if $(OTHER),false,:) && $(@D)/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This kit needs Python 3.11 or later, but '$(PYTHON)' is older or missing; choose another: make PYTHON=python3.12 …" >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv; on Debian and Ubuntu, install the package python3-venv" >&2; exit 1; }; \
	$(PYTHON) -m venv --clear $(@D); }
endef
