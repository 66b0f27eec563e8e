"""Fixtures for all tests: the demonstrations, and an environment that is the same everywhere."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import courses
import pytest
import torch

from pusht import PushTStateDataset, demos, run_mode

_PUSHT_DEMOS = os.environ.get("PUSHT_DEMOS")

# With one thread, sums are in the same order on every machine.
torch.set_num_threads(1)

# Shells start what runs in the background with Ctrl-C ignored, and every process that a test starts
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_mode_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what shortens or forbids training, so that tests run alike whoever starts them."""
    for name in (
        "NBGRADER_EXECUTION",
        "PUSHT_MAX_EPOCHS",
        "PUSHT_MAX_EPISODES",
        "PUSHT_DEMOS",
        "WANDB_MODE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(run_mode, "_current", run_mode.RunMode())


@pytest.fixture(autouse=True, scope="session")
def state_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep resume files out of the user's own folder for programs' state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def courses_that_are_copied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Give the test processes of one run one folder for the courses that their tests copy."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # one of pytest-xdist's processes
        folder = folder.parent
    courses.originals = folder / "courses"
    courses.originals.mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def demos_path() -> str:
    """The path of the human demonstrations: PUSHT_DEMOS, or a folder beside the checkout."""
    if _PUSHT_DEMOS:
        return _PUSHT_DEMOS
    path = Path(__file__).resolve().parents[2] / "shared" / "human_demos" / "pusht.zip"
    if not path.is_file():
        pytest.skip(
            f"needs the human demonstrations: set PUSHT_DEMOS to their path, or put them at {path}"
        )
    return str(path)


@pytest.fixture(scope="session")
def human(demos_path: str) -> demos.Demonstrations:
    return demos.open(demos_path)


@pytest.fixture(scope="session")
def demonstrations() -> demos.Demonstrations:
    return demos.open("shipped")


@pytest.fixture(scope="session")
def dataset(demonstrations: demos.Demonstrations) -> PushTStateDataset:
    return PushTStateDataset(demonstrations, pred_horizon=16, obs_horizon=2, action_horizon=8)
