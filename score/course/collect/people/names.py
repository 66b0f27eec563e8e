"""Names of people: when two are one person's, and what a folder is called after one."""

import hashlib
import unicodedata
from collections.abc import Iterator


def made_of(name: str) -> str:
    """Return a folder's name made of a person's: its Latin letters without accents or, where it has
    others, a number that follows from it.
    """
    words = "".join(char if char.isalnum() else " " for char in without_marks(name)).split()
    lost = [char for word in words for char in word if not char.isascii()]
    if words and not lost:
        return "-".join(words)[:60]
    text = unicodedata.normalize("NFC", name).casefold()
    return f"student-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def without_marks(name: str) -> str:
    """Return a name without accents and apostrophes."""
    spread = unicodedata.normalize("NFKD", name.replace("'", "").replace("’", ""))
    return "".join(char for char in spread if not unicodedata.combining(char))


def squashed(name: str) -> str:
    """Return the letters of a name, "Lee, Ann" as "Ann Lee"."""
    last, comma, first = name.partition(",")
    whole = f"{first}{last}" if comma else name
    text = unicodedata.normalize("NFKC", whole).casefold()
    return "".join(c for c in text if c.isalnum() or unicodedata.combining(c))


def are_one(name: str, other: str) -> bool:
    """Say whether two names may be one person's, but for accents and order."""
    return squashed(without_marks(other)) in spellings(without_marks(name))


def spellings(name: str) -> Iterator[str]:
    """Yield how a name may be written together: "annlee" and, as Canvas does, "leeann"."""
    words = name.replace(",", " ").split()
    for first in range(len(words)):
        yield squashed(" ".join([*words[first:], *words[:first]]))
