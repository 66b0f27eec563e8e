"""The command line: python -m score …, or pusht-kit … where the kit is installed."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score.rubric import PARTS

if TYPE_CHECKING:  # argparse has no public name for it, and none to subscript when it runs
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[ArgumentParser]

_LISTED_STUDENTS = 10  # up to so many, reasons are printed; report.html always has them


def main(arguments: list[str] | None = None) -> None:
    """Run the command that these arguments name, by default the process's own.

    SystemExit with a sentence for what the reader can put right.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code = options.run(options)
    except _error_for_the_reader(options.command) as error:
        sys.exit(f"{parser.prog}: {error}")
    if code is not None:
        sys.exit(code)


def _error_for_the_reader(command: str) -> type[Exception]:
    # Each is imported where it is needed: students have no score.course.
    if command == "submission":
        from score.submission.archive import SubmissionError

        return SubmissionError
    from score.course.settings import CourseError

    return CourseError


# The arguments.


def _parser() -> ArgumentParser:
    installed = Path(sys.argv[0]).stem.startswith("pusht-kit")
    parser = ArgumentParser(
        prog="pusht-kit" if installed else "python -m score", description="The Push-T course kit."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    course = commands.add_parser(
        "course", help="make, release and grade a course (needs the extra `instructor`)"
    )
    _add_course(course.add_subparsers(dest="action", required=True))
    submission = commands.add_parser(
        "submission", help="pack what is handed in, or say what is missing in it"
    )
    _add_submission(submission.add_subparsers(dest="action", required=True))
    gradescope = commands.add_parser(
        "gradescope", help="Gradescope's autograder (needs the extra `instructor`)"
    )
    _add_gradescope(gradescope.add_subparsers(dest="action", required=True))
    demo = _add(commands, "demo", _demo, "a course from start to end: six submissions, graded")
    demo.add_argument("--folder", default="build/demo", help="where it goes (default: build/demo)")
    return parser


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
    create.add_argument("--episodes", type=int, help="number of held-out episodes (default: 100)")
    release = _add(
        actions,
        "release",
        _release,
        "build notebooks, nbgrader's release and the students' bundle anew",
    )
    release.add_argument("folder")
    _add_collect(actions)
    _add_grade(actions)


def _add_collect(actions: "Commands") -> None:
    collect = _add(
        actions,
        "collect",
        _collect,
        "take submissions out of an LMS export, a zip or a folder, and repair their notebooks",
    )
    collect.add_argument("folder")
    collect.add_argument(
        "export",
        help=(
            "zip or folder: Moodle, Canvas, Gradescope, folders or zips by student,"
            " STUDENT_part1_mlp.ipynb"
        ),
    )
    collect.add_argument(
        "--pattern",
        help=(
            "regular expression with a group `student`, matched from the start of each path in the"
            " export"
        ),
    )
    collect.add_argument(
        "--preview", action="store_true", help="say what would be taken, and write nothing"
    )


def _add_grade(actions: "Commands") -> None:
    text = "grade what lies in submitted/ and has not been graded as it is now"
    grade = _add(actions, "grade", _grade, text)
    grade.add_argument("folder")
    grade.add_argument("--student", action="append", help="only this one; may be given again")
    grade.add_argument(
        "--part", action="append", choices=PARTS, help="only this notebook; may be given again"
    )
    grade.add_argument(
        "--jobs",
        type=_count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="notebooks at a time (default: one a core)",
    )
    grade.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="use the workers of this Dask scheduler (needs the extra `cluster`)",
    )


def _add_submission(actions: "Commands") -> None:
    text = "make one zip of a folder's notebooks, checkpoints and runs, and check it"
    pack = _add(actions, "pack", _pack, text)
    pack.add_argument(
        "path",
        nargs="?",
        default=".",
        metavar="FOLDER",
        help="where they are (default: this folder)",
    )
    pack.add_argument(
        "--out", metavar="FILE", help="where the zip goes (default: hand_in.zip in the folder)"
    )
    text = "say what is missing; the exit code is 0 when nothing is, else 1"
    check = _add(actions, "check", _check, text)
    check.add_argument("path", metavar="FILE", help="a zip or a folder")
    for command in (pack, check):
        command.add_argument(
            "--part",
            action="append",
            choices=PARTS,
            help="only this one is handed in; may be given again",
        )


def _add_gradescope(actions: "Commands") -> None:
    build = _add(actions, "build", _build_autograder, "make the autograder zip of a course")
    build.add_argument("folder")
    build.add_argument(
        "--out",
        metavar="FILE",
        help="where the zip goes (default: gradescope.zip in the course's folder)",
    )
    for name, default, text in (
        ("--episodes", 10, "held-out episodes of each policy (default: 10)"),
        ("--minutes", 10, "what the assignment allows a submission (default: 10)"),
        ("--megabytes", 768, "the memory of its container (default: 768)"),
    ):
        build.add_argument(name, type=_count, default=default, metavar="N", help=text)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


# The commands.


def _create(options: Namespace) -> None:
    from score.course.nbgrader.release import create
    from score.course.settings import ASSIGNMENT

    chosen = {"episodes": options.episodes} if options.episodes is not None else {}
    course = create(options.folder, bundle=options.bundle, first_seed=options.first_seed, **chosen)
    print(
        f"The course is in {course.folder}: settings in course.toml, what students get in"
        f" bundle/, nbgrader's release in release/{ASSIGNMENT}/."
    )


def _release(options: Namespace) -> None:
    from score.course.nbgrader.release import release
    from score.course.settings import ASSIGNMENT, open_course

    course = open_course(options.folder)
    release(course)
    print(
        f"Released anew: {course.folder / 'bundle' / 'pusht-kit.zip'} and"
        f" {course.folder / 'release' / ASSIGNMENT}."
    )


def _collect(options: Namespace) -> None:
    from score.course.collect.collect import run_collect

    run_collect(options.folder, options.export, options.pattern, options.preview)


def _grade(options: Namespace) -> None:
    from score.course.class_run.grade import grade_course
    from score.course.report.tables import reasons, remarks, table
    from score.course.settings import open_course

    course = open_course(options.folder)
    try:
        verdicts = grade_course(
            course, options.student, options.part, jobs=options.jobs, scheduler=options.scheduler
        )
    except KeyboardInterrupt:
        sys.exit("Stopped. What was graded is kept: the same command goes on from here.")
    print(table(verdicts))
    if len({student for student, _, _ in verdicts}) <= _LISTED_STUDENTS:
        print(reasons(verdicts))
        for student, notebook, sentence in remarks(course, options.student):
            print(f"Look at {student}, {notebook}: {sentence}")
    print(
        f"The class: {course.folder / 'report.html'} and grades.csv; to hand back:"
        f" {course.folder / 'feedback'}"
    )


def _pack(options: Namespace) -> int:
    from score.submission.pack import contents, pack

    path, report = pack(options.path, options.out, options.part)
    print(contents(path))
    print(report)
    return 0 if report.complete else 1


def _check(options: Namespace) -> int:
    from score.submission.check import check

    report = check(options.path, options.part)
    print(report)
    return 0 if report.complete else 1


def _build_autograder(options: Namespace) -> None:
    from score.course.gradescope.build import build
    from score.course.settings import open_course

    path = build(
        open_course(options.folder),
        options.out,
        episodes=options.episodes,
        minutes=options.minutes,
        megabytes=options.megabytes,
    )
    print(
        f"{path}: upload it in Gradescope as the assignment's autograder. It holds solutions"
        " and held-out seeds: not for students."
    )


def _demo(options: Namespace) -> None:
    from score.course.tools.demo import demo

    demo(options.folder)


if __name__ == "__main__":
    main()
