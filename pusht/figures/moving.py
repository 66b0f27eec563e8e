"""Pictures with sliders in a running notebook. A saved or graded notebook and a web page show a
still picture.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.display import display

from pusht import widgets
from pusht.figures.page import Picture
from pusht.progress import in_notebook
from pusht.run_mode import run_mode


@dataclass
class Slider:
    """A slider: its name, the texts of its positions in order, and the position it starts at."""

    name: str
    values: Sequence[str]
    start: int = 0


class Live(Picture):
    """A still picture whose place a widget takes in a running notebook.

    The widget's part in the page is `moving.js`. Tab moves between its controls, the arrow keys
    move a slider, and the space bar presses a button.
    """

    interval: int | None = None  # ms between two positions while playing; None: it does not play

    def __init__(self, image: Picture, text: str) -> None:
        """Take the still picture, and a text that replaces the widget if widgets are not shown."""
        super().__init__(image.data, image.alt, image.width, image.height)
        self.text = text

    def sliders(self) -> list[Slider]:
        """Return the sliders in order; a player plays along the first."""
        raise NotImplementedError

    def shown(self, at: Sequence[int]) -> tuple[Picture, list[int]]:
        """Return the picture at these positions of the sliders, and each slider's last position."""
        raise NotImplementedError

    def widget(self) -> Any:
        """Return a new widget."""
        sliders = self.sliders()
        first, last = self.shown([slider.start for slider in sliders])
        controls = {
            "label": self.text,
            "sliders": [vars(slider) for slider in sliders],
            "last": last,
            "interval": self.interval,
            "width": first.width,
        }
        return widgets.make(
            Path(__file__).with_name("moving.js"),
            self._receive,
            controls=controls,
            first=first.data,
            alt=first.alt,
        )

    def _receive(self, message: Mapping[str, Any]) -> widgets.Answer:
        picture, last = self.shown(message["at"])
        return {"alt": picture.alt, "last": last}, picture.data

    def _ipython_display_(self) -> None:
        display(Picture(self.data, self.alt, self.width, self.height))
        if in_notebook() and run_mode().show:
            widgets.show(self.widget(), self.text)


class Moving(Live):
    """A picture of moments with a slider through all of them."""

    def __init__(
        self,
        image: Picture,
        name: str,
        values: Sequence[str],
        start: int,
        frame: Callable[[int], Picture],
    ) -> None:
        """Take the still picture and the slider's properties.

        name: name of the slider. values: the strings that it shows, in order. start: index of the
        first one shown. frame: function from an index to its `Picture`, called when it is shown.
        """
        super().__init__(image, f"a slider through {name}")
        self.name, self.values, self.start, self.frame = name, values, start, functools.cache(frame)

    def sliders(self) -> list[Slider]:
        return [Slider(self.name, self.values, self.start)]

    def shown(self, at: Sequence[int]) -> tuple[Picture, list[int]]:
        last = len(self.values) - 1
        return self.frame(min(max(at[0], 0), last)), [last]
