"""What the notebooks say that we found is what the command finds."""

import pytest

from score.course.notebooks.build import read_findings
from score.course.tools import findings


def test_each_finding_is_kept_and_no_other():
    assert read_findings().keys() == findings.EVERY.keys()


def test_what_is_said_of_the_divergences_weight_is_what_its_networks_did():
    assert findings.EVERY["weights"]() == read_findings()["weights"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["demonstrations", "noise", "horizons"])
def test_a_finding_is_found_again(name):
    assert findings.EVERY[name]() == read_findings()[name]
