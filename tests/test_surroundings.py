"""What an earlier cell set for the whole process is not there while a check runs."""

import warnings

import pytest

from score.student.surroundings import usual_surroundings


class CategoryOfAPackage(Warning):
    """As IPython has one, which raises from its start."""


@pytest.mark.parametrize("category", [CategoryOfAPackage, DeprecationWarning, Warning])
def test_no_warning_raises_and_none_is_shown_that_python_does_not_show(category):
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        warnings.simplefilter("ignore", DeprecationWarning)  # as Python itself does
        warnings.simplefilter("error", category)
        with usual_surroundings():
            warnings.warn_explicit("is old", DeprecationWarning, "a_package.py", 1)
            warnings.warn_explicit("divides by zero", RuntimeWarning, "answer.py", 1)
        assert [str(each.message) for each in shown] == ["divides by zero"]
        with pytest.raises(category):
            warnings.warn_explicit("raises again", category, "answer.py", 2)
