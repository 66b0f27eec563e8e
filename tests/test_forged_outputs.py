"""A judge checks the shape of what a kernel sent before it computes with it: no array that a kernel
may send makes it take much more memory than the message did.
"""

import copy
import re
import tracemalloc

import numpy as np
import pytest

from score import rubric
from score.course.grading import audit
from score.course.notebooks.build import source_notebook
from score.questions import QUESTIONS
from score.verdict import AnswerError

_FAT = np.zeros((200_000, 1, 1, 1, 1))  # 1.6 MB; broadcast over a batch of chunks, gigabytes
_MOST = 250 * 2**20  # bytes; judging the largest right answer takes 150 MB


def right_outputs(name):
    """(inputs, outputs) of the solution's first trial."""
    part, _ = rubric.question(name)
    cells = "\n".join(cell.source for cell in source_notebook(part).cells)
    answer = re.search(rf'score\.check\("{name}", (\w+)\)', cells)[1]
    question = QUESTIONS[name]
    inputs = question.inputs(np.random.default_rng(0), 0)
    return inputs, question.caller(audit.solution(part.name)[answer])(inputs)


def arrays_in(value, path=()):
    """Yield the path of each array in nested dicts, lists and tuples."""
    if isinstance(value, np.ndarray):
        yield path
    elif isinstance(value, (dict, list, tuple)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from arrays_in(inner, (*path, key))


def replaced(value, path, array):
    """Return nested dicts and lists with another array at a path."""
    if not path:
        return array
    changed = copy.copy(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(changed[path[0]], path[1:], array)
    return changed


def peak_of_judging(name, inputs, outputs):
    """Return the most bytes that judging takes, whatever comes of it."""
    tracemalloc.start()
    try:
        QUESTIONS[name].judge(inputs, outputs)
    except (AnswerError, ValueError, TypeError, IndexError):
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_array_makes_a_judge_take_much_more_memory_than_it_has(name):
    inputs, outputs = right_outputs(name)
    places = [*arrays_in(outputs)]
    assert places or name == "Q1.1"
    few = {re.sub(r"\d+", "", str(place)): place for place in places}.values()  # one of each kind
    for place in few:
        peak = peak_of_judging(name, inputs, replaced(outputs, place, _FAT))
        assert peak < _MOST, f"{place}: {peak >> 20} MB"
