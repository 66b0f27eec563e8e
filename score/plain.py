"""Text that others wrote, such as students and their programs, without what acts on its reader's
screen: terminal escapes, control characters, and marks that turn the direction of writing.
"""

import re

# ECMA-48: CSI and OSC sequences, strings of other kinds, and short escapes. An OSC or string
# sequence ends with its line at the latest, or it could swallow what follows.
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"
)
_BREAK = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Joiners: scripts and emoji are written with them.
_KEPT = frozenset("\n\t\u200c\u200d")
_REPLACEMENT = "\ufffd"


def plain(text: object) -> str:
    """Return a text of any number of lines for a terminal, a file or a page.

    Escape sequences are left out, and every other character that cannot be printed is shown as
    U+FFFD.
    """
    lines = _BREAK.sub("\n", _ESCAPE.sub("", str(text)))
    if lines.isprintable():
        return lines
    return "".join(
        c if c.isprintable() or c in _KEPT else " " if c.isspace() else _REPLACEMENT for c in lines
    )


def plain_line(text: object) -> str:
    """Return a text as `plain` does, on one line: what it says cannot pass for another line."""
    return re.sub(r"[\n\t]", " ", plain(text))
