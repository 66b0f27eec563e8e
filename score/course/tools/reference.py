"""Train the reference solutions, which are taken from the notebooks' sources.

python -m score.course.tools.reference part1_mlp --demos human --seed 1
python -m score.course.tools.reference part1_mlp --demos human --score 1000 --keep
"""

import argparse
import json
import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pusht import demos
from pusht.checkpoint import SUFFIX, load_checkpoint
from pusht.files import write_whole
from pusht.resources import ROOT
from score import rubric
from score.course.notebooks.build import parts_with_source
from score.course.notebooks.solutions import (
    REFERENCE,
    answer_of,
    reference_path,
    run_solution,
    solution,
)
from score.rollouts.evaluate import Score, score_policy
from score.rollouts.loss_curves import bands_path, block_medians, epoch_losses, loss_path
from score.rollouts.policies import guarded_inference, inference_of
from score.rubric import Part, Policy

# Both sets together would take 26 MB. The largest two of the human set are left out; their loss
# curves and scores are kept.
_NOT_KEPT = {("human", "part2_cvae"), ("human", "part3_ddpm")}


def score_reference(policy: Policy, names: dict[str, Any], path: Path, episodes: int) -> Score:
    """Return the score of the checkpoint at `path` on that many held-out episodes, which begin at
    the rubric's first graded seed.
    """
    checkpoint = load_checkpoint(path, policy.normalisation)
    model, infer = inference_of(policy, answer_of(names, policy))
    checkpoint.restore(model)
    seeds = range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + episodes)
    return score_policy(policy, guarded_inference(policy, infer), checkpoint.stats, seeds)


def keep_losses(policy: Policy, checkpoint_path: Path) -> Path | None:
    """Keep the loss curve of a finished run beside those of other training seeds, and write their
    median as the policy's reference; return its path, or None when the run has logged no losses.
    """
    checkpoint = load_checkpoint(checkpoint_path, policy.normalisation)
    if not checkpoint.losses:
        return None
    known = demos.name_of(checkpoint.demonstrations)
    if known is None:
        raise ValueError(f"{checkpoint_path} was trained on demonstrations that have no name.")
    curves = seed_losses(known)
    of_policy = curves.setdefault(policy.name, {})
    of_policy[str(checkpoint.seed)] = [float(f"{loss:.5g}") for loss in epoch_losses(checkpoint)]
    write_whole(_curves_path(known), json.dumps(curves, sort_keys=True))
    path = loss_path(policy, known)
    path.parent.mkdir(parents=True, exist_ok=True)
    median = np.median(np.array(list(of_policy.values())), axis=0)
    write_whole(path, pickle.dumps(median.tolist(), protocol=4))
    bands = bands_path(known)
    all_bands = json.loads(bands.read_text(encoding="utf-8")) if bands.exists() else {}
    all_bands[policy.name] = loss_band(policy, list(of_policy.values()))
    write_whole(bands, json.dumps(all_bands, sort_keys=True, indent=1) + "\n")
    return path


def loss_band(policy: Policy, curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the band around the median of the loss curves of several training seeds: twice as
    wide, on a logarithmic scale, as these curves need, and at least 15 % wide.
    """
    blocks = np.array([block_medians(curve, policy.loss_block) for curve in curves])
    middle = block_medians(np.median(np.array(curves), axis=0), policy.loss_block)
    first = -(-policy.loss_from // policy.loss_block)
    needed = np.abs(np.log(blocks / middle))[:, first:].max()
    low, high = np.exp([-2 * needed, 2 * needed])
    return round(float(min(low, 0.85)), 2), round(float(max(high, 1.15)), 2)


def seed_losses(known: str) -> dict[str, dict[str, list[float]]]:
    """Return the loss curves on the "shipped" or "human" demonstrations, by the policy's name and
    then the training seed.
    """
    path = _curves_path(known)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _curves_path(known: str) -> Path:
    return REFERENCE / known / "losses.json"


def keep_scores(name: str, known: str, seed: int, per_episode: Sequence[float]) -> Path:
    """Keep the score of each held-out episode of a policy, from which tests/test_luck.py computes
    how far grades hang on luck; return the path.

    known: name of the demonstrations. seed: of the training.
    """
    path = _scores_path(known)
    scores = seed_scores(known)
    of_policy = scores.setdefault(name, {})
    of_policy[str(seed)] = [round(float(score), 4) for score in per_episode]
    write_whole(path, json.dumps(scores, sort_keys=True))
    return path


def seed_scores(known: str) -> dict[str, dict[str, list[float]]]:
    """Return the kept scores on the "shipped" or "human" demonstrations, one an episode, by the
    policy's name and then the training seed.
    """
    path = _scores_path(known)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _scores_path(known: str) -> Path:
    return REFERENCE / known / "scores.json"


def write_reference(policy: Policy, checkpoint_path: Path) -> Path | None:
    """Keep the weights of a finished run as the policy's reference, in half precision; return the
    path, or None when that one is not kept.
    """
    checkpoint = load_checkpoint(checkpoint_path, policy.normalisation)
    known = demos.name_of(checkpoint.demonstrations)
    if known is None or (known, policy.name) in _NOT_KEPT:
        return None
    weights = {
        name: w.half() if w.is_floating_point() else w for name, w in checkpoint.weights.items()
    }
    path = reference_path(policy, known)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the run's id and time, so that the same training gives the same file.
    replace(checkpoint, weights=weights, run_id="", trained_at="").save(path)
    return path


def main() -> None:
    """Train or score the references that the command line names."""
    options = _options()
    use_demonstrations(options.demos)
    for part in [rubric.PARTS[options.part]] if options.part else parts_with_source():
        folder = Path(
            options.folder
            or ROOT / "build" / "reference" / options.demos / part.name / f"seed_{options.seed}"
        )
        if options.score:
            _print_scores(part, folder, options)
            continue
        run_solution(part, folder, seed=options.seed)
        if not options.folder:
            _keep(part, folder, options.seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m score.course.tools.reference", description="Train reference solutions."
    )
    parser.add_argument(
        "part",
        nargs="?",
        choices=[part.name for part in parts_with_source()],
        help="all when left out",
    )
    parser.add_argument(
        "--demos",
        choices=("shipped", "human"),
        default="shipped",
        help="demonstrations (default: shipped)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="training seed (default: 1, whose weights are kept; the reference curve is the median"
        " over all seeds)",
    )
    parser.add_argument(
        "--score",
        type=int,
        metavar="EPISODES",
        help="train nothing: score what was trained with that seed",
    )
    parser.add_argument(
        "--keep", action="store_true", help="with --score: keep the episodes' scores"
    )
    parser.add_argument(
        "--folder",
        help="where the run goes; nothing is then written to losses/ and data/ (default:"
        " build/reference/DEMOS/PART/seed_SEED)",
    )
    return parser.parse_args()


def _keep(part: Part, folder: Path, seed: int) -> None:
    """Keep the curves of a finished run and, of seed 1, the weights."""
    for policy in part.policies:
        for keep in (keep_losses, write_reference) if seed == 1 else (keep_losses,):
            if path := keep(policy, folder / (policy.name + SUFFIX)):
                print("wrote", path.relative_to(ROOT))


def use_demonstrations(name: str) -> None:
    """Make notebooks open the "shipped" or the "human" demonstrations."""
    if demos.open(name).fingerprint != _opened_by_default():
        os.environ["PUSHT_DEMOS"] = name


def _opened_by_default() -> str | None:
    try:
        return demos.open().fingerprint
    except demos.DemosError:  # PUSHT_DEMOS names a set that cannot be opened: not used here
        return None


def _print_scores(part: Part, folder: Path, options: argparse.Namespace) -> None:
    """Score the run in `folder`; without one, for seed 1, the kept reference."""
    names = solution(part)
    for policy in part.policies:
        paths = [folder / (policy.name + SUFFIX)]
        if options.seed == 1:
            paths.append(reference_path(policy, options.demos))
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            print(
                f"{policy.label}: nothing trained with seed {options.seed} on the {options.demos}"
                f" demonstrations is in {folder}."
            )
            continue
        score = score_reference(policy, names, path, options.score)
        episodes = score.episodes
        final = np.mean([rewards[-1] for rewards in episodes.rewards])
        print(
            f"{policy.label}: {score}, solved {episodes.successes.mean():.1%}, final reward"
            f" {final:.3f}",
            flush=True,
        )
        if options.keep:
            kept = keep_scores(policy.name, options.demos, options.seed, score.per_episode)
            print("wrote", kept.relative_to(ROOT))


if __name__ == "__main__":
    main()
