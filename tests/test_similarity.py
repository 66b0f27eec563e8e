"""Similar submissions: copies are found, what two people wrote or trained is not, and nothing that
is handed in stops the search.
"""

import functools
import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from pusht.checkpoint import Checkpoint, load_checkpoint
from pusht.dataset import get_data_stats
from pusht.networks import ResidualMLP
from score import rubric
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.course.report.similarity import KIT, find
from score.course.settings import ASSIGNMENT, Course

PART = rubric.PARTS["part1_mlp"]
STATS = {
    "obs": get_data_stats([[0] * 5, [512] * 4 + [6.28]]),
    "action": get_data_stats([[0, 0], [512, 512]]),
}
BC_LOSS, INFERENCE = "part1-bc_loss", "part1-mlp_inference"

FIRST = {
    BC_LOSS: (
        """
def bc_loss(model, nobs, naction):
    batch, steps, dims = naction.shape
    difference = model(nobs.reshape(batch, -1)).reshape(batch, steps, dims) - naction
    return difference.pow(2).sum() / (batch * steps * dims)
"""
    ),
    INFERENCE: (
        """
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim):
    model.eval()
    with torch.inference_mode():
        rows = torch.stack([one.flatten() for one in nobs])
        return model(rows).clone().unflatten(1, (pred_horizon, action_dim))
"""
    ),
}
RENAMED = {
    BC_LOSS: (
        '''
import torch
def bc_loss(net: nn.Module, observations, target) -> torch.Tensor:
    """My own words."""
    b, t, d = target.shape  # sizes

    err: torch.Tensor = (net(observations.reshape(b, -1))
                         .reshape(b, t, d) - target)
    return err.pow(2).sum() / (
        b * t * d)
'''
    ),
    INFERENCE: (
        """
def mlp_inference(policy, batch_size, x, pred_horizon, action_dim):
    policy.eval()
    with torch.inference_mode():
        flat = torch.stack([obs.flatten() for obs in x])

        return policy(flat).clone().unflatten(1, (pred_horizon, action_dim))
"""
    ),
}
SECOND = {
    BC_LOSS: (
        """
def bc_loss(model, nobs, naction):
    prediction = predict(model, nobs)
    squares = [torch.linalg.vector_norm(p - a) ** 2 for p, a in zip(prediction, naction)]
    return torch.stack(squares).mean() / 32
"""
    ),
    INFERENCE: (
        """
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim):
    with torch.no_grad():
        chunks = [model(nobs[i].reshape(1, -1)) for i in range(batch_size)]
    return torch.cat(chunks).view(batch_size, pred_horizon, action_dim)
"""
    ),
}
ONE_LINES = {
    "part1-mlp_dims": "\ndef mlp_dims(a, b, c, d, e):\n    return [a * b, *e, c * d]",
    BC_LOSS: (
        """
def bc_loss(model, nobs, naction):
    return nn.functional.mse_loss(model(nobs.flatten(1)).view_as(naction), naction)
"""
    ),
    INFERENCE: (
        """
@torch.no_grad()
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim):
    return model(nobs.flatten(1)).view(batch_size, pred_horizon, action_dim)
"""
    ),
}


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path, bundle="", first_seed=1, episodes=1)


def folder(course, student):
    path = course.folder / "submitted" / student / ASSIGNMENT
    path.mkdir(parents=True, exist_ok=True)
    return path


def trained(seed, **header):
    """A hand-in file whose weights are the first ones of a training seed."""
    torch.manual_seed(seed)
    weights = ResidualMLP([10, *[64] * 5, 32], use_layernorm=True).state_dict()
    values = {
        "losses": [0.1 / seed],
        "num_epochs": 300,
        "demonstrations": "a set",
        "seed": seed,
        "config": {},
    }
    return Checkpoint(weights=weights, stats=STATS, **values | header)


def altered(checkpoint, change, **header):
    return replace(
        checkpoint, weights={name: change(w) for name, w in checkpoint.weights.items()}, **header
    )


def noisy(w):
    return w + 0.03 * w.std(unbiased=False) * torch.randn(
        w.shape, generator=torch.Generator().manual_seed(5)
    )


def train(course, **checkpoints):
    for student, checkpoint in checkpoints.items():
        checkpoint.save(folder(course, student) / "part1_mlp.safetensors")


def answer(course, student, answers, part=PART):
    """Hand in the release's notebook with the source of these cells after their first lines."""
    notebook = json.loads(released(part.name))
    for cell in notebook["cells"]:
        if cell["id"] in answers:
            cell["source"] = cell["source"].partition("\n")[0] + answers[cell["id"]]
    (folder(course, student) / f"{part.name}.ipynb").write_text(
        json.dumps(notebook), encoding="utf-8"
    )


@functools.cache
def released(part):
    return json.dumps(build.student_notebook(rubric.PARTS[part]))


def pairs(course):
    return [(pair.kind, *pair.students) for pair in find(course)]


# Weights.


def test_the_same_weights_are_found_and_those_of_other_seeds_are_not(course):
    train(course, ann=trained(1), bob=trained(2), cleo=trained(3), dan=trained(2))
    [pair] = find(course)
    assert (pair.kind, pair.what, pair.students, pair.likeness) == (
        "weights",
        "part1_mlp",
        ("bob", "dan"),
        1,
    )
    assert "the same numbers" in pair.sentence and "both state training seed 2" in pair.sentence


@pytest.mark.parametrize(
    "change, likeness, sign",
    [
        (noisy, 0.98, "loss curves agree to the last digit"),
        (lambda w: 1.01 * w, 0.99, "loss curves agree"),
        (lambda w: w.half(), 1, "half precision"),
        (lambda w: w.half().float(), 1, "those of bob are in half"),
    ],
)
def test_changed_weights_are_found_with_the_sign_that_they_were(course, change, likeness, sign):
    train(course, ann=trained(1), bob=altered(trained(1), change), cleo=trained(2))
    [pair] = find(course)
    assert pair.students == ("ann", "bob") and pair.likeness == pytest.approx(likeness, abs=0.01)
    assert sign in pair.sentence


def permuted(checkpoint, **header):
    """The same network with the hidden neurons of a block in another order."""
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    weights = dict(checkpoint.weights)
    for name in ("2.weight", "2.bias", "3.weight", "3.bias"):
        weights[f"layers.1.layers.{name}"] = weights[f"layers.1.layers.{name}"][order]
    weights["layers.1.layers.5.weight"] = weights["layers.1.layers.5.weight"][:, order]
    return replace(checkpoint, weights=weights, **header)


def test_permuted_neurons_are_found_also_in_half_precision(course):
    copy = permuted(trained(1), losses=[0.2], seed=9)
    network, inputs = ResidualMLP([10, *[64] * 5, 32], use_layernorm=True), torch.ones(1, 10)
    outputs = []
    for checkpoint in (trained(1), copy):
        checkpoint.restore(network)
        outputs.append(network(inputs))
    torch.testing.assert_close(*outputs)
    train(course, ann=trained(1), bob=copy, cleo=altered(copy, torch.Tensor.half))
    first, second = find(course)
    assert (first.students, first.likeness) == (("ann", "bob"), 1)
    assert "in another order; no training ends there by itself" in first.sentence
    assert second.students == ("bob", "cleo") and "half precision" in second.sentence


def test_the_same_weights_of_other_stated_seeds_or_demonstrations_are_reported_as_such(course):
    train(
        course,
        ann=trained(1),
        bob=replace(trained(1), seed=7, losses=[0.2]),
        cleo=replace(trained(1), demonstrations="another set", losses=[0.3]),
    )
    bob, cleo = find(course)
    assert "other training seeds, 7 and 1" in bob.sentence
    assert "other demonstrations" in cleo.sentence


EARLY, LATE = "2026-01-19T16:15:12+00:00", "2026-01-20T09:00:00+00:00"


def test_two_runs_of_one_seed_are_told_from_a_copy_by_their_ids_and_times(course):
    run = trained(1, run_id="a1", trained_at=EARLY)
    train(
        course,
        ann=run,
        bob=replace(run, run_id="b2", trained_at=LATE),
        cleo=replace(run, run_id="b2", trained_at=LATE),
    )
    honest, copy = find(course)
    assert honest.students == ("ann", "bob")
    assert "two runs of one seed, 1" in honest.sentence and "copy" not in honest.sentence
    assert copy.students == ("bob", "cleo")
    assert "the id of one training run, so one is a copy" in copy.sentence


def test_a_copy_keeps_the_runs_id_however_its_weights_and_losses_were_changed(course):
    run = trained(1, run_id="a1", trained_at=EARLY)
    train(course, ann=run, bob=altered(run, torch.randn_like, losses=[0.5], seed=2))
    [pair] = find(course)
    assert pair.students == ("ann", "bob") and pair.likeness < 0.5
    assert "so one is a copy" in pair.sentence


def test_a_copy_with_another_id_and_the_same_time_is_not_told_as_an_honest_run(course):
    run = trained(1, run_id="a1", trained_at=EARLY)
    train(course, ann=run, bob=replace(run, run_id="b2"))
    [pair] = find(course)
    assert "ended at the same time" in pair.sentence


@pytest.mark.parametrize("one, other", [("a1", ""), ("", "b2"), ("", "")])
def test_files_without_an_id_are_compared_as_before(course, one, other):
    times = {"a1": EARLY, "b2": LATE, "": ""}
    train(
        course,
        ann=trained(1, run_id=one, trained_at=times[one]),
        bob=trained(1, run_id=other, trained_at=times[other]),
    )
    [pair] = find(course)
    assert "both state training seed 1" in pair.sentence


@pytest.mark.parametrize("demonstrations", ["shipped", "human"])
@pytest.mark.parametrize("change", [lambda w: w, lambda w: w.float(), noisy])
def test_a_reference_handed_in_is_found(course, demonstrations, change):
    reference = load_checkpoint(reference_path(PART.policies[0], demonstrations))
    train(course, ann=altered(reference, change), bob=trained(1))
    [pair] = find(course)
    assert pair.students == ("ann", f"the kit's reference, {demonstrations}")
    assert change is noisy or (
        pair.likeness == 1 and "the student's are in half precision" in pair.sentence
    )


def test_a_class_that_hands_in_a_reference_makes_two_lines(course):
    reference = load_checkpoint(reference_path(PART.policies[0], "shipped"))
    train(course, **{f"student{i:02}": reference for i in range(5)})
    with_each_other, with_kit = find(course)
    assert with_each_other.students == ("student00", "student01")
    assert "both are in half precision" in with_each_other.sentence
    assert with_kit.students == ("student00", "the kit's reference, shipped")
    for pair in (with_each_other, with_kit):
        assert pair.sentence.endswith("student03, student04.")


def test_a_class_with_the_notebooks_seed_makes_one_line_in_which_a_changed_copy_stands_out(course):
    train(
        course, **{f"student{i:02}": trained(1) for i in range(40)}, zoe=altered(trained(1), noisy)
    )
    honest, copied = find(course)
    assert (
        honest.students == ("student00", "student01") and "So it is with 38 more" in honest.sentence
    )
    assert copied.students == ("student00", "zoe") and "loss curves agree" in copied.sentence


# Answers.


def test_answers_with_other_names_and_layout_are_found(course):
    answer(course, "ann", FIRST)
    answer(course, "bob", RENAMED)
    answer(course, "cleo", SECOND)
    [pair] = find(course)
    assert (pair.kind, pair.what, pair.students, pair.likeness) == (
        "answers",
        "part1_mlp",
        ("ann", "bob"),
        1,
    )
    assert "2 of 2 answers (Q1.2, Q1.3)" in pair.sentence


def test_two_right_answers_of_two_people_are_not_similar_nor_is_one_equal_answer(course):
    answer(course, "ann", FIRST)
    answer(course, "bob", SECOND)
    answer(course, "cleo", SECOND | {BC_LOSS: FIRST[BC_LOSS]})
    assert ("answers", "ann", "bob") not in pairs(course)
    assert ("answers", "ann", "cleo") not in pairs(course)


@pytest.mark.parametrize(
    "one, other",
    [
        (".pow(2)", ".abs()"),
        ("steps * dims)", "steps * steps)"),
        ("sum()", "sum() * 2"),
        ("(model, nobs, naction)", "(model, naction, nobs)"),
    ],
)
def test_answers_that_compute_something_else_are_not_equal(course, one, other):
    answer(course, "ann", FIRST)
    answer(course, "bob", FIRST | {BC_LOSS: FIRST[BC_LOSS].replace(one, other)})
    assert find(course) == []


def test_attributes_methods_and_aliases_are_names_too(course):
    part = rubric.PARTS["part4_flow"]
    own = (
        "\nimport math as m\n"
        + next(
            cell.source
            for cell in build.answered_notebook(part).cells
            if cell.id == "part4-flow_policy"
        ).partition("\n")[2]
    )
    own = own.replace("/ num_steps)", "* m.exp(0) / num_steps)").replace(
        "return chunk\n", "return self.helper(chunk)\n"
    )
    own = (
        own.replace("layers = [", "layers = [layer for layer in ()] + [")
        + "\n    def helper(self, x):\n        return m.exp(0) * x\n"
    )
    other = own
    for name, new in (
        ("net", "body"),
        ("helper", "_last"),
        ("math as m", "math as mathematics"),
        ("m", "mathematics"),
        ("i", "width"),
    ):
        other = re.sub(rf"\b{name}\b", new, other)
    answer(course, "ann", {"part4-flow_policy": own}, part)
    answer(course, "bob", {"part4-flow_policy": other}, part)
    assert own != other and pairs(course) == [("answers", "ann", "bob")]


def test_one_long_answer_is_enough_also_of_code_that_does_not_parse(course):
    part = rubric.PARTS["part4_flow"]
    solved = {cell.id: cell.source for cell in build.answered_notebook(part).cells}
    own = "\n" + solved["part4-train"].partition("\n")[2].replace("step += 1", "step = step + 1")
    answer(course, "ann", {"part4-train": own}, part)
    answer(
        course,
        "bob",
        {"part4-train": re.sub(r"\boptimizer\b", "adam", re.sub(r"#.*", "", own))},
        part,
    )
    answer(course, "cleo", {"part4-train": own + "\n  )"}, part)
    answer(course, "dan", {"part4-train": re.sub(r"#.*", "", own) + "  # mine\n\n  )"}, part)
    assert pairs(course) == [("answers", "ann", "bob"), ("answers", "cleo", "dan")]


def test_the_kits_solution_is_among_those_compared(course):
    build.write(build.answered_notebook(PART), folder(course, "ann") / "part1_mlp.ipynb")
    answer(course, "bob", SECOND)
    [pair] = find(course)
    assert pair.students == ("ann", KIT) and pair.likeness == 1


def test_untouched_notebooks_are_not_similar(course):
    for student in ("ann", "bob", "cleo"):
        for part in build.parts_with_source():
            answer(course, student, {}, part)
    assert find(course) == []


def test_what_the_courses_own_release_says_does_not_count(course):
    answer(course, "ann", FIRST)
    answer(course, "bob", FIRST)
    release = course.folder / "release" / ASSIGNMENT
    release.mkdir(parents=True)
    shutil.copy(folder(course, "ann") / "part1_mlp.ipynb", release)
    assert find(course) == []


def test_short_answers_and_answers_that_many_share_make_no_list(course):
    for i in range(60):
        answer(course, f"student{i:02}", ONE_LINES)
    for i in range(10):
        answer(course, f"other{i}", FIRST)
    assert find(course) == []


def test_answers_in_words_are_compared_too(course):
    part = rubric.PARTS["part4_flow"]
    words = "\n" + " ".join(f"word{i} says, it *goes*" for i in range(40))
    answer(course, "ann", {"part4-report_curves": words}, part)
    answer(course, "bob", {"part4-report_curves": words.replace(",", ";\n").upper()}, part)
    answer(course, "cleo", {"part4-report_curves": "\nThe loss falls and the reward rises."}, part)
    answer(course, "dan", {"part4-report_curves": "\nThe loss falls and the reward rises."}, part)
    assert pairs(course) == [("answers", "ann", "bob")]


# What is handed in may be anything.


@pytest.mark.parametrize(
    "code",
    [
        "-" * 40_000 + "1",
        "a" + ".b" * 20_000,
        "(" * 400,
        "x = 0x" + "f" * 40_000,
        "\0",
        "x" * 10**6,
        "def f(:\n" * 4000,
        "lambda: " * 5000 + "1",
        '"\\"' * 10_000,
        "[" * 90 + "]" * 90,
        "\ud800 = 1",
    ],
)
def test_hostile_code_stops_nothing(course, code):
    answer(course, "ann", FIRST)
    answer(course, "bob", RENAMED)
    text = (folder(course, "ann") / "part1_mlp.ipynb").read_text(encoding="utf-8")
    document = json.loads(text)
    for cell in document["cells"]:
        if cell["id"] == BC_LOSS:
            cell["source"] = cell["source"].partition("\n")[0] + "\n" + code
    (folder(course, "mallory") / "part1_mlp.ipynb").write_text(
        json.dumps(document), encoding="utf-8"
    )
    assert ("answers", "ann", "bob") in pairs(course)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"cells": {"a": 1}}',
        b'{"cells": [1, null]}',
        b'{"cells": [{"source": {"a": 1}, "metadata": null}]}',
        b'{"cells": [{"source": [1]}]}',
    ],
)
def test_broken_files_stop_nothing(course, content):
    answer(course, "ann", FIRST)
    answer(course, "bob", RENAMED)
    train(course, ann=trained(1), bob=trained(1))
    for name in ("part1_mlp.ipynb", "part1_mlp.safetensors"):
        (folder(course, "mallory") / name).write_bytes(content)
    (folder(course, "nobody") / "part1_mlp.ipynb").mkdir()
    (folder(course, "nobody") / "part1_mlp.safetensors").mkdir()
    folder(course, "empty")
    assert pairs(course) == [("weights", "ann", "bob"), ("answers", "ann", "bob")]


def test_weights_of_another_network_or_of_no_length_stop_nothing(course):
    other = replace(trained(1), weights={"a": torch.zeros(3), "b": torch.tensor([2**40])})
    train(
        course,
        ann=trained(1),
        bob=trained(1),
        cleo=other,
        dan=altered(trained(1), torch.zeros_like),
        erin=altered(trained(1), torch.zeros_like),
        fay=replace(other, weights={"a": torch.tensor([1e300, 1e300]).double()}),
    )
    assert pairs(course) == [("weights", "ann", "bob")]


def test_only_the_students_named_are_compared(course):
    train(course, ann=trained(1), bob=trained(1), cleo=trained(1))
    assert [pair.students for pair in find(course, ["cleo", "bob"])] == [("bob", "cleo")]


def test_the_list_is_the_same_every_time(course):
    train(
        course,
        **{
            f"student{i}": altered(trained(1 + i % 3), noisy if i % 2 else torch.clone)
            for i in range(9)
        },
    )
    for i in range(4):
        answer(course, f"student{i}", RENAMED if i % 2 else FIRST)
    first = find(course)
    assert first == find(course) and first
