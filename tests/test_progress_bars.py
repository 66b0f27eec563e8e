"""A bar in a notebook is text that is replaced in place, and hidden while it is graded."""

import html
import re
from types import SimpleNamespace

import pytest

from pusht import progress
from pusht.run_mode import RunMode, set_run_mode


@pytest.fixture
def shown(monkeypatch):
    """What a notebook's output holds after each change, with 0 s between the states of a bar."""
    states = []

    def display(bundle, raw, display_id):
        states.append(bundle)
        return SimpleNamespace(update=lambda bundle, raw: states.append(bundle))

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_EVERY", 0)
    monkeypatch.setattr("IPython.display.display", display)
    return states


def test_each_state_replaces_the_one_before_and_the_last_is_the_end(shown, capfd):
    with progress.progress_bar(4, "training", unit="batch") as bar:
        for _ in range(4):
            bar.update()
        bar.set_postfix(loss="0.01")
    lines = [state["text/plain"] for state in shown]
    done = [int(re.search(r"(\d+)/4", line)[1]) for line in lines]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 4
    assert lines[-1].startswith("training: 100%|███") and "loss=0.01" in lines[-1]
    assert not [line for line in lines if "\n" in line or "\r" in line or "\x1b" in line]
    assert capfd.readouterr() == ("", "")


def test_pages_without_widgets_have_the_same_text(shown):
    with progress.progress_bar(2, "<b>a & b", unit="episode") as bar:
        bar.update(2)
    assert all({*state} == {"text/plain", "text/html"} for state in shown)
    assert html.escape(shown[-1]["text/plain"]) in shown[-1]["text/html"]
    assert "<b>" not in shown[-1]["text/html"]


def test_an_error_leaves_the_state_at_which_it_happened(shown):
    with pytest.raises(KeyboardInterrupt), progress.progress_bar(9, "training") as bar:
        bar.update(3)
        raise KeyboardInterrupt
    assert "3/9" in shown[-1]["text/plain"]


def test_while_graded_nothing_is_shown(shown, capfd):
    set_run_mode(RunMode(show=False))
    with progress.progress_bar(2, "training") as bar:
        bar.update()
    assert not shown and capfd.readouterr() == ("", "")
