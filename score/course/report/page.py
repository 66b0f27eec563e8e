"""What the pages share: their templates, and how text and numbers appear in them.

A page is one file without a script; of a large class the lists go on in further pages. Anyone may
have written what it shows, so all text is escaped, and what a student's process wrote is cut to a
line of printable characters.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from score import rubric
from score.plain import plain_line

_FOLDER = Path(__file__).parent
ON_PAGE = 500  # rows of a list
_MOST_NAMES = 200  # of students with the same mistake
_LONGEST = 700  # characters of a sentence
MARKS = {
    "full": ("✓", "full points"),
    "some": ("◐", "some of the points"),
    "none": ("✗", "no points"),
    "waits": ("…", "to be read by a person"),
    "missing": ("–", "not graded"),
}


def render(template: str, **values: Any) -> str:
    """Return the HTML of a template with these values."""
    return _environment().get_template(template).render(values)


def in_pages(lists: Sequence[str], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the pages of a class's report by path: report.html with the first rows of each of the
    lists, whose names are keys of the values, and pages in report/ with their other rows.
    """
    cuts = {
        name: [
            (f"report/{name}-{start // ON_PAGE + 1}.html", start)
            for start in range(ON_PAGE, len(values[name]), ON_PAGE)
        ]
        for name in lists
    }
    counts = {name: len(values[name]) for name in lists}
    more = {
        name: [(path, start + 1, min(start + ON_PAGE, counts[name])) for path, start in cut]
        for name, cut in cuts.items()
    }
    shown = {name: values[name][:ON_PAGE] for name in lists}
    first = render("report.html", counts=counts, more=more, shown=shown, up="", **values)
    pages = {"report.html": first}
    for name, cut in more.items():
        for path, start, last in cut:
            about = {"name": name, "first": start, "last": last, "up": "../"}
            rows = values[name][start - 1 : last]
            pages[path] = render("further.html", rows=rows, **about, **values)
    return pages


@functools.cache
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"num": _number, "printable": printable, "time": _time}
    env.globals |= {"MARKS": MARKS, "PARTS": rubric.PARTS, "MOST_NAMES": _MOST_NAMES}
    return env


def pages_version() -> str:
    """Return a hash of templates and code, so that pages are rebuilt when these change."""
    digest = hashlib.sha256()
    for pattern in ("*.py", "templates/*.html"):
        files = sorted(_FOLDER.glob(pattern))
        assert files, f"The report has no file that matches {pattern}."
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def printable(text: object) -> str:
    """Return a text as one line of printable characters, cut to some 700.

    A student's process may have written it. A traceback of ours is left out.
    """
    text = str(text)[: 10 * _LONGEST].partition("Traceback (most recent call last)")[0]
    line = re.sub(r"\s+", " ", plain_line(text)).strip()
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " …"


def _number(value: float, places: int = 2) -> str:
    text = f"{value:.{places}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
