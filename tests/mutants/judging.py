"""Each mutant judged in a process of its own, within limits of time and memory."""

import ast
import functools
import io
import json
import os
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mutants.operators import mutants
from score import rubric
from score.cells import read_marker
from score.course.notebooks.build import source_notebook
from score.course.notebooks.solutions import solution
from score.questions import EXTENSIONS, QUESTIONS

SEEDS = (0, 10_000, 987_654_321)  # practice, and two courses
SECONDS, MEMORY = 20, 2**31  # of one mutant: of computing, and of memory on top of what torch takes
ALL = {**QUESTIONS, **EXTENSIONS}


class Solution(NamedTuple):
    """The cell of a question: its source, the lines of the solution, the name that it defines."""

    part: str
    source: str
    regions: list[range]
    defines: str


@functools.cache
def solutions():
    """{question: its `Solution`}, of all parts."""
    found = {}
    for part in rubric.PARTS.values():
        for cell in source_notebook(part).cells:
            marker = read_marker(cell.source) if cell.cell_type == "code" else None
            for name in marker.questions if marker and marker.kind != "test" else ():
                if name in ALL:
                    defines = ast.parse(cell.source).body[-1].name
                    regions = _regions(cell.source, name)
                    found[name] = Solution(part.name, cell.source, regions, defines)
    return found


def _regions(source, question):
    """The ranges of lines, counted from 1, between the marks of a question's solution."""
    regions, start = [], 0
    for number, line in enumerate(source.splitlines(), 1):
        if "### BEGIN SOLUTION" in line:
            start = number if line.split("SOLUTION")[1].strip() in ("", question) else 0
        elif "### END SOLUTION" in line and start:
            regions.append(range(start, number))
    return regions


@functools.cache
def namespace(part):
    """The names that a part's cells define."""
    return solution(rubric.PARTS[part])


def mutants_of(question):
    """The mutants of a question's solution."""
    solution = solutions()[question]
    return list(mutants(solution.source, solution.regions))


def judged_apart(question, sources):
    """Yield of each source {seed: what is wrong with it, "" where it passes}.

    They are judged one after the other in another process. Where one ends it, for the time or the
    memory that it takes, the next has a new one.
    """
    names, left = _warm(question), list(sources)
    while left:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _limit()
                with os.fdopen(writing, "w") as pipe:
                    for source in left:
                        signal.setitimer(signal.ITIMER_PROF, SECONDS)
                        told = json.dumps(judged_here(question, source, dict(names)))
                        print(told, file=pipe, flush=True)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = [json.loads(line) for line in pipe]
        os.waitpid(child, 0)
        yield from told
        if len(told) < len(left):
            yield dict.fromkeys(map(str, SEEDS), "It used up its limits.")
        left = left[len(told) + 1 :]


@functools.cache
def _warm(question):
    """The names of a question's part, once torch has loaded what its solution needs."""
    solution = solutions()[question]
    names = namespace(solution.part)
    assert not any(judged_here(question, solution.source, dict(names)).values())
    return names


def _limit():
    """Limit this process, and send what it prints nowhere."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    taken = Path("/proc/self/statm")  # in pages; where there is none, memory has no limit
    if taken.exists():
        most = int(taken.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.stdout = sys.stderr = io.StringIO()


def judged_here(question, source, names):
    """{seed: what is wrong with a source's answer}, in this process."""
    warnings.simplefilter("ignore")
    solution, found = solutions()[question], {}
    try:
        exec(compile(source, f"<{question}>", "exec"), names)
    except Exception as error:
        return dict.fromkeys(map(str, SEEDS), f"The cell raised {type(error).__name__}.")
    for seed in SEEDS:
        torch.manual_seed(0), np.random.seed(0), torch.set_grad_enabled(True)
        asked = ALL[question]
        rng = np.random.default_rng([seed, *question.encode()] if seed else 0)
        try:
            wrong = asked.find_mistake(asked.caller(names[solution.defines]), rng)
        except Exception as error:  # what a judge stumbles over earns nothing
            wrong = f"The judge raised {type(error).__name__}."
        found[str(seed)] = wrong
    return found
