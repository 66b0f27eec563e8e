"""The paths that files have in a student's upload, for sentences: in the packed zip they may have
other names.
"""

import json
import os
import re
from collections.abc import Mapping

from score.protocol import one_line

FILE = "paths.json"  # in the packed zip
_LONGEST = 200  # characters of a path


def differing(paths: Mapping[str, str]) -> dict[str, str]:
    """Return {name in the packed zip: path in the upload} of the files whose path there, below the
    folder that holds all of them, is not their name.
    """
    if all(f"/{path}".endswith(f"/{name}") for name, path in paths.items()):
        return {}
    root = os.path.commonpath([os.path.dirname(path) for path in paths.values()])
    below = {name: os.path.relpath(path, root or ".") for name, path in paths.items()}
    return {name: path for name, path in below.items() if path != name}


def written(paths: Mapping[str, str]) -> bytes:
    """Return the content of `FILE`."""
    return json.dumps(dict(sorted(paths.items())), indent=1).encode()


def in_own_words(text: str, content: bytes | None) -> str:
    """Return a sentence with the paths of the upload in place of the names in the packed zip.

    content: of `FILE`, which the kit wrote, or None without it.
    """
    paths = json.loads(content) if content else {}
    if not paths:
        return text
    names = "|".join(map(re.escape, sorted(paths, key=len, reverse=True)))
    return re.sub(names, lambda found: one_line(paths[found[0]])[-_LONGEST:], text)
