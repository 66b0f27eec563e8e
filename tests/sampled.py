"""What of a table `make test` tries; `make test-all` tries all of it."""

import pytest


def sampled(values, kept, name=str):
    """The values as parameters with these names; those whose name is not in `kept` are long."""
    return [
        pytest.param(value, id=name(value), marks=[] if name(value) in kept else [pytest.mark.long])
        for value in values
    ]
