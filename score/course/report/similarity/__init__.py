"""List similar submissions for a person to judge. No grade depends on it.

    for pair in find(course):
        print(*pair.students, pair.sentence)

Similar is not copied. The notebooks set one training seed for all, and on one kind of machine
equivalent code ends in the very same weights, however it is written. The ids and times of training
runs tell two runs of one seed from a copy, and a sentence says what the seed does not explain.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from score.course.notebooks.build import parts_with_source
from score.course.report.similarity.answers import KIT, similar_answers
from score.course.report.similarity.pair import SimilarPair
from score.course.report.similarity.weights import similar_weights
from score.course.settings import Course
from score.submission.failures import Failures

__all__ = ["KIT", "SimilarPair", "find"]


def find(
    course: Course, students: Iterable[str] | None = None, failures: Failures | None = None
) -> list[SimilarPair]:
    """Return the similar pairs among a course's submissions: weights, then answers, in the rubric's
    and in alphabetical order. A student is in one with the kit and in one with a student before.

    students: those to compare; None for all who handed in. Files that cannot be read are left out:
    grading says why. failures: to which is added where the kit fails at a student's files.
    """
    failures = Failures() if failures is None else failures
    students = sorted(course.students() if students is None else students)
    folders = {
        part: {name: course.submission(name, course.assignment_of(part)) for name in students}
        for part in course.parts
    }
    few = max(3, len(students) // 20)
    found: list[SimilarPair] = []
    for name, part in course.parts.items():
        for policy in part.policies:
            found += _joined(similar_weights(policy, folders[name], failures), few)
    for part in parts_with_source():
        if part.name in course.parts:
            pairs = similar_answers(part, course, folders[part.name], few, failures)
            found += _joined(pairs, few)
    return found


def _joined(pairs: Iterable[SimilarPair], few: int) -> list[SimilarPair]:
    """Return the pairs in order; of more than `few` students that are similar to one in the same
    way the first, with the names of the others.
    """
    groups: dict[tuple[str, str], list[SimilarPair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: pair.students):
        groups[pair.sentence, pair.other].append(pair)
    found: list[SimilarPair] = []
    for first, *rest in groups.values():
        if len(rest) < few:
            found += [first, *rest]
        else:
            names = [pair.student for pair in rest]
            shown = ", ".join(names[:10]) + (f" and {len(rest) - 10} more" if rest[10:] else "")
            sentence = f"{first.sentence} So it is with {len(rest)} more: {shown}."
            found.append(replace(first, sentence=sentence))
    return sorted(found, key=lambda pair: pair.students)
