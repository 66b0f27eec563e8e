"""Loss curves: files are read without running what they name, and a curve that leaves the band
hears the usual reason.
"""

import os
import pickle
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pusht import demos
from score import compare_losses, reference_loss, rubric
from score.course.tools.reference import seed_losses
from score.rollouts.loss_curves import FOLDER, load_losses

EXPECTED = FOLDER / "expected_mlp_loss.pkl"
# Demonstrations, of which only the fingerprint matters here.
HUMAN, SHIPPED, OTHERS = (
    SimpleNamespace(fingerprint=f)
    for f in (demos.HUMAN_FINGERPRINT, demos.SHIPPED_FINGERPRINT, "0" * 64)
)
# The published curve of part I at some epochs.
PUBLISHED = {
    5: 0.019616,
    10: 0.016377,
    20: 0.012459,
    30: 0.010867,
    50: 0.008776,
    75: 0.007286,
    100: 0.006388,
    125: 0.00556,
    150: 0.005081,
    175: 0.004624,
    200: 0.004312,
    225: 0.004017,
    250: 0.003743,
    275: 0.003536,
    299: 0.003262,
}


@pytest.fixture
def pickled(tmp_path):
    """Write an object, or bytes as they are, as a loss file; return its path."""

    def write(content, protocol=None):
        path = tmp_path / "expected_mlp_loss.pkl"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
        return path

    return write


# Reading.


class Runs:
    """Unpickled carelessly, it makes a folder."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [lambda o: o, lambda o: [0.1, o]], ids=["alone", "in a list"])
def test_nothing_that_a_file_names_is_run(pickled, tmp_path, protocol, wrap):
    made = tmp_path / "made by the file"
    for call, args in [
        (os.mkdir, (str(made),)),
        (os.system, (f"mkdir '{made}'",)),
        (eval, (f"__import__('os').mkdir({str(made)!r})",)),
    ]:
        with pytest.raises(ValueError, match="is not a list of losses .*asks for"):
            load_losses(pickled(wrap(Runs(call, *args)), protocol))
        assert not made.exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(np.array([0.1, 0.2]), id="numpy array"),
        pytest.param([np.float64(0.1)], id="numpy float"),
        pytest.param(torch.tensor([0.1]), id="tensor"),
        pytest.param(rubric.PARTS["part1_mlp"], id="class of the kit"),
        pytest.param(os.system, id="function"),
    ],
)
def test_classes_and_functions_are_refused_by_name(pickled, content):
    with pytest.raises(ValueError, match=r"asks for \w+"):
        load_losses(pickled(content))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([0.1, 2], id="int"),
        pytest.param([True], id="bool"),
        pytest.param([0.1, float("nan")], id="nan"),
        pytest.param([float("inf")], id="infinite"),
        pytest.param([], id="no epoch"),
        pytest.param((0.1, 0.2), id="tuple"),
        pytest.param({"losses": [0.1]}, id="dict"),
        pytest.param([[0.1], [0.2]], id="nested"),
        pytest.param(["0.1"], id="text"),
        pytest.param(None, id="None"),
    ],
)
def test_only_a_list_of_finite_floats_is_taken(pickled, content):
    with pytest.raises(ValueError, match="finite floats are needed"):
        load_losses(pickled(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"losses", b"0.1 0.2\n", b"\x80\x04\x95", b"\xff" * 100, b".", b"P1\n."],
)
def test_what_is_no_pickle_is_refused_in_one_sentence(pickled, content):
    with pytest.raises(ValueError, match="is not a list of losses"):
        load_losses(pickled(content))


def test_a_file_cut_anywhere_is_refused(pickled):
    whole = EXPECTED.read_bytes()
    for length in [*range(60), *range(60, len(whole), 97), len(whole) - 1]:
        with pytest.raises(ValueError, match="is not a list of losses"):
            load_losses(pickled(whole[:length]))


def test_damaged_bytes_never_end_in_anything_but_a_refusal(pickled):
    whole, rng = np.frombuffer(EXPECTED.read_bytes(), np.uint8), np.random.default_rng(0)
    for _ in range(300):
        damaged = whole[:200].copy()
        damaged[rng.integers(len(damaged), size=8)] = rng.integers(256, size=8)
        with pytest.raises(ValueError):
            load_losses(pickled(damaged.tobytes()))


def test_a_plain_list_is_read_as_it_is(pickled):
    assert load_losses(pickled([0.5, 0.25])) == [0.5, 0.25]


# The references.


def test_the_human_curve_is_a_plain_list_of_300_floats():
    losses = load_losses(EXPECTED)
    assert type(losses) is list
    assert len(losses) == 300
    assert all(type(loss) is float for loss in losses)
    assert losses == pickle.loads(EXPECTED.read_bytes())


@pytest.mark.parametrize("epoch", PUBLISHED)
def test_the_human_curve_is_the_published_one_within_a_tenth(epoch):
    assert load_losses(EXPECTED)[epoch] == pytest.approx(PUBLISHED[epoch], rel=0.1)


def seeds_of(known):
    """The curves of all training seeds on a set, with the policies' names."""
    return [
        (name, curve) for name, curves in seed_losses(known).items() for curve in curves.values()
    ]


@pytest.mark.parametrize("known, demonstrations", [("human", HUMAN), ("shipped", SHIPPED)])
def test_right_solutions_of_every_training_seed_stay_in_the_band(known, demonstrations):
    found = seeds_of(known)
    assert {name for name, _ in found} == set(rubric.POLICIES)
    for name, curve in found:
        assert compare_losses(name, curve, demonstrations).left_at is None


@pytest.mark.parametrize("name", rubric.POLICIES)
def test_the_band_is_narrow_enough_for_the_common_mistakes(name):
    for demonstrations in (HUMAN, SHIPPED):
        low, high = reference_loss(name, demonstrations).band
        assert 0.5 < low < 1 < high < 2


def test_the_published_curve_lies_in_the_band():
    reference = reference_loss("part1_mlp", HUMAN)
    assert all(reference.low[e] <= loss <= reference.high[e] for e, loss in PUBLISHED.items())


# Comparing.


@pytest.fixture(scope="module")
def expected():
    return np.array(load_losses(EXPECTED))


def noisy(curve, seed=0):
    return curve * np.random.default_rng(seed).normal(1, 0.02, len(curve))


def test_the_reference_itself_stays_in_the_band(expected):
    comparison = compare_losses("part1_mlp", expected.tolist(), HUMAN)
    assert comparison.left_at is None
    np.testing.assert_allclose(comparison.ratio, 1)
    assert "stays within the reference's band over 300 epochs" in str(comparison)


def test_a_curve_of_another_seed_stays_in_the_band(expected):
    assert compare_losses("part1_mlp", noisy(expected).tolist(), HUMAN).left_at is None


def test_the_first_epochs_may_differ(expected):
    curve = expected.copy()
    curve[:5] *= 3
    assert compare_losses("part1_mlp", curve, HUMAN).left_at is None
    curve[5:8] *= 3
    assert compare_losses("part1_mlp", curve, HUMAN).left_at == 5


def test_single_epochs_may_jump_and_three_of_five_may_not(expected):
    curve = expected.copy()
    curve[40:42] *= 1000
    assert compare_losses("part1_mlp", curve, HUMAN).left_at is None
    curve[42] *= 1000
    assert compare_losses("part1_mlp", curve, HUMAN).left_at == 40


FAULTS = [
    pytest.param(lambda e: e * 8192, 5, "a sum in place of a mean", id="sum over everything"),
    pytest.param(lambda e: e * 32, 5, "a sum in place of a mean", id="sum over the chunk"),
    pytest.param(
        lambda e: np.full(len(e), 0.25), 5, "no gradient reaches the weights", id="no gradient"
    ),
    pytest.param(
        lambda e: np.full(len(e), 0.06),
        5,
        "no gradient reaches the weights",
        id="no gradient, near the data",
    ),
    pytest.param(lambda e: e / 2, 5, "half the squared error", id="half"),
    pytest.param(lambda e: e * 1.4, 5, "wrong order of the reshaped actions", id="steadily higher"),
    pytest.param(
        lambda e: e * np.linspace(1, 3, len(e)), None, "wrong learning rate", id="drifting away"
    ),
    pytest.param(lambda e: np.where(np.arange(len(e)) < 40, e, np.nan), 40, "diverged", id="nan"),
    pytest.param(
        lambda e: np.where(np.arange(len(e)) < 40, e, np.inf), 40, "diverged", id="infinite"
    ),
]


@pytest.mark.parametrize("fault, left_at, phrase", FAULTS)
@pytest.mark.parametrize("epochs", [60, 300])
def test_a_curve_of_a_common_fault_leaves_the_band_and_hears_why(
    expected, fault, left_at, phrase, epochs
):
    comparison = compare_losses("part1_mlp", noisy(fault(expected))[:epochs].tolist(), HUMAN)
    assert comparison.left_at is not None
    if left_at is not None:
        assert comparison.left_at == left_at
    assert phrase in str(comparison)
    assert f"at epoch {comparison.left_at}" in str(comparison)


@pytest.mark.parametrize("epochs", [0, 1, 9])
def test_too_few_epochs_are_not_compared(expected, epochs):
    comparison = compare_losses("part1_mlp", (100 * expected[:epochs]).tolist(), HUMAN)
    assert comparison.left_at is None
    assert f"{epochs} epochs are too few to compare: train at least 10" in str(comparison)


def test_epochs_beyond_the_references_are_left_out(expected):
    comparison = compare_losses("part1_mlp", [*expected, 5.0], HUMAN)
    assert len(comparison.ratio) == len(expected) / 5
    assert comparison.left_at is None


def test_without_a_reference_nothing_is_compared(tmp_path):
    assert reference_loss("part1_mlp", HUMAN, tmp_path) is None
    comparison = compare_losses("part1_mlp", [0.1] * 10, HUMAN, tmp_path)
    assert comparison.left_at is None
    assert re.search("no reference loss for Part I", str(comparison))


@pytest.mark.parametrize(
    "name", [name for name, policy in rubric.POLICIES.items() if policy.published]
)
def test_each_set_of_demonstrations_has_references_of_its_own(name):
    human, shipped = (
        reference_loss(name, demonstrations).losses for demonstrations in (HUMAN, SHIPPED)
    )
    assert human != shipped and len(human) == len(shipped)
    for demonstrations, losses in ((HUMAN, human), (SHIPPED, shipped)):
        np.testing.assert_allclose(compare_losses(name, losses, demonstrations).ratio, 1)


def test_losses_on_demonstrations_that_the_kit_does_not_know_are_not_compared():
    assert reference_loss("part1_mlp", OTHERS) is None
    comparison = compare_losses("part1_mlp", [0.1] * 10, OTHERS)
    assert comparison.left_at is None
    assert re.search(
        "does not know, so there is no reference loss.* rollouts, which are graded", str(comparison)
    )


def test_a_damaged_reference_is_named(pickled):
    path = pickled(b"nonsense")
    shutil.copy(FOLDER / "bands.json", path.parent)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        compare_losses("part1_mlp", [0.1] * 10, HUMAN, path.parent)
