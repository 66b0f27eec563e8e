"""nbgrader's generate_feedback, by its command and its formgrader page, gives the kit's pages."""

from typing import Any

from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry

from score.course.class_run import hand_back, records
from score.course.grading.results import PartResult
from score.course.nbgrader.gradebook import open_gradebook
from score.course.settings import open_course
from score.submission.failures import Failures


class FeedbackExporter(HTMLExporter):
    """Makes a part's page, and beside it the assignment's, which generate_feedback removes
    when it begins.

    Where the gradebook has other points than the part's result, as after nbgrader's own autograde,
    it makes nbgrader's page.
    """

    def from_notebook_node(  # type: ignore[override]  # as HTMLExporter's
        self, nb: NotebookNode, resources: Any = None, **options: Any
    ) -> tuple[str, Any]:
        of = resources["nbgrader"]
        course = open_course(self.config.CourseDirectory.root)
        with open_gradebook(course) as book:
            stands = records.standing(course, book, of["student"], Failures())
            found, by_hand = (stands.results, stands.by_hand) if stands else ({}, {})
            known = found.get(of["notebook"])
            if known is None or not _agrees(book, of["assignment"], known):
                html, resources = super().from_notebook_node(nb, resources, **options)
            else:
                # The steps before a template is filled in: they set what a writer needs.
                _, resources = super(TemplateExporter, self).from_notebook_node(nb, resources)
                html = hand_back.page(course, known.student, {known.part: known}, by_hand)
            own = [part for part in course.assignment_of(of["notebook"]).parts if part in found]
            if own:
                parts = {part: found[part] for part in own}
                whole = hand_back.page(course, of["student"], parts, by_hand)
                resources.setdefault("outputs", {})[hand_back.PAGE] = whole.encode()
        return html, resources


def _agrees(book: Gradebook, assignment: str, result: PartResult) -> bool:
    """Say whether the gradebook's automatic scores of a part are those of a result."""
    try:
        notebook = book.find_submission_notebook(result.part, assignment, result.student)
    except MissingEntry:
        return False
    return all(
        (verdict := result.cells.get(grade.name)) is not None
        and grade.auto_score == (None if verdict.unread else verdict.points)
        for grade in notebook.grades
    )
