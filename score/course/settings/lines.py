"""In which line of a TOML file a setting stands: Python's reader keeps no lines."""

import re

_TABLE = re.compile(r"\s*\[\[?\s*(?P<name>[^\[\]]+?)\s*\]\]?\s*(#.*)?$")


def line_of(text: str, key: str, table: str = "", number: int = 1) -> int | None:
    """Return the number of the line with a key, or of its table's first line; None without either.

    table: the table's name, "" for the top. number: which of several tables of that name. It is
    found by how lines begin: of keys within braces the line of the braces is known alone.
    """
    own = re.compile(rf"\s*(?:{re.escape(key)}|\"{re.escape(key)}\"|'{re.escape(key)}')\s*[=.]")
    at, seen, head = "", 0, None
    for place, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            at = found["name"]
            seen += at == table
            if table and at == f"{table}.{key}" and seen == number:
                return place  # a table of its own in place of one in braces
            if at == (table or key) and (seen == number or not table):
                head = head or place
        elif at == table and (not table or seen == number) and own.match(line):
            return place
    return head
