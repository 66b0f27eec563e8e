"""Print what becomes of the mutants of each question: `python -m mutants.survey [question …]`."""

import sys
import time

import torch

from mutants.judging import judged_apart, mutants_of, solutions

if __name__ == "__main__":
    torch.set_num_threads(1)
    for question in sys.argv[1:] or solutions():
        began, passed, raised = time.time(), [], 0
        all_of = mutants_of(question)
        sources = [mutant.source for mutant in all_of]
        for mutant, found in zip(all_of, judged_apart(question, sources), strict=True):
            if "" in found.values():
                passed.append((mutant.name, [seed for seed in found if not found[seed]]))
            raised += all(" raised " in wrong for wrong in found.values())
        print(
            f"{question}: {len(all_of)} mutants, {raised} raise, {len(passed)} pass,"
            f" {time.time() - began:.0f} s"
        )
        for name, seeds in passed:
            print("   ", name, "" if len(seeds) == 3 else f"  [{' '.join(seeds)}]")
        sys.stdout.flush()
