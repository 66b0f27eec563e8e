"""Progress bars for notebooks and terminals that never write to stderr.

In a notebook a bar is text that is replaced in place, and no widget: a saved notebook keeps its
last state, pages without widgets show it, and so does a page that is loaded again while a cell
runs, where a widget would wait for the busy kernel.
"""

import html
import os
import sys
from typing import TYPE_CHECKING, Any

from IPython import get_ipython

from pusht.run_mode import run_mode

if TYPE_CHECKING:
    from tqdm import tqdm

_EVERY = 0.5  # s from one state of a notebook's bar to the next


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
    """Return a tqdm bar: text in a notebook's output, one line on stdout in a terminal.

    It stays invisible when stdout is not a terminal, and when the run mode shows nothing.
    options: further arguments of tqdm.
    """
    from tqdm import tqdm

    if in_notebook() and run_mode().show:
        how = {"file": _Output(description), "mininterval": _EVERY, "ncols": 90, "ascii": False}
        return tqdm(total=total, desc=description, **how, **options)
    hidden = not run_mode().show or not sys.stdout.isatty()
    return tqdm(total=total, desc=description, file=sys.stdout, disable=hidden, **options)


class _Output:
    """What tqdm writes a bar to in a notebook, where its last line replaces the one before."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.handle: Any = None

    def write(self, text: str) -> None:
        """Show a line that tqdm writes to draw the bar anew; other writes move the cursor."""
        line = text.strip("\r\n ")
        if not line or line.startswith("\x1b"):
            return
        from IPython.display import display

        label = html.escape(self.description, quote=True)
        page = f'<pre role="status" aria-live="off" aria-label="{label}">{html.escape(line)}</pre>'
        bundle = {"text/plain": line, "text/html": page}
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)

    def flush(self) -> None:
        """Do nothing: every line is shown at once."""
