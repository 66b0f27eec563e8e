"""A course: its folder, what its course.toml says, and what is drawn from its secret."""

from score.course.settings.assignment import ASSIGNMENT as ASSIGNMENT
from score.course.settings.assignment import Assignment as Assignment
from score.course.settings.assignment import Late as Late
from score.course.settings.course import Course as Course
from score.course.settings.course import keep_private as keep_private
from score.course.settings.course import open_course as open_course
from score.course.settings.course import read_course as read_course
from score.course.settings.course import with_secret as with_secret
from score.course.settings.problems import CourseError as CourseError
from score.course.settings.run import Limits as Limits
from score.course.settings.run import RunSettings as RunSettings
from score.course.settings.run import new_secret as new_secret
from score.course.settings.run import other_secret as other_secret
