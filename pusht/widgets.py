"""Widgets with a script of the kit's own in the page, each of which takes the place of a still
picture.

The still is the output before the widget's. A page that draws no widgets (a PDF, GitHub, a site, an
nbgrader feedback, a notebook that is opened again) shows it; where the widget is drawn, the
widget's style hides it, so that there is one picture in either case.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# An output in JupyterLab and Notebook 7, in VS Code and in Colab, if the next one has a widget.
_CSS = """
:is(.jp-OutputArea-child, .output_container, .display_data):has(img):has(+ * .pusht-widget) {
  display: none;
}
"""

Answer = tuple[dict[str, Any], bytes]  # values that can be written as JSON, and a picture as PNG


def make(script: Path, receive: Callable[[Mapping[str, Any]], Answer], **first: Any) -> Any:
    """Return a widget whose part in the page is a script, which gives its element the class
    pusht-widget.

    receive: function from a message of the page to the answer. first: what the script can read
        from its model at once; a saved notebook contains this and no answers.
    """
    import anywidget
    import traitlets

    kinds: dict[type, Any] = {bytes: traitlets.Bytes, str: traitlets.Unicode, dict: traitlets.Dict}
    traits = {name: kinds[type(value)](value).tag(sync=True) for name, value in first.items()}
    source = {"_esm": script.read_text(encoding="utf-8"), "_css": _CSS}
    widget = type("PushTWidget", (anywidget.AnyWidget,), {**source, **traits})()

    def hear(widget: Any, message: Mapping[str, Any], buffers: Any) -> None:
        answer, picture = receive(message)
        widget.send(answer, buffers=[picture])

    widget.on_msg(hear)
    return widget


def show(widget: Any, text: str) -> None:
    """Display a widget; where widgets are not drawn, the text says what it would be.

    In Colab, anywidget switches on the widgets that Colab leaves off.
    """
    from IPython.display import display

    data, metadata = widget._repr_mimebundle_()
    told = f"(In a running notebook: {text}.)"  # the default would list all attributes
    display({**data, "text/plain": told}, metadata=metadata, raw=True)
