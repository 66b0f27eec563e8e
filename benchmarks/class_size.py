"""What a class's size costs beside its grading: `python -m benchmarks.class_size 1000`.

Everybody hands in Part I by Canvas, and the grading is stood in by results that are written at
once. Printed are CPU seconds a student of each step, the largest memory and the size of the pages.
"""

import argparse
import resource
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nbformat

from score import rubric
from score.course.class_run import records
from score.course.collect.collect import collect
from score.course.grading import results
from score.course.nbgrader import configuration, gradebook
from score.course.nbgrader.release import create
from score.course.notebooks.build import answered_notebook
from score.course.settings import Course, open_course
from score.submission.failures import Failures

PART = rubric.PARTS["part1_mlp"]


@contextmanager
def timed(step: str, students: int) -> Iterator[None]:
    """Print what a step costs."""
    start = time.process_time()
    yield
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{step:<22} {1000 * seconds / students:8.2f} ms a student {peak:8.0f} MB at most",
        flush=True,
    )


def hand_in(course: Course, students: int) -> Path:
    """Write the roster, and an export in which everybody but every hundredth handed in; return the
    export's path. No two notebooks are the same.
    """
    people = [(f"Student {n}", 10_000 + n) for n in range(students)]
    lines = [f'"{name}",{number},s{number},01' for name, number in people]
    head = "Student,ID,SIS Login ID,Section"
    (course.folder / "roster.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    notebook, path = answered_notebook(PART), course.folder / "export.zip"
    source = nbformat.writes(notebook)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, number in people:
            if number % 100:
                own = source.replace("return loss", f"return loss + 0 * {number}")
                file = f"{name.lower().replace(' ', '')}_{number}_{number}_Untitled.ipynb"
                archive.writestr(file, own)
    return path


def grade(course: Course, student: str, number: int) -> None:
    """Write a result in place of a grading."""
    result = results.ungraded(student, PART.name, f"Wrong by {number % 97}.", "key")
    cells = {
        name: replace(cell, points=cell.max_points * (number % 11) / 10)
        for name, cell in result.cells.items()
    }
    results.save(replace(result, cells=cells, missing=""), course.folder / "results")


def measure(students: int) -> None:
    """Print the table for a class of a size."""
    folder = Path(tempfile.mkdtemp(prefix="class-"))
    try:
        course = create(folder / "course")
        path, failures = hand_in(course, students), Failures()
        course = open_course(course.folder)
        with timed("collect", students):
            collect(course, path, failures=failures)
        with timed("collect again", students):
            collect(course, path, failures=failures)
        config = configuration.read(course.folder)
        with gradebook.open_gradebook(course) as book:
            gradebook.complete(book, course)
            with timed("results", students):
                for number, student in enumerate(course.students()):
                    grade(course, student, number)
            with timed("gradebook, feedback", students):
                for student in course.students():
                    records.conclude(course, book, student, failures, config)
            with timed("table and report", students):
                records.write_class(course, book, failures)
        assert not failures, [*failures][:3]
        pages = [*course.folder.glob("report*/*.html"), *course.folder.glob("*.html")]
        largest = max(pages, key=lambda page: page.stat().st_size)
        size = largest.stat().st_size / 2**20
        print(f"largest page: {largest.relative_to(course.folder)}, {size:.2f} MB of {len(pages)}")
        print(f"grades.csv: {(course.folder / 'grades.csv').stat().st_size / 2**20:.2f} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure a class of the size that the command line gives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("students", nargs="?", type=int, default=1000, help="how many (1000)")
    measure(parser.parse_args().students)


if __name__ == "__main__":
    main()
