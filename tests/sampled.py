"""What of a table `make test` tries; `make test-all` tries all of it."""

import pytest


def sampled(values, kept, name=str):
    """The values as parameters named by `name`; those that are not in `kept` are marked long."""
    assert {*kept} <= {name(value) for value in values}
    return [
        pytest.param(value, id=name(value), marks=[] if name(value) in kept else [pytest.mark.long])
        for value in values
    ]
