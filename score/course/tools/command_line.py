"""The instructors' commands of `python -m score`: course, gradescope, demo.

Students' kits do not have them. What a command needs is imported when it runs.
"""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score.plain import plain, plain_line
from score.rubric import PARTS

if TYPE_CHECKING:  # argparse has no public name for it, and none to subscript when it runs
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[ArgumentParser]

_LISTED_STUDENTS = 10  # reasons are printed for at most this many; report.html has them all


def add_commands(commands: "Commands") -> None:
    """Add the instructors' commands to a parser's."""
    text = "make, release and grade a course (needs the extra `instructor`)"
    course = commands.add_parser("course", help=text)
    _add_course(course.add_subparsers(dest="action", required=True))
    text = "Gradescope's autograder (needs the extra `instructor`)"
    gradescope = commands.add_parser("gradescope", help=text)
    _add_gradescope(gradescope.add_subparsers(dest="action", required=True))
    text = "make a course with two assignments and six students, and grade them"
    demo = _add(commands, "demo", _demo, text)
    text = "folder of the course (default: build/demo)"
    demo.add_argument("--folder", default="build/demo", help=text)


def _add(
    commands: "Commands", name: str, run: Callable[[Namespace], Any], text: str
) -> ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.set_defaults(run=run)
    return command


def _add_course(actions: "Commands") -> None:
    create = _add(actions, "create", _create, "make a course for nbgrader in a new folder")
    create.add_argument("folder")
    create.add_argument(
        "--bundle",
        default="",
        help="address where students get the release bundle (course.toml keeps it)",
    )
    create.add_argument(
        "--first-seed", type=int, help="first of the held-out seeds (default: drawn)"
    )
    create.add_argument("--episodes", type=int, help="most episodes of a policy (default: 8000)")
    text = "build the notebooks, nbgrader's release and the students' bundle again"
    release = _add(actions, "release", _release, text)
    release.add_argument("folder")
    text = "say all that is wrong in a course's folder, from course.toml to its release"
    _add(actions, "check", _check_course, text).add_argument("folder")
    _add_collect(actions)
    _add_grade(actions)
    _add_export(actions)
    hub = _add(actions, "hub", _hub, "write the configuration with which a JupyterHub serves it")
    hub.add_argument("folder")
    hub.add_argument("--exchange", help="nbgrader's exchange (default: nbgrader's own)")
    text = "user of the hub who may grade; repeat for several"
    hub.add_argument("--grader", action="append", default=[], metavar="USER", help=text)


def _add_collect(actions: "Commands") -> None:
    collect = _add(
        actions,
        "collect",
        _collect,
        "take submissions out of an LMS export, a zip or a folder, and repair their notebooks",
    )
    collect.add_argument("folder")
    text = (
        "zip or folder, as exported by Blackboard, Brightspace, Canvas, GitHub Classroom, Google"
        " Classroom, Gradescope, Moodle, Sakai or Teams, or with a folder, a zip or a tar for each"
        " student, or with files STUDENT_part1_mlp.ipynb"
    )
    collect.add_argument("export", help=text)
    text = "regular expression with a group `student`, matched from the start of each path"
    collect.add_argument("--pattern", help=text)
    text = "Moodle's grading worksheet of the assignment, which says who handed in and when"
    collect.add_argument("--worksheet", metavar="FILE", type=Path, help=text)
    collect.add_argument(
        "--preview", action="store_true", help="list what would be collected, and write nothing"
    )


def _add_grade(actions: "Commands") -> None:
    text = "grade every notebook in submitted/ that is new or has changed"
    grade = _add(actions, "grade", _grade, text)
    grade.add_argument("folder")
    grade.add_argument("--student", action="append", help="only this student; repeat for several")
    grade.add_argument(
        "--part", action="append", choices=PARTS, help="only this notebook; repeat for several"
    )
    grade.add_argument(
        "--jobs",
        type=_count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="number of notebooks graded at a time (default: one per core)",
    )
    grade.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="use the workers of this Dask scheduler (needs the extra `cluster`)",
    )


def _add_export(actions: "Commands") -> None:
    text = "write the grades and the feedback as an LMS takes them"
    export = _add(actions, "export", _export, text)
    export.add_argument("folder")
    export.add_argument("out", nargs="?", help="folder to write (default: export/SYSTEM in it)")
    export.add_argument(
        "--to", required=True, choices=("canvas", "moodle", "brightspace", "csv"), help="the LMS"
    )
    text = "the only assignment to export (default: all)"
    export.add_argument("--assignment", metavar="NAME", help=text)
    export.add_argument(
        "--gradebook",
        metavar="FILE",
        help="what the LMS exported, whose ids and columns are taken (default: the roster)",
    )


def _add_gradescope(actions: "Commands") -> None:
    build = _add(actions, "build", _build_autograder, "make the autograder's zip for a course")
    build.add_argument("folder")
    build.add_argument(
        "--out",
        metavar="FILE",
        help="path of the zip (default: gradescope.zip in the course's folder)",
    )
    text = "name of the assignment, where the course has several (default: a zip for each)"
    build.add_argument("--assignment", metavar="NAME", help=text)
    for name, default, text in (
        ("--episodes", 8000, "most episodes of a policy (default: 8000)"),
        ("--minutes", 10, "time limit of a submission on Gradescope (default: 10)"),
        ("--megabytes", 768, "memory of the container on Gradescope (default: 768)"),
    ):
        build.add_argument(name, type=_count, default=default, metavar="N", help=text)


def _count(text: str) -> int:
    count = int(text) if text.strip().isdecimal() else 0
    if count < 1:
        raise ArgumentTypeError(f"{text!r}: write a whole number of 1 or more")
    return count


# The commands.


def _create(options: Namespace) -> None:
    from score.course.nbgrader.release import create, created

    chosen = {"episodes": options.episodes} if options.episodes is not None else {}
    course = create(options.folder, bundle=options.bundle, first_seed=options.first_seed, **chosen)
    print(created(course))


def _release(options: Namespace) -> None:
    from score.course.nbgrader.release import release, released
    from score.course.settings import open_course

    course = open_course(options.folder)
    for sentence in release(course):
        print(plain_line(sentence))
    print(released(course))


def _check_course(options: Namespace) -> int:
    from score.course.nbgrader.check import check

    found = check(options.folder)
    print(plain(str(found)))
    return 1 if found.problems else 0


def _collect(options: Namespace) -> str | None:
    from score.course.collect.collect import run_collect

    how = (options.pattern, options.preview, options.worksheet)
    return run_collect(options.folder, options.export, *how).names()


def _grade(options: Namespace) -> str | None:
    from score.course.class_run.grade import grade_course
    from score.course.class_run.records import late_penalties
    from score.course.report.everybody import everybody
    from score.course.report.tables import reasons, remarks, table
    from score.course.settings import open_course
    from score.submission.failures import Failures

    course, failures = open_course(options.folder), Failures()
    try:
        where = {"jobs": options.jobs, "scheduler": options.scheduler}
        verdicts = grade_course(course, options.student, options.part, failures=failures, **where)
    except KeyboardInterrupt:
        sys.exit("Stopped. The results so far are kept: run the same command again to go on.")
    students = [*dict.fromkeys(student for student, _, _ in verdicts)]
    people = {
        student: someone
        for student, someone in everybody(course).items()
        if not options.student or student in options.student
    }
    print(plain(table(verdicts, late_penalties(course, students, failures), people)))
    if len(students) <= _LISTED_STUDENTS:
        print(plain(reasons(verdicts)))
        for student, notebook, sentence in remarks(course, options.student, failures):
            print(plain_line(f"Look at {student}, {notebook}: {sentence}"))
    print(
        f"The class: {course.folder / 'report.html'} and grades.csv; to hand back:"
        f" {course.folder / 'feedback'}"
    )
    return failures.names()


def _export(options: Namespace) -> str | None:
    from score.course.class_run.export import export
    from score.course.settings import open_course
    from score.submission.failures import Failures

    failures = Failures()
    out, exported = (path and Path(path) for path in (options.out, options.gradebook))
    course, name = open_course(options.folder), options.assignment
    found = export(course, options.to, out, exported, failures, name)
    for path in found.files:
        print(f"Written: {path}")
    for sentence in found.sentences:
        print(plain_line(sentence))
    return failures.names()


def _hub(options: Namespace) -> None:
    from score.course.nbgrader.hub import DEFAULT_EXCHANGE, write
    from score.course.settings import open_course

    exchange = os.path.abspath(options.exchange or DEFAULT_EXCHANGE)
    print(write(open_course(options.folder), exchange, options.grader))


def _build_autograder(options: Namespace) -> None:
    from score.course.gradescope.build import build
    from score.course.settings import open_course

    course, names = open_course(options.folder), [options.assignment]
    if not options.out and not options.assignment:
        names = [assignment.name for assignment in course.assignments]
    limits = {name: vars(options)[name] for name in ("episodes", "minutes", "megabytes")}
    for name in names:
        path = build(course, options.out, assignment=name, **limits)
        print(
            f"{path}: upload it in Gradescope as the assignment's autograder. It contains solutions"
            " and held-out seeds, so do not show it to students."
        )


def _demo(options: Namespace) -> None:
    from score.course.tools.demo import demo

    demo(options.folder)
