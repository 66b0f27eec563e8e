"""The README's pictures are of what the kit has now."""

import json

import pictures
import pytest


@pytest.mark.parametrize("name", pictures.SHOWN)
def test_a_picture_is_not_older_than_what_it_shows(name):
    made_from = json.loads((pictures.FOLDER / "pictures.json").read_text())
    assert (pictures.FOLDER / name).is_file()
    assert made_from[name] == pictures.digests()[name], f"run `make pictures` for {name}"


def test_the_moving_picture_is_small_enough_for_a_front_page():
    assert (pictures.FOLDER / "policies.gif").stat().st_size < 2_000_000
