"""The notebooks in a real JupyterLab, in Chromium: answers filled in and run from top to bottom,
pictures that change, no errors.
"""

import os
import re

import nbformat
import pytest
from browser import (
    SCREENSHOTS,
    chromium_page,
    jupyter_server,
    needs_chromium,
    run_all,
    start_all,
    write_notebook,
)
from playwright.sync_api import expect

from score.course.notebooks import build

pytestmark = needs_chromium

_MOVING = """
import numpy as np, torch
from pusht import BasePolicy, Normalizer, demos, figures

class Field(BasePolicy):
    def velocity(self, state, a_tau, tau):
        return torch.sign(a_tau[..., :1].mean(dim=1, keepdim=True)) - a_tau

    def parameters(self):
        return iter([torch.zeros(1)])

shipped = demos.open()
normalizer = Normalizer.from_data(shipped.states, shipped.actions)
figures.velocity(Field(5, 2, 8), normalizer, figures.crossroads(shipped))
"""


def moving(page):
    """The outputs of the page in which a slider stands over a picture."""
    return page.locator(".pusht-moving").all()


def picture_changes_with_a_key(page, output):
    """The arrow key, pressed on the first slider of an output, changes its picture."""
    slider, picture = output.get_by_role("slider").first, output.locator("img")
    slider.scroll_into_view_if_needed()
    before = picture.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before)


def opened(server_address, name):
    return chromium_page(server_address(f"lab/tree/{name}"))


def test_a_moving_picture_follows_the_arrow_keys(tmp_path):
    write_notebook(tmp_path / "moving.ipynb", _MOVING)
    with jupyter_server(tmp_path) as address, opened(address, "moving.ipynb") as page:
        run_all(page, 60)
        assert "field of arrows" in page.locator(".jp-OutputArea img").first.get_attribute("alt")
        (output,) = moving(page)
        expect(output.get_by_role("slider", name="τ")).to_be_visible()
        expect(page.locator(".jp-OutputArea img").locator("visible=true")).to_have_count(1)
        picture_changes_with_a_key(page, output)
        output.screenshot(path=SCREENSHOTS / "moving.png")


_BAR = """
import time
from pusht.progress import progress_bar

with progress_bar(400, "training") as bar:
    for _ in range(400):
        time.sleep(0.25)
        bar.update()
"""


def is_saved(answer):
    """Whether this is the server's answer to a notebook that was saved."""
    return answer.request.method == "PUT" and "/api/contents/" in answer.url


@pytest.mark.long
def test_a_bar_is_there_when_the_page_is_loaded_again_while_the_cell_runs(tmp_path):
    """A widget would not be: it waits for the kernel, which is busy."""
    write_notebook(tmp_path / "bar.ipynb", _BAR)
    with jupyter_server(tmp_path) as address, opened(address, "bar.ipynb") as page:
        bar = page.get_by_role("status", name="training")
        start_all(page)
        expect(bar).to_contain_text(re.compile(r"training: +\d+%.* [1-9]\d*/400"), timeout=60_000)
        with page.expect_response(is_saved):
            page.keyboard.press("Control+s")
        page.reload()
        expect(bar).to_contain_text(re.compile(r"training: +\d+%.* [1-9]\d*/400"), timeout=60_000)
        page.screenshot(path=SCREENSHOTS / "bar_after_reload.png")


@pytest.mark.long
@pytest.mark.parametrize("part", build.parts_with_source(), ids=lambda part: part.name)
def test_the_solutions_run_in_jupyterlab_and_its_widgets_move(part, tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHT_MAX_EPOCHS", "2")
    monkeypatch.setenv("PUSHT_MAX_EPISODES", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    name = f"{part.name}.ipynb"
    build.write(build.answered_notebook(part), tmp_path / name)
    with jupyter_server(tmp_path) as address, opened(address, name) as page:
        run_all(page, 500)
        assert not page.locator(
            ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"
        ).count()
        outputs = moving(page)
        assert outputs
        for i, output in enumerate(outputs):
            picture_changes_with_a_key(page, output)
            output.screenshot(path=SCREENSHOTS / f"{part.name}_widget{i}.png")
        told = [image.get_attribute("alt") for image in page.locator(".jp-OutputArea img").all()]
        assert told.count("") + told.count(None) == (
            part.name == "part4_flow"
        )  # the curves that the student draws
        page.keyboard.press("Control+s")
        expect(page.locator(".jp-mod-current.jp-mod-dirty")).to_have_count(0)
        page.screenshot(path=SCREENSHOTS / f"{part.name}.png")
    saved = tmp_path / name
    assert os.path.getsize(saved) < 5_000_000
    assert not [
        o
        for cell in nbformat.read(saved, as_version=4).cells
        for o in cell.get("outputs", [])
        if o.output_type == "error"
    ]
