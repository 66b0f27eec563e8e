"""What the pages share: their templates, and how text and numbers appear in them.

A page is one file without a script. Anyone may have written what it shows, so all text is escaped,
and what a student's process wrote is cut to a line of printable characters.
"""

import functools
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from score import rubric
from score.plain import plain_line

_FOLDER = Path(__file__).parent
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
    env.globals |= {"MARKS": MARKS, "PARTS": rubric.PARTS}
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
