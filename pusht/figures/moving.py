"""Pictures that move in a running notebook, and that a saved notebook, a graded one or a web page
shows as a still.
"""

import functools
import html

from IPython.display import display

from pusht.figures.page import Picture
from pusht.progress import in_notebook
from pusht.run_mode import run_mode


class Live(Picture):
    """A still picture that, in a running notebook, has a widget under it: `widget()`, made when the
    picture is shown.
    """

    def __init__(self, image, what):
        """image: the still, a `Picture`. what: the widget is, said where widgets are not shown."""
        super().__init__(image.data, image.metadata["alt"], image.width, image.height)
        self.what = what

    def _ipython_display_(self):
        display(Picture(self.data, self.metadata["alt"], self.width, self.height))
        if in_notebook() and run_mode().show:
            # In place of the widgets' own text, which lists all their attributes, what a page
            # without widgets shows.
            display(
                {
                    "application/vnd.jupyter.widget-view+json": {
                        "version_major": 2,
                        "version_minor": 0,
                        "model_id": self.widget().model_id,
                    },
                    "text/plain": f"(In a running notebook: {self.what}.)",
                },
                raw=True,
            )


class Moving(Live):
    """A picture of moments with a slider through all of them."""

    def __init__(self, image, name, values, start, frame):
        """name, values: of the slider, the strings it shows in order. start: index of the first one
        shown.
        frame: index -> `Picture`, drawn when it is asked for."""
        super().__init__(image, f"a slider through {name}")
        self.name, self.values, self.start, self.frame = name, values, start, functools.cache(frame)

    def widget(self):
        """The slider over the moment that it points at; arrow keys move it."""
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
    """The widgets that show a `Picture` and, since theirs has no place for it, its alternative text
    as a line under it.
    """

    def __init__(self, image):
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

    def show(self, image):
        picture, line = self.widgets
        picture.value, line.value = image.data, _line(image)


def _line(image):
    return (
        f'<div style="font-size: 90%; line-height: 1.4">{html.escape(image.metadata["alt"])}</div>'
    )


def wide(pixels):
    """The layout of a widget that is this wide, and narrower where there is no room."""
    import ipywidgets

    return ipywidgets.Layout(width=f"{pixels}px", max_width="98%")


def hinted(widget, hint):
    """The widget with a hint for the mouse, which ipywidgets 7 and 8 call differently."""
    setattr(widget, "tooltip" if widget.has_trait("tooltip") else "description_tooltip", hint)
    return widget
