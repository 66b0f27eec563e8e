"""What of a table `make test` tries; `make test-all` tries all of it."""

import pytest


def sampled(values, kept):
    """The values, texts or what has a name, as parameters; those not in `kept` are marked long."""
    named = {value if isinstance(value, str) else value.name: value for value in values}
    assert {*kept} <= {*named}
    return [
        pytest.param(value, id=name, marks=[] if name in kept else [pytest.mark.long])
        for name, value in named.items()
    ]
