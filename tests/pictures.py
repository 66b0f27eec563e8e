"""Makes the pictures of the README from the kit itself: `make pictures` writes docs/pictures/.

It needs `chromium`, and grades the demo's submissions on the way. pictures.json says what each
picture was made from; a test sees that this is what the kit has now.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
from browser import chromium_page, jupyter_server, run_all
from PIL import Image, ImageDraw, ImageFont

from pusht import receding_horizon, render, rollout
from pusht.episodes import Episodes
from pusht.resources import ROOT
from score import rubric
from score.course.notebooks.build import answered_notebook
from score.course.notebooks.solutions import reference_policy
from score.course.tools.demo import demo

FOLDER = ROOT / "docs" / "pictures"
# What a picture shows: it is made again when one of these files has changed.
SHOWN = {
    "policies.gif": ("data/reference/shipped/*.safetensors", "pusht/sim.py", "pusht/render.py"),
    "check.png": ("notebooks/source/part1_mlp.py", "score/questions/mlp.py", "score/verdict.py"),
    "feedback.png": ("score/course/report/feedback.py", "score/course/report/templates/*"),
    "report.png": ("score/course/report/class_page.py", "score/course/report/templates/*"),
}
STARTS = range(50_000, 50_003)  # held-out ones, the first three
_SIDE, _HEAD, _GAP, _STEPS, _EVERY = 132, 22, 4, 300, 3
_SOLVED = "#009E73"


def digests():
    """What each picture is made from, as {picture: digest of the files}."""
    return {picture: _digest(patterns) for picture, patterns in SHOWN.items()}


def _digest(patterns):
    found = hashlib.sha256()
    for pattern in patterns:
        files = sorted(ROOT.glob(pattern))
        assert files, f"{pattern} matches nothing"
        for file in files:
            found.update(file.read_bytes())
    return found.hexdigest()


def policies():
    """Write policies.gif: the reference policies from three starts."""
    played = {policy.label: _played(policy) for policy in rubric.POLICIES.values()}
    drawn = {
        label: [render.render_many(states, size=_SIDE) for states in episodes.states]
        for label, episodes in played.items()
    }
    moments = [0] * 4 + list(range(0, _STEPS + 1, _EVERY)) + [_STEPS] * 12
    frames = [_frame(drawn, played, moment) for moment in moments]
    first, *others = (frame.quantize(32, dither=Image.Dither.NONE) for frame in frames)
    first.save(
        FOLDER / "policies.gif",
        save_all=True,
        append_images=others,
        duration=60,
        loop=0,
        optimize=True,
    )


def _played(policy: rubric.Policy) -> Episodes:
    """Episodes of a reference policy from the same three starts, whatever its part's rules are."""
    infer, stats = reference_policy(policy)
    horizon = policy.obs_horizon
    acting = receding_horizon(infer, stats, obs_horizon=horizon)
    return rollout(acting, list(STARTS), obs_horizon=horizon, max_steps=_STEPS)


def _frame(drawn: dict[str, list[np.ndarray]], played: dict[str, Episodes], moment: int):
    """One frame: a column for each policy, a row for each start, a solved episode framed green."""
    step, rows = _SIDE + _GAP, len(STARTS)
    size = (len(drawn) * step - _GAP, _HEAD + rows * step - _GAP)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    for column, (label, episodes) in enumerate(drawn.items()):
        x = column * step
        where = (x + _SIDE / 2, _HEAD / 2)
        draw.text(where, label, "#222222", ImageFont.truetype(font, 13), anchor="mm")
        for row, frames in enumerate(episodes):
            y, last = _HEAD + row * step, len(frames) - 1
            image.paste(Image.fromarray(frames[min(moment, last)]), (x, y))
            if moment >= last and played[label].successes[row]:
                corners = (x, y, x + _SIDE - 1, y + _SIDE - 1)
                draw.rectangle(corners, outline=_SOLVED, width=3)
    return image


def check():
    """Write check.png: a wrong answer to Q1.2 in JupyterLab, and what its check says."""
    notebook = answered_notebook(rubric.PARTS["part1_mlp"])
    wanted = ("part1-imports", "part1-bc_loss", "part1-q1_2")
    cells = [cell for cell in notebook.cells if cell.id in wanted or "### Q1.2" in cell.source]
    answer = next(cell for cell in cells if cell.id == "part1-bc_loss")
    answer.source = answer.source.replace("functional.mse_loss(", "functional.l1_loss(")
    notebook.cells = cells
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(notebook, Path(folder) / "part1_mlp.ipynb")
        with (
            jupyter_server(folder) as address,
            chromium_page(address("lab/tree/part1_mlp.ipynb")) as page,
        ):
            page.set_viewport_size({"width": 1100, "height": 1000})
            run_all(page, 60)
            first, last = page.locator(".jp-MarkdownCell").first, page.locator(".jp-CodeCell").last
            last.scroll_into_view_if_needed()
            top, end = first.bounding_box(), last.bounding_box()
            clip = {"x": top["x"], "y": max(top["y"], 0), "width": top["width"]}
            clip["height"] = end["y"] + end["height"] - clip["y"]
            page.screenshot(path=FOLDER / "check.png", clip=clip)


def pages():
    """Write feedback.png and report.png: what the demo's course has."""
    with tempfile.TemporaryDirectory() as folder:
        demo(folder)
        course = Path(folder).resolve() / "course"
        feedback = next((course / "feedback" / "part3_wrong").rglob("feedback.html"))
        for name, file in (("feedback.png", feedback), ("report.png", course / "report.html")):
            with chromium_page(file.as_uri()) as page:
                page.set_viewport_size({"width": 1000, "height": 760})
                page.screenshot(path=FOLDER / name)


MAKERS = {policies: ["policies.gif"], check: ["check.png"], pages: ["feedback.png", "report.png"]}


def main(names: Iterable[str] = ()) -> None:
    """Make the pictures of these names, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    record = FOLDER / "pictures.json"
    kept = json.loads(record.read_text()) if record.exists() else {}
    for maker, made in MAKERS.items():
        if not names or set(names) & set(made):
            maker()
            kept |= {name: digests()[name] for name in made}
    record.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
