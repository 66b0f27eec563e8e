"""Progress bars for notebooks and terminals that never write to stderr."""

import os
import sys
from typing import TYPE_CHECKING, Any

from IPython import get_ipython

from pusht.run_mode import run_mode

if TYPE_CHECKING:
    from tqdm import tqdm


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, in Jupyter or Colab."""
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def max_epochs(planned: int) -> int:
    """Return how many of the planned epochs to train.

    It is 0 when the run mode forbids training, and otherwise at most the number in the environment
    variable PUSHT_MAX_EPOCHS.
    """
    if not run_mode().train:
        return 0
    return min(planned, int(os.environ.get("PUSHT_MAX_EPOCHS", planned)))


def progress_bar(total: int | None, description: str, **options: Any) -> "tqdm":
    """Return a tqdm bar: a widget in a notebook, one line on stdout in a terminal.

    It stays invisible when stdout is not a terminal, and when the run mode shows nothing.
    options: further arguments of tqdm.
    """
    if in_notebook() and run_mode().show:
        from tqdm.notebook import tqdm as notebook_tqdm

        return notebook_tqdm(total=total, desc=description, **options)
    from tqdm import tqdm

    hidden = not run_mode().show or not sys.stdout.isatty()
    return tqdm(total=total, desc=description, file=sys.stdout, disable=hidden, **options)
