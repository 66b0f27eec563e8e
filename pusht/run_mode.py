"""The run mode of the library in this process: whether it trains, and whether it shows anything.

A program that needs another mode than the default sets it before it uses the library.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunMode:
    """Whether the library trains and shows anything in this process.

    train: whether a `TrainingRun` trains; if not, it loads the weights that an earlier run saved.
    show: whether the library shows progress bars, live plots and widgets, and writes films.
    """

    train: bool = True
    show: bool = True


_current = RunMode()


def run_mode() -> RunMode:
    """Return the mode of this process; the default is to train and to show everything."""
    return _current


def set_run_mode(mode: RunMode) -> None:
    """Set the mode of this process."""
    global _current
    _current = mode
