"""Print what becomes of the mutants of each question: `python -m mutants.survey [question …]`."""

import sys
import time

import torch

from mutants.judging import judged_apart, mutants_of, solutions


def survey(question):
    """(mutants of a question, how many raise, [(name, the seeds with which it passes)])."""
    everyone, passed, raised = mutants_of(question), [], 0
    sources = [mutant.source for mutant in everyone]
    for mutant, found in zip(everyone, judged_apart(question, sources), strict=True):
        if "" in found.values():
            passed.append((mutant.name, [seed for seed in found if not found[seed]]))
        raised += all(" raised " in wrong for wrong in found.values())
    return everyone, raised, passed


if __name__ == "__main__":
    torch.set_num_threads(1)
    for question in sys.argv[1:] or solutions():
        began = time.time()
        everyone, raised, passed = survey(question)
        print(
            f"{question}: {len(everyone)} mutants, {raised} raise, {len(passed)} pass,"
            f" {time.time() - began:.0f} s"
        )
        for name, seeds in passed:
            print(f"{question}: {name}" + ("" if len(seeds) == 3 else f"\t[{' '.join(seeds)}]"))
        sys.stdout.flush()
