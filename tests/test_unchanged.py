"""What students see stays as it was: verdicts, the files they get, and what the demo gives.

The record is in tests/unchanged/; `python tests/make_unchanged.py` writes it again and prints what
changed.
"""

import os
import subprocess
import sys
import zipfile

import make_unchanged as made
import pytest

SCORE = (
    "Score 0.729 over 175 episodes (95 % interval 0.63 to 0.81, in points 1.82 to 2.00), 23% of"
    " them solved; 0.66 earns all points, 0.28 none."
)


@pytest.mark.parametrize(
    "seeds, every",
    [
        pytest.param((made.PRACTICE, made.SEEDS[0]), 5, id="a fifth"),
        pytest.param((made.PRACTICE, *made.SEEDS), 1, id="all", marks=pytest.mark.long),
    ],
)
def test_each_answer_earns_the_points_and_the_sentence_that_it_did(seeds, every):
    found = made.recorded(seeds, every)
    kept = {key: verdicts for key, verdicts in made.read("verdicts").items() if key in found}
    changed = made.verdicts_changed(kept, found)
    assert not changed, f"{len(changed)} verdicts are others:\n" + "\n".join(changed)


def test_each_answer_has_a_key_of_its_own_that_is_kept():
    keys = [key for key, _, _ in made.rows()]
    assert sorted(keys) == sorted(made.read("verdicts")) and len(keys) == len(set(keys))
    assert set(keys) >= made.IRREPRODUCIBLE


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("the loss is 0.123456", "the loss is 0.123457", True),
        ("the loss is 0.123456", "the loss is 0.125", False),
        ("the loss is 6", "the loss is 5.99999", True),
        ("of shape (2, 16)", "of shape (2, 17)", False),
        ("Q1.2: 1.00", "Q1.3: 1.00", False),
        (SCORE, SCORE.replace("0.729", "0.712").replace("23%", "24%"), True),
        (SCORE, SCORE.replace("0.729", "0.512"), False),
        (SCORE, SCORE.replace("175", "150"), False),
        (SCORE, SCORE.replace("0.66", "0.68"), False),
        ("square first", "half of it", False),
        ("exp(logvar / 2)", "exp(logvar / 4)", False),
    ],
)
def test_sentences_are_the_same_but_for_the_last_digits(one, other, same):
    assert made.same_sentence(one, other) == made.same_sentence(other, one) == same


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A released course, and {place: the names of its files}."""
    return made.made_course(tmp_path_factory.mktemp("unchanged"))


@pytest.mark.parametrize("place", ["bundle", "release", "box", "gradescope", "hand-in"])
def test_the_files_are_those_that_they_were(course, place):
    assert made.kept_of(course[1])[place] == made.read("files")[place]


@pytest.mark.parametrize("place", ["bundle", "box"])
def test_students_get_every_module_but_the_instructors_and_nothing_of_the_instructors(
    course, place
):
    names = course[1][place]
    assert {name for name in names if made.is_module(name)} == made.modules()
    assert not [name for name in names if name.startswith(made.KEPT_BACK)]
    assert all((made.ROOT / name).is_dir() for name in made.KEPT_BACK)


def test_the_autograder_has_every_module(course):
    names = {name.removeprefix("kit/") for name in course[1]["gradescope"]}
    assert {name for name in names if made.is_module(name)} == made.modules(course=True)
    assert not [name for name in names if name.startswith(("tests/", "docs/", "data/reference/"))]


def test_a_program_in_the_box_sees_the_same_files(course, tmp_path):
    seen = made.kit_seen_in_box(tmp_path / "seen")
    if seen is None:
        pytest.skip("needs bubblewrap")
    assert seen == course[1]["box"]


def test_each_pattern_of_what_is_packed_matches_a_file():
    included, left_out = made.patterns()
    for place, globs in included.items():
        for pattern in globs:
            found = [path for path in made.ROOT.glob(pattern) if path.is_file()]
            assert found, f"{place}: {pattern} matches no file"
    for beginning in left_out:
        found = [
            path
            for pattern in included["bundle"]
            for path in made.ROOT.glob(pattern)
            if path.relative_to(made.ROOT).as_posix().startswith(beginning)
        ]
        assert found, f"{beginning} leaves nothing out"


@pytest.mark.parametrize("place", ["bundle", "box"])
def test_what_students_get_is_imported_on_its_own(course, tmp_path, place):
    """All its modules, in a process that sees nothing else of the kit."""
    if place == "bundle":
        kit = tmp_path / "kit"
        with zipfile.ZipFile(course[0].folder / "bundle" / "pusht-kit.zip") as archive:
            archive.extractall(kit)
    else:
        made.kit_in_box(tmp_path / "box")
        kit = tmp_path / "box" / "kit"
    program = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import pusht, score
names = [found.name for package in (pusht, score)
         for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    assert importlib.import_module(name).__file__.startswith(sys.argv[1]), name
print(len(names))
assert not [name for name in sys.modules if name.startswith("score.course")]
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(kit)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(made.modules()) - 2


@pytest.mark.long
def test_the_demo_prints_the_same_table_and_gives_the_same_reasons(tmp_path):
    printed = made.ran_demo(tmp_path)
    changed = made.demo_changed(tmp_path, printed)
    assert not changed, "The demo has changed (tests/make_unchanged.py):\n" + "\n".join(changed)
