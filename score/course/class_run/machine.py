"""What is known to be missing on a machine before anything is graded there."""

from score.course.sandbox.watch import host
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
    if lacking := [name for name in course.packages if not host.is_installed(name)]:
        raise CourseError(
            f"{course.folder / 'course.toml'} names packages that this machine does not have:"
            f" `pip install {' '.join(lacking)}`."
        )
