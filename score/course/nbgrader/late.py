"""What late work costs: by course.toml where an assignment has a rule there, or else by nbgrader's
own, such as a class in the course's folder.
"""

from typing import Any

from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties as StockPenalties
from traitlets.config import Config

from score.course.settings import Assignment, CourseError, Late, open_course


class _CourseRule(LateSubmissionPlugin):
    """nbgrader's plugin for a rule of course.toml."""

    def __init__(self, late: Late, **others: Any) -> None:
        super().__init__(**others)
        self._late = late

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float:
        return self._late.penalty(score, total_seconds_late)


class AssignLatePenalties(StockPenalties):
    """nbgrader's step, with the course's rule for its assignment."""

    def init_plugin(self) -> None:
        course = open_course(self.config.CourseDirectory.root)
        rules = {each.name: each.late for each in course.assignments}
        late = rules.get(self.assignment_id)
        if late:
            self.plugin_inst = _CourseRule(late, parent=self)
        else:
            super().init_plugin()


def rule_of(assignment: Assignment, config: Config) -> LateSubmissionPlugin:
    """Return the plugin that says what late work of an assignment costs; CourseError where the one
    that nbgrader_config.py names cannot be used.

    config: nbgrader's.
    """
    if assignment.late:
        return _CourseRule(assignment.late)
    try:
        step = StockPenalties(config=Config(config))
        step.init_plugin()
    except Exception as error:  # the plugin may be any code
        raise CourseError(
            "nbgrader_config.py names a rule for late work (AssignLatePenalties.plugin_class) that"
            f" cannot be used: {error}"
        ) from None
    return step.plugin_inst
