"""The command line: python -m score …"""

import argparse
import os
import sys

from score.rubric import PARTS

_TOLD_IN_FULL = 10  # students; of more, report.html tells why points were lost


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m score", description="The Push-T course kit.")
    commands = parser.add_subparsers(dest="command", required=True)

    course = commands.add_parser(
        "course", help="make, release and grade a course (needs the extra `instructor`)"
    )
    actions = course.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a course for nbgrader in a new folder")
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
    release = actions.add_parser(
        "release", help="build notebooks, nbgrader's release and the students' bundle anew"
    )
    release.add_argument("folder")
    collect = actions.add_parser(
        "collect",
        help="take submissions out of an LMS export, a zip or a folder, and repair their notebooks",
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
    grade = actions.add_parser(
        "grade", help="grade what lies in submitted/ and has not been graded as it is now"
    )
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

    submission = commands.add_parser(
        "submission", help="pack what is handed in, or say what is missing in it"
    )
    deeds = submission.add_subparsers(dest="action", required=True)
    pack = deeds.add_parser(
        "pack", help="make one zip of a folder's notebooks, checkpoints and runs, and check it"
    )
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
    check = deeds.add_parser(
        "check", help="say what is missing; the exit code is 0 when nothing is, else 1"
    )
    check.add_argument("path", metavar="FILE", help="a zip or a folder")
    for parser_of in (pack, check):
        parser_of.add_argument(
            "--part",
            action="append",
            choices=PARTS,
            help="only this one is handed in; may be given again",
        )

    gradescope = commands.add_parser(
        "gradescope", help="Gradescope's autograder (needs the extra `instructor`)"
    )
    build = gradescope.add_subparsers(dest="action", required=True).add_parser(
        "build", help="make the autograder zip of a course"
    )
    build.add_argument("folder")
    build.add_argument(
        "--out",
        metavar="FILE",
        help="where the zip goes (default: gradescope.zip in the course's folder)",
    )
    build.add_argument(
        "--episodes",
        type=_count,
        default=10,
        metavar="N",
        help="held-out episodes of each policy (default: 10)",
    )
    build.add_argument(
        "--minutes",
        type=_count,
        default=10,
        metavar="N",
        help="what the assignment allows a submission (default: 10)",
    )
    build.add_argument(
        "--megabytes",
        type=_count,
        default=768,
        metavar="N",
        help="the memory of its container (default: 768)",
    )

    demo = commands.add_parser("demo", help="a course from start to end: six submissions, graded")
    demo.add_argument("--folder", default="build/demo", help="where it goes (default: build/demo)")

    options = parser.parse_args(arguments)
    if options.command == "submission":  # students have no score.course
        from score.submission.archive import HandInError

        try:
            sys.exit(_submission(options))
        except HandInError as error:
            sys.exit(f"{parser.prog}: {error}")
    from score.course.settings import CourseError

    try:
        _run(options)
    except CourseError as error:
        sys.exit(f"{parser.prog}: {error}")


def _submission(options):
    from score.submission.check import check
    from score.submission.pack import contents, pack

    if options.action == "pack":
        path, report = pack(options.path, options.out, options.part)
        print(contents(path))
    else:
        report = check(options.path, options.part)
    print(report)
    return 0 if report.complete else 1


def _run(options):
    from score.course import settings

    if options.command == "demo":
        from score.course.tools.demo import demo

        demo(options.folder)
    elif options.command == "gradescope":
        from score.course.gradescope import autograder

        path = autograder.build(
            settings.open_course(options.folder),
            options.out,
            episodes=options.episodes,
            minutes=options.minutes,
            megabytes=options.megabytes,
        )
        print(
            f"{path}: upload it in Gradescope as the assignment's autograder. It holds solutions"
            " and held-out seeds: not for students."
        )
    elif options.action == "create":
        chosen = {"episodes": options.episodes} if options.episodes is not None else {}
        made = settings.create(
            options.folder, bundle=options.bundle, first_seed=options.first_seed, **chosen
        )
        print(
            f"The course is in {made.folder}: settings in course.toml, what students get in"
            f" bundle/, nbgrader's release in release/{settings.ASSIGNMENT}/."
        )
    elif options.action == "release":
        from score.course.notebooks.release import release

        made = settings.open_course(options.folder)
        release(made)
        print(
            f"Released anew: {made.folder / 'bundle' / 'pusht-kit.zip'} and"
            f" {made.folder / 'release' / settings.ASSIGNMENT}."
        )
    elif options.action == "collect":
        from score.course.collect.collect import run_collect

        run_collect(options.folder, options.export, options.pattern, options.preview)
    elif options.action == "grade":
        from score.course.grading.class_run import grade_course
        from score.course.report.tables import reasons, remarks, table

        made = settings.open_course(options.folder)
        try:
            verdicts = grade_course(
                made, options.student, options.part, jobs=options.jobs, scheduler=options.scheduler
            )
        except KeyboardInterrupt:
            sys.exit("Stopped. What was graded is kept: the same command goes on from here.")
        print(table(verdicts))
        if len({student for student, _, _ in verdicts}) <= _TOLD_IN_FULL:
            print(reasons(verdicts))
            for student, notebook, sentence in remarks(made, options.student):
                print(f"Look at {student}, {notebook}: {sentence}")
        print(
            f"The class: {made.folder / 'report.html'} and grades.csv; to hand back:"
            f" {made.folder / 'feedback'}"
        )


def _count(text):
    count = int(text)
    if count < 1:
        raise ValueError
    return count


if __name__ == "__main__":
    main()
