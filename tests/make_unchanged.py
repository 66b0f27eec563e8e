"""What students see, which changes only on purpose: computed anew.

    python tests/make_unchanged.py [verdicts] [files] [demo]

writes tests/unchanged/verdicts.json, files.json, and demo.json with demo.txt, all of them where
none is named, and says what has changed. A name that begins with a colon takes a demo that has
run: `:FOLDER` is what `python -m score demo --folder FOLDER > FOLDER/told.txt` left behind.
tests/test_unchanged.py and tests/test_documentation.py compare with these files.
"""

import contextlib
import importlib
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
HERE = Path(__file__).with_name("unchanged")
PARTS = ("mlp", "cvae", "ddpm", "flow", "extensions", "otherwise")
PRACTICE, SEEDS = "practice", ("10000", "20007", "987654321")  # seeds of three courses
# Rows whose numbers differ from run to run; of them the words alone are compared.
IRREPRODUCIBLE = frozenset()
# What no student gets, neither in the bundle nor in the box.
KEPT_BACK = ("score/course/", "notebooks/source/", "tests/", "data/reference/", "docs/")


# Verdicts.


def rows():
    """Each answer as (key, question, answer); keys are "Q1.1, wrong, ends swapped"."""
    for part in PARTS:
        tables = importlib.import_module(f"answers.{part}")
        for kind, of_kind in (("right", tables.RIGHT), ("wrong", tables.WRONG)):
            for question, table in of_kind.items():
                for row in table:
                    yield f"{question}, {kind}, {row.id}", question, row.answer


def recorded(seeds=(PRACTICE, *SEEDS), every=1):
    """{key of an answer: {seed: [points, sentence]}}: each answer, or one of `every`, in practice
    and in class.

    Extensions are looked at in practice alone; theirs is 1 point where they are right.
    """
    found = {}
    with _on_its_own():
        for key, question, answer in [*rows()][::every]:
            those = [seed for seed in seeds if seed == PRACTICE or question[0] == "Q"]
            found[key] = {seed: verdict_on(question, answer, seed) for seed in those}
    return found


def verdict_on(question, answer, seed):
    """[points, sentence] of an answer; what it draws without a seed of its own is the same."""
    from wire import checked

    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    try:
        verdict = checked(question, answer, None if seed == PRACTICE else seed)
    finally:
        torch.set_grad_enabled(True)
    points = verdict.points if verdict.right is None else float(verdict.right)
    return [points, verdict.sentence]


@contextlib.contextmanager
def _on_its_own():
    """No output, no warnings, one thread, and a folder for what checks leave behind."""
    threads, before = torch.get_num_threads(), Path.cwd()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
            torch.set_num_threads(threads)


_SCORE = re.compile(
    r"Score ([\d.]+) over (\d+) episodes \(95 % interval ([\d.]+) to ([\d.]+),"
    r" in points ([\d.]+) to ([\d.]+)\), (\d+)% of them solved"
)
_APART = (0.05, 0, 0.1, 0.1, 0.5, 0.5, 5)  # how far these numbers may be from the recorded ones
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|0x[0-9a-f]{6,}")


def same_words(one, other):
    """Whether two sentences are the same but for their numbers."""
    return _NUMBER.sub("#", one) == _NUMBER.sub("#", other)


def same_sentence(one, other):
    """Whether two sentences are the same, but for the fourth digit of their numbers.

    Whole numbers of up to three digits, as in shapes and steps, are the same in both. What policies
    did may differ a little: another processor adds floats in another order, and what a policy does
    after a contact goes by the last digit.
    """
    if not same_words(one, other):
        return False
    scores = [_SCORE.search(sentence) for sentence in (one, other)]
    if all(scores):
        pairs = zip(*(map(float, score.groups()) for score in scores), _APART, strict=True)
        if any(abs(a - b) > apart for a, b, apart in pairs):
            return False
        one, other = (_SCORE.sub("", sentence) for sentence in (one, other))
    return all(map(_same_number, _NUMBER.findall(one), _NUMBER.findall(other)))


def _same_number(one, other):
    if one == other or (one.startswith("0x") and other.startswith("0x")):
        return True
    if one.lstrip("-").isdigit() and other.lstrip("-").isdigit() and len(one) < 4:
        return False
    return math.isclose(float(one), float(other), rel_tol=5e-3, abs_tol=1e-6)


def verdicts_changed(kept, found):
    """Sentences on the rows of `found` that differ from those of `kept`."""
    said = []
    for key, by_seed in found.items():
        for seed, (points, sentence) in by_seed.items():
            if seed not in kept.get(key, {}):
                said.append(f"{key}, {seed}: it is new.")
                continue
            before = kept[key][seed]
            same = same_words if key in IRREPRODUCIBLE else same_sentence
            if points != before[0] or not same(before[1], sentence):
                said.append(
                    f"{key}, {seed}:\n   {before[0]:g} points. {before[1]}\n"
                    f"   {points:g} points. {sentence}  <- now"
                )
    return said + [f"{key}: it is gone." for key in kept if key not in found]


# Files.


def is_module(name):
    """Whether a file is a Python module of the kit; those may be renamed."""
    return name.endswith(".py") and name.startswith(("pusht/", "score/"))


def modules(course=False):
    """Names of all modules of pusht and score; course: with the instructor's part."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("pusht", "score")
        for path in (ROOT / package).rglob("*.py")
    }
    return {name for name in found if course or not name.startswith("score/course/")}


def patterns():
    """({what is packed by it: globs of the kit's files}, beginnings of names left out)."""
    from score.course.gradescope import build as gradescope
    from score.course.notebooks import bundle

    return {"bundle": bundle._BUNDLED, "gradescope": gradescope._KIT}, bundle._LEFT_OUT


def files_of(course, folder):
    """{place: the sorted names of all files there} of a course that has been released."""
    from score.course.gradescope import build as gradescope
    from score.course.settings import ASSIGNMENT

    bundle = course.folder / "bundle" / "pusht-kit.zip"
    release = course.folder / "release" / ASSIGNMENT
    return {
        "bundle": names_in(bundle),
        "release": _below(release),
        "box": kit_in_box(folder / "box"),
        "gradescope": names_in(gradescope.build(course, folder / "gradescope.zip")),
        "hand-in": names_in(handed_in(folder / "hand_in")),
    }


def names_in(path):
    """The sorted names of a zip's files."""
    with zipfile.ZipFile(path) as archive:
        return sorted(archive.namelist())


def _below(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def kit_in_box(folder):
    """The kit's files that a box has where the student's kernel runs as a user of its own."""
    from score.course.sandbox import levels

    folder.mkdir(parents=True)
    levels._copy_for_all(folder / "kit")
    return _below(folder / "kit")


def kit_seen_in_box(folder):
    """The kit's files that a program sees in this machine's strictest box; None without walls."""
    from score.course.sandbox import levels

    level = levels.strictest()
    if not level.bubblewrap:
        return None
    folder.mkdir(parents=True)
    look = (
        "import os; kit = os.environ['PYTHONPATH']\n"
        "for at, _, names in os.walk(kit):\n"
        "    for name in names: print(os.path.relpath(os.path.join(at, name), kit))"
    )
    command = levels.sandboxed([sys.executable, "-c", look], levels.prepare(folder, level), level)
    told = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout
    return sorted(name for name in told.splitlines() if "__pycache__" not in name)


def handed_in(folder):
    """The zip that is made of a folder with all that is wanted and some that is not."""
    from test_submission import laid_out, whole

    from score import rubric
    from score.submission.pack import pack

    files = {name: content for part in rubric.PARTS for name, content in whole(part).items()}
    others = (
        "part1_mlp.resume.pt",
        "notes.txt",
        "standing.json",
        "deep/part1_mlp.ipynb",
        ".ipynb_checkpoints/part1_mlp.ipynb",
        "mse_vis.mp4",
        "part1_mlp_loss.json",
    )
    path, _ = pack(laid_out(folder, files | dict.fromkeys(others, b"x")))
    return path


def kept_of(files):
    """Of `files_of` what is kept: the names of all files but the kit's modules."""
    return {
        place: [name for name in names if not is_module(name.removeprefix("kit/"))]
        for place, names in files.items()
    }


def made_course(folder):
    """A released course and its `files_of`."""
    from score.course.nbgrader.release import create

    course = create(folder / "course", first_seed=20_000, episodes=2)
    return course, files_of(course, folder)


# The demo.


def ran_demo(folder):
    """Run `make demo`'s command in a folder; return what it printed."""
    command = [sys.executable, "-m", "score", "demo", "--folder", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def cells_of(course_folder):
    """{student: {part: {cell: [name, points, max_points, sentence]}}} of a graded course."""
    found = {}
    for path in sorted(Path(course_folder, "results").glob("*/*.json")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found.setdefault(path.parent.name, {})[path.stem] = {
            cell: [told["name"], told["points"], told["max_points"], told["sentence"]]
            for cell, told in cells.items()
        }
    return found


def steady(told, folder):
    """What the demo printed, without what differs from run to run."""
    told = told.replace(str(Path(folder).resolve()), "FOLDER")
    told = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", told)
    return [
        line
        for line in map(str.rstrip, told.splitlines())
        if not line.startswith(("Isolation: ", "Graded in ", "All done in "))
        and not line.endswith(("notebook]", "notebook/s]"))  # the progress bar goes by time
    ]


def table_of(told):
    """The printed table: {student: {cell: points as text}}, with a row "of" for the full points,
    and {"reason": why} of a student who has nothing to grade.
    """
    lines = told.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("student "))
    end = next(i for i, line in enumerate(lines) if i > start and line.startswith("of "))
    columns, found = [*re.finditer(r"(?<= )\S+", lines[start])], {}
    first = columns[0].start() - 2  # names are to the left, and may have spaces in them
    for line in lines[start + 2 : end + 1]:
        whole = len(line) == len(lines[start])  # otherwise a reason stands in place of points
        begins = [first, *(each.end() for each in columns)]
        points = {each[0]: line[begin : each.end()].strip() for each, begin in zip(columns, begins)}
        found[line[:first].strip()] = points if whole else {"reason": line[first:].strip()}
    return found


def demo_of(folder, told):
    """What is kept of a demo: the printed table and each result's cells."""
    return {"table": table_of(told), "cells": cells_of(Path(folder) / "course")}


def demo_changed(folder, told):
    """Sentences on what a demo that has run does otherwise than the kept one."""
    kept, found = read("demo"), demo_of(folder, told)
    said = []
    for student in {**kept["table"], **found["table"]}:
        one, other = kept["table"].get(student), found["table"].get(student)
        if one != other:
            said.append(f"table, {student}: {one}\n   {other}  <- now")
    before, now = _flat(kept["cells"]), _flat(found["cells"])
    for key in {**before, **now}:
        one, other = before.get(key), now.get(key)
        if not (
            one
            and other
            and one[0] == other[0]
            and one[2] == other[2]
            and math.isclose(one[1], other[1], abs_tol=0.005)
            and same_sentence(one[3], other[3])
        ):
            said.append(f"{key}: {one}\n   {other}  <- now")
    lines = (HERE / "demo.txt").read_text(encoding="utf-8").splitlines()
    other = steady(told, folder)
    if len(lines) != len(other):
        said.append(f"demo.txt: {len(lines)} lines were printed, now {len(other)}.")
    return said + [
        f"demo.txt: {one}\n   {line}  <- now"
        for one, line in zip(lines, other)
        if not same_sentence(one, line)
    ]


def _flat(cells):
    return {
        f"{student}, {part}, {cell}": told
        for student, parts in cells.items()
        for part, those in parts.items()
        for cell, told in those.items()
    }


# What is kept.


def read(name):
    """What tests/unchanged/NAME.json keeps; {} where it is not there."""
    path = HERE / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(name, value):
    text = json.dumps(value, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", _on_one_line, text)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _on_one_line(found):
    """A list of numbers and one sentence takes one line; a list of names keeps a line each."""
    entries = re.split(r",\n\s+", found[1])
    return (
        found[0]
        if all(entry.startswith('"') for entry in entries) and len(entries) != 2
        else "[" + ", ".join(entries) + "]"
    )


def main(*wanted):
    ready = [name[1:] for name in wanted if name.startswith(":")]
    wanted = [name for name in wanted if name[0] != ":"] or (["demo"] if ready else [])
    HERE.mkdir(exist_ok=True)
    for name in wanted or ("verdicts", "files", "demo"):
        if name == "verdicts":
            kept, found = read(name), recorded()
            said = verdicts_changed(kept, found)
        elif name == "files":
            with tempfile.TemporaryDirectory() as folder:
                kept, found = read(name), kept_of(made_course(Path(folder))[1])
            said = [
                f"{place}: {sorted({*kept.get(place, ())} ^ {*names})}"
                for place, names in found.items()
                if kept.get(place) != names
            ]
        else:
            with tempfile.TemporaryDirectory() as folder:
                folder = ready[0] if ready else folder
                told = (
                    Path(folder, "told.txt").read_text(encoding="utf-8")
                    if ready
                    else ran_demo(folder)
                )
                said = demo_changed(folder, told) if read(name) else ["It is new."]
                found = demo_of(folder, told)
                text = "\n".join(steady(told, folder)) + "\n"
            (HERE / "demo.txt").write_text(text, encoding="utf-8")
        write(name, found)
        for sentence in said if len(said) < 200 else [f"{len(said)} changes"]:
            print(f"{name}: {sentence}")
        print(f"{name}: {len(said)} changed, {len(found)} entries are written.")


if __name__ == "__main__":
    main(*sys.argv[1:])
