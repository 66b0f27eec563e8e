"""Matplotlib's figures as inline SVG: small, the same each time, and in the page's colours.

Figures are drawn in stand-in colours. These become the style sheet's variables, so that a chart
turns dark with the page.
"""

import io
import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from markupsafe import Markup
from matplotlib import style
from matplotlib.figure import Figure

WIDTH = 320.0  # of every chart, in pixels: that of a phone, where text stays readable

_VARIABLES = ("own", "reference", "full", "soft", "line", "bar", "card")
COLOURS = {name: f"#0000{number:02x}" for number, name in enumerate(_VARIABLES, start=1)}

_SETTINGS = {
    "font.size": 11,
    "text.parse_math": False,
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "pusht",
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_KEPT = ("d", "x", "y")  # attributes that are copied from Matplotlib's elements
_FONT = ("font", "font-size", "font-family")

# A decorator of functions that draw: Matplotlib's defaults, whatever the machine's settings are.
drawing = style.context(["default", _SETTINGS])


def new_figure(height: float) -> Figure:
    """Return an empty, transparent figure, `WIDTH` × `height` pixels."""
    # Matplotlib's SVG has 72 units to the inch.
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    figure.patch.set_visible(False)
    return figure


def inline_svg(
    figure: Figure, name: str, label: str, titles: Mapping[str, Sequence[str]] | None = None
) -> Markup:
    """Return a figure as an SVG element for a page.

    name: begins the ids in it; no other chart of the page may have it. label: the text in place of
    the picture, for those who do not see it. titles: texts of the markers that were drawn with this
    gid, which browsers show beside the pointer.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    source = fromstring(buffer.getvalue())
    svg = Element("svg", {"viewBox": source.attrib["viewBox"], "role": "img", "aria-label": label})
    _Copy(svg, name, titles or {}).group(source)
    return Markup(tostring(svg, encoding="unicode"))


class _Copy:
    """Copies what is drawn in Matplotlib's SVG to one without groups, in short numbers."""

    def __init__(self, svg: Element, name: str, titles: Mapping[str, Sequence[str]]):
        self._svg, self._name, self._titles = svg, name, titles
        self._markers: dict[str, Element] = {}  # by Matplotlib's id

    def group(self, source: Element) -> None:
        for element in source:
            tag = _tag(element)
            if tag == "g" and element.get("id") in self._titles:
                before = len(self._svg)
                self.group(element)
                uses = [added for added in self._svg[before:] if added.tag == "use"]
                for use, title in zip(uses, self._titles[element.attrib["id"]], strict=True):
                    SubElement(use, "title").text = title
            elif tag == "g":
                self.group(element)
            elif tag == "defs":
                self._define(element)
            elif tag == "use":
                self._use(element)
            elif tag in ("path", "text"):
                added = SubElement(self._svg, tag, _attributes(element, digits=1))
                added.text = element.text

    def _define(self, source: Element) -> None:
        paths = [element for element in source if _tag(element) == "path"]
        if not paths:
            return  # Matplotlib's style sheet, which would be the page's
        defs = SubElement(self._svg, "defs")
        for path in paths:
            marker = SubElement(defs, "path", _attributes(path, digits=2))
            marker.set("id", f"{self._name}-{len(self._markers)}")
            self._markers[path.attrib["id"]] = marker

    def _use(self, source: Element) -> None:
        attributes = _attributes(source, digits=1)
        (reference,) = (value for key, value in source.items() if key.endswith("href"))
        marker = self._markers[reference.removeprefix("#")]
        # Matplotlib makes a marker for each style, so the style can be the marker's.
        marker.set("style", attributes.pop("style"))
        SubElement(self._svg, "use", {"href": f"#{marker.attrib['id']}"} | attributes)


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _attributes(element: Element, digits: int) -> dict[str, str]:
    kept = {key: _short(element.attrib[key], digits) for key in _KEPT if key in element.attrib}
    declarations = [part.strip().split(": ") for part in element.get("style", "").split(";")]
    style = ";".join(
        f"{name}:{_variable(value)}"
        for name, value in (each for each in declarations if len(each) == 2)
        if name not in _FONT
    )
    return kept | ({"style": style} if style else {})


def _short(text: str, digits: int) -> str:
    """Return a path's commands or a number with fewer digits and no spaces about letters."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), digits):g}", text)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded).strip()


def _variable(value: str) -> str:
    names = {colour: name for name, colour in COLOURS.items()}
    return f"var(--{names[value]})" if value in names else value
