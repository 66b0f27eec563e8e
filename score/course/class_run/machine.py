"""What is known to be missing on a machine before anything is graded there."""

import importlib.metadata

from score.course.sandbox import host
from score.course.settings import Course, CourseError
from score.submission.failures import GraderFailure


def check(course: Course) -> None:
    """CourseError where the machine lacks room, file handles and the like, or packages that
    course.toml names.
    """
    try:
        host.check(course.folder)
    except GraderFailure as error:
        raise CourseError(str(error)) from None
    if lacking := [name for name in course.packages if not _installed(name)]:
        raise CourseError(
            f"{course.folder / 'course.toml'} names packages that this machine does not have:"
            f" `pip install {' '.join(lacking)}`."
        )


def _installed(package: str) -> bool:
    """Return whether a package, NAME or NAME==VERSION, is installed."""
    name, _, wanted = package.partition("==")
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted in ("", version)
