"""The mode in which a process uses the library: whether it trains, and whether it shows anything.

A program that wants another mode than the usual one hands it in before it uses the library.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunMode:
    """What the library does in this process.

    train: whether a `TrainingRun` trains; if not, it loads the weights that an earlier run saved.
    show: whether progress bars, live plots, widgets and films are made.
    """

    train: bool = True
    show: bool = True


_current = RunMode()


def run_mode() -> RunMode:
    """Return the mode of this process; unless another was set, it trains and shows everything."""
    return _current


def set_run_mode(mode: RunMode) -> None:
    """Set the mode of this process."""
    global _current
    _current = mode
