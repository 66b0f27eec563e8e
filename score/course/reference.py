"""Train the reference solutions, taken from the notebooks' sources.

    python -m score.course.reference part1_mlp --seed 1 --folder build/reference/part1_mlp/seed_1
    python -m score.course.reference part1_mlp --score 1000
"""
import argparse
import contextlib
import os
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from pusht.checkpoint import SUFFIX, load_checkpoint
from pusht.chunks import as_range
from score import rubric
from score.asking import asked
from score.course.build import MARKER, ROOT, parts_with_source, source_notebook
from score.episodes import score_policy

# The trained references, in half precision; no release carries them.
REFERENCE = ROOT / "data" / "reference"
# Practice cells that training needs; all other practice cells are for looking at.
_NEEDED = ("dataset", "train", "train_mse", "train_flow")


def run_solution(part, folder, *, seed=1, train=True):
    """Run the notebook's solutions in `folder`, with another training seed if asked for; return their names -> values."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    with contextlib.chdir(folder):
        for cell in source_notebook(part).cells:
            marker = MARKER.match(cell.source) if cell.cell_type == "code" else None
            if marker is None or marker["kind"] == "test" or marker["name"] in {entry.name for entry in part.written}:
                continue
            if marker["kind"] == "practice" and not (train and marker["id"].split("/")[1] in _NEEDED):
                continue
            exec(compile(cell.source, f"<{marker['id']}>", "exec"), names)
            if "seed" in names:
                names["seed"] = seed
    return names


def answer_of(names, policy):
    """What a notebook hands over to `grade_rollouts` for a policy, from the names that `run_solution` returned."""
    if policy.method in ("mse", "flow"):
        return (names["MSEPolicy" if policy.method == "mse" else "FlowMatchingPolicy"](5, 2, policy.pred_horizon),)
    if policy.method == "ddpm":
        return names["ddpm_inference"], names["noise_pred_net"], names["noise_scheduler"]
    return names[f"{policy.method}_inference"], names[f"{policy.method}_agent"]


def score_reference(policy, names, path, episodes):
    """Score the checkpoint at `path` on that many held-out episodes, from the rubric's first seed on."""
    checkpoint = load_checkpoint(path, policy.normalisation)
    model, infer = asked(policy, answer_of(names, policy))
    checkpoint.restore(model)
    seeds = range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + episodes)
    return score_policy(policy, infer, as_range(checkpoint.stats), seeds)


def write_expected_losses(policy, checkpoint_path):
    """Write the loss curve of a finished run as the policy's reference."""
    checkpoint = load_checkpoint(checkpoint_path, policy.normalisation)
    losses = checkpoint.losses
    if "loss_steps" in checkpoint.config:  # logged every few steps: the mean of each epoch
        epochs = np.array(checkpoint.config["loss_steps"]) * checkpoint.num_epochs // (checkpoint.config["step"] + 1)
        losses = [float(np.mean(np.array(losses)[epochs == epoch])) for epoch in np.unique(epochs)]
    path = ROOT / "losses" / f"expected_{policy.method}_loss.pkl"
    part_file = path.with_name(path.name + ".part")
    part_file.write_bytes(pickle.dumps(losses, protocol=4))
    os.replace(part_file, path)
    return path


def write_reference(policy, checkpoint_path):
    """Keep the weights of a finished run as the policy's reference, in half precision."""
    checkpoint = load_checkpoint(checkpoint_path, policy.normalisation)
    weights = {name: w.half() if w.is_floating_point() else w for name, w in checkpoint.weights.items()}
    REFERENCE.mkdir(exist_ok=True)
    path = REFERENCE / (policy.name + SUFFIX)
    replace(checkpoint, weights=weights).save(path)
    return path


def main():
    parser = argparse.ArgumentParser(prog="python -m score.course.reference", description="Train reference solutions.")
    parser.add_argument("part", nargs="?", choices=[part.name for part in parts_with_source()], help="all when left out")
    parser.add_argument("--seed", type=int, default=1, help="training seed; the reference curve is that of seed 1")
    parser.add_argument("--score", type=int, metavar="EPISODES", help="train nothing: score the kept references instead")
    parser.add_argument("--folder", help="where the run goes (default: build/reference/PART/seed_SEED)")
    options = parser.parse_args()
    for part in [rubric.PARTS[options.part]] if options.part else parts_with_source():
        if options.score:
            with tempfile.TemporaryDirectory() as folder:
                names = run_solution(part, folder, train=False)
            for policy in part.policies:
                score = score_reference(policy, names, REFERENCE / (policy.name + SUFFIX), options.score)
                print(f"{policy.label}: {score}, solved {score.episodes.successes.mean():.0%}", flush=True)
            continue
        folder = Path(options.folder or ROOT / "build" / "reference" / part.name / f"seed_{options.seed}")
        run_solution(part, folder, seed=options.seed)
        if options.seed == 1:
            for policy in part.policies:
                for keep in (write_expected_losses, write_reference):
                    print("wrote", keep(policy, folder / (policy.name + SUFFIX)).relative_to(ROOT))


if __name__ == "__main__":
    main()
