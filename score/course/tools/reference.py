"""Train the reference solutions, taken from the notebooks' sources.

python -m score.course.tools.reference part1_mlp --demos human --seed 1
python -m score.course.tools.reference part1_mlp --demos human --score 1000
"""

import argparse
import ast
import contextlib
import os
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path

from pusht import demos
from pusht.checkpoint import SUFFIX, load_checkpoint
from score import rubric
from score.course.notebooks.build import MARKER, ROOT, parts_with_source, source_notebook
from score.rollouts.evaluate import called, score_policy
from score.rollouts.loss_curves import epoch_losses, loss_path
from score.rollouts.policies import asked

# The trained references, in half precision; no release carries them.
REFERENCE = ROOT / "data" / "reference"
# The two sets would weigh 26 MB. Of the human one the largest are left out; their curves and scores
# are kept.
_NOT_KEPT = {("human", "part2_cvae"), ("human", "part3_ddpm")}
# Practice cells that training needs, by the beginning of their names; all other practice cells are
# for looking at.
_NEEDED = ("dataset", "train")


def reference_path(policy, demonstrations):
    """The kept checkpoint of a policy trained on the "shipped" or the "human" demonstrations."""
    return REFERENCE / demonstrations / (policy.name + SUFFIX)


def run_solution(part, folder, *, seed=1, train=True):
    """Run the notebook's solutions in `folder`, with another training seed if asked for; return
    their names -> values.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    with contextlib.chdir(folder):
        for cell in source_notebook(part).cells:
            marker = MARKER.match(cell.source) if cell.cell_type == "code" else None
            if (
                marker is None
                or marker["kind"] == "test"
                or marker["name"] in {entry.name for entry in part.written}
            ):
                continue
            if marker["kind"] == "practice" and not (
                train and marker["id"].split("/")[1].startswith(_NEEDED)
            ):
                continue
            exec(compile(cell.source, f"<{marker['id']}>", "exec"), names)
            if "seed" in names:
                names["seed"] = seed
    return names


def answer_of(names, policy):
    """What a notebook's test cell hands over to `grade_rollouts` for a policy, by the names that
    `run_solution` returned.
    """
    part = rubric.part_of(policy)
    cell = next(
        cell
        for cell in source_notebook(part).cells
        if cell.id == f"part{part.number}-{policy.cell}"
    )
    call = next(
        node
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "score.grade_rollouts"
    )
    return tuple(eval(ast.unparse(argument), names) for argument in call.args[1:])


def score_reference(policy, names, path, episodes):
    """Score the checkpoint at `path` on that many held-out episodes, from the rubric's first seed
    on.
    """
    checkpoint = load_checkpoint(path, policy.normalisation)
    model, infer = asked(policy, answer_of(names, policy))
    checkpoint.restore(model)
    seeds = range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + episodes)
    return score_policy(policy, called(policy, infer), checkpoint.stats, seeds)


def write_expected_losses(policy, checkpoint_path):
    """Write the loss curve of a finished run as the policy's reference; return its path, None if it
    has no losses.
    """
    checkpoint = load_checkpoint(checkpoint_path, policy.normalisation)
    if not checkpoint.losses:
        return None
    path = loss_path(policy, demos.name_of(checkpoint.demonstrations))
    path.parent.mkdir(exist_ok=True)
    part_file = path.with_name(path.name + ".part")
    part_file.write_bytes(pickle.dumps(epoch_losses(checkpoint), protocol=4))
    os.replace(part_file, path)
    return path


def write_reference(policy, checkpoint_path):
    """Keep the weights of a finished run as the policy's reference, in half precision; return the
    path, None if not kept.
    """
    checkpoint = load_checkpoint(checkpoint_path, policy.normalisation)
    known = demos.name_of(checkpoint.demonstrations)
    if (known, policy.name) in _NOT_KEPT:
        return None
    weights = {
        name: w.half() if w.is_floating_point() else w for name, w in checkpoint.weights.items()
    }
    path = reference_path(policy, known)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(checkpoint, weights=weights).save(path)
    return path


def main():
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
        "--seed", type=int, default=1, help="training seed; the reference curve is that of seed 1"
    )
    parser.add_argument(
        "--score",
        type=int,
        metavar="EPISODES",
        help="train nothing: score what was trained with that seed",
    )
    parser.add_argument(
        "--folder", help="where the run goes (default: build/reference/DEMOS/PART/seed_SEED)"
    )
    options = parser.parse_args()
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
        if options.seed == 1:
            for policy in part.policies:
                for keep in (write_expected_losses, write_reference):
                    if path := keep(policy, folder / (policy.name + SUFFIX)):
                        print("wrote", path.relative_to(ROOT))


def use_demonstrations(name):
    """Have notebooks open the "shipped" or the "human" demonstrations."""
    if demos.open(name).fingerprint != _opened_by_default():
        os.environ["PUSHT_DEMOS"] = name


def _opened_by_default():
    try:
        return demos.open().fingerprint
    except demos.DemosError:  # PUSHT_DEMOS names something that is of no concern here
        return None


def _print_scores(part, folder, options):
    """Score the run in `folder`, or for seed 1 the kept reference where there is no run."""
    with tempfile.TemporaryDirectory() as elsewhere:
        names = run_solution(part, elsewhere, train=False)
    for policy in part.policies:
        paths = [folder / (policy.name + SUFFIX)] + [reference_path(policy, options.demos)] * (
            options.seed == 1
        )
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            print(
                f"{policy.label}: nothing trained with seed {options.seed} on the {options.demos}"
                f" demonstrations is in {folder}."
            )
            continue
        score = score_reference(policy, names, path, options.score)
        print(f"{policy.label}: {score}, solved {score.episodes.successes.mean():.0%}", flush=True)


if __name__ == "__main__":
    main()
