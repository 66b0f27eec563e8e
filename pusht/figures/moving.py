"""Pictures with controls in a running notebook. A saved or graded notebook and a web page show a
still picture.
"""

import functools
import html
from collections.abc import Callable, Sequence
from typing import Any

from IPython.display import display

from pusht.figures.page import Picture
from pusht.progress import in_notebook
from pusht.run_mode import run_mode


class Live(Picture):
    """A still picture with a widget below it in a running notebook.

    `widget()` makes the widget when the picture is shown.
    """

    def __init__(self, image: Picture, text: str) -> None:
        """Take the still picture, and a text that replaces the widget if widgets are not shown."""
        super().__init__(image.data, image.alt, image.width, image.height)
        self.text = text

    def widget(self) -> Any:
        """Return a new widget."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        display(Picture(self.data, self.alt, self.width, self.height))
        if in_notebook() and run_mode().show:
            view = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget().model_id,
            }
            # The default text of a widget would list all its attributes.
            bundle = {
                "application/vnd.jupyter.widget-view+json": view,
                "text/plain": f"(In a running notebook: {self.text}.)",
            }
            display(bundle, raw=True)


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

    def widget(self) -> Any:
        """Return the slider over the moment that it points at; arrow keys move it."""
        import ipywidgets

        scene = Scene(self.frame(self.start))
        slider = ipywidgets.SelectionSlider(
            options=[(value, i) for i, value in enumerate(self.values)],
            value=self.start,
            description=self.name,
            layout=wide(self.width),
        )
        hinted(slider, "Arrow keys move it.")
        slider.observe(lambda change: scene.show(self.frame(change["new"])), names="value")
        return ipywidgets.VBox([slider, *scene.widgets])


class Scene:
    """Widgets that show a `Picture` with its alternative text below it, because the image widget
    has no alternative text.
    """

    def __init__(self, image: Picture) -> None:
        import ipywidgets

        self.widgets = [
            ipywidgets.Image(
                value=image.data,
                format="png",
                width=image.width,
                height=image.height,
                layout=ipywidgets.Layout(max_width="100%"),
            ),
            ipywidgets.HTML(_line(image), layout=wide(image.width)),
        ]

    def show(self, image: Picture) -> None:
        """Show another picture."""
        picture, line = self.widgets
        picture.value, line.value = image.data, _line(image)


def _line(image: Picture) -> str:
    alt = html.escape(image.alt)
    return f'<div style="font-size: 90%; line-height: 1.4">{alt}</div>'


def wide(pixels: int) -> Any:
    """Return the layout of a widget that is this wide, or narrower if there is less room."""
    import ipywidgets

    return ipywidgets.Layout(width=f"{pixels}px", max_width="98%")


def hinted(widget: Any, hint: str) -> Any:
    """Return the widget with a tooltip, whose attribute differs in ipywidgets 7 and 8."""
    setattr(widget, "tooltip" if widget.has_trait("tooltip") else "description_tooltip", hint)
    return widget
