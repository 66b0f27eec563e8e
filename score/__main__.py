"""The command line: python -m score, or pusht-kit if the kit is installed."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from score.plain import plain
from score.rubric import PARTS
from score.submission.failures import told_of_machine

if TYPE_CHECKING:  # argparse has no public name for it, and none to subscript when it runs
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[ArgumentParser]


def main(arguments: list[str] | None = None) -> None:
    """Run a command; its arguments are those of the process unless they are given.

    SystemExit with one sentence for an error that the reader can fix.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code = options.run(options)
    except _error_for_the_reader(options.command) as error:
        sys.exit(plain(f"{parser.prog}: {error}"))
    except (OSError, MemoryError) as error:
        sys.exit(plain(f"{parser.prog}: {told_of_machine(error)}"))
    if code is not None:
        sys.exit(plain(code) if isinstance(code, str) else code)


def _error_for_the_reader(command: str) -> type[Exception]:
    # These are imported only when needed, because students have no score.course.
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
    submission = commands.add_parser(
        "submission", help="pack the files to hand in, or check such a zip"
    )
    _add_submission(submission.add_subparsers(dest="action", required=True))
    # The students' kit has no commands of the instructors'.
    if Path(__file__).with_name("course").is_dir():
        from score.course.tools.command_line import add_commands

        add_commands(commands)
    return parser


def _add_submission(actions: "Commands") -> None:
    text = "pack a folder's notebooks, checkpoints and runs into one zip, and check it"
    pack = actions.add_parser("pack", help=text)
    pack.set_defaults(run=_pack)
    pack.add_argument(
        "path",
        nargs="?",
        default=".",
        metavar="FOLDER",
        help="folder of the files (default: this folder)",
    )
    pack.add_argument(
        "--out", metavar="FILE", help="path of the zip (default: hand_in.zip in the folder)"
    )
    text = "say what is missing and, run as for the grade, different; exit code 0 if nothing is"
    check = actions.add_parser("check", help=text)
    check.set_defaults(run=_check)
    check.add_argument("path", metavar="FILE", help="a zip or a folder")
    check.add_argument("--no-run", action="store_true", help="only read: for work of others")
    for command in (pack, check):
        command.add_argument(
            "--part",
            action="append",
            choices=PARTS,
            help="only this part is handed in; repeat for several",
        )


# The commands.


def _pack(options: Namespace) -> int:
    from score.submission.pack import contents, pack

    path, report = pack(options.path, options.out, options.part)
    print(plain(f"{contents(path)}\n{report}"))
    return 0 if report.complete else 1


def _check(options: Namespace) -> int:
    from score.submission.check import check
    from score.submission.pack import rehearse_parts

    report = check(options.path, options.part)
    if not options.no_run:
        rehearse_parts(report, Path(options.path), options.path)
    print(plain(report))
    return 1 if report.differs or not report.complete else 0


if __name__ == "__main__":
    main()
