"""The table to play on: what is recorded, what is kept, and how it looks in a real JupyterLab."""

import io
import json
import re
import subprocess
import sys
import types
import zipfile

import numpy as np
import PIL.Image
import pytest
import torch
from browser import (
    SCREENSHOTS,
    chromium_page,
    jupyter_server,
    needs_chromium,
    run_all,
    set_theme,
    write_notebook,
)

import score
from pusht import PushTSim, PushTStateDataset, TrainingRun, WindowLoader, demos, play
from pusht.networks import ResidualMLP
from pusht.render import render
from pusht.run_mode import RunMode, set_run_mode
from pusht.sim import sample_start

ROOT = play.Path(play.__file__).parents[1]


@pytest.fixture
def table(tmp_path):
    return play.Table(tmp_path / "mine.zarr.zip", seed=3)


def tell(table, message, times=1):
    for _ in range(times):
        answer, _ = table.receive(message)
    return answer


def places(answer):
    """Agent x, y and block x, y, as the text of the picture has them."""
    return [float(number) for number in re.findall(r"-?\d+", answer["alt"])[:4]]


def seconds(answer):
    return float(answer["status"].split(" s")[0])


def push_about(table, steps=17, seed=0):
    """Move the pointer onto the agent, and on a wavering way into the block and beyond."""
    x, y, block_x, block_y = places(tell(table, {"do": "look"}))
    rng, moved = np.random.default_rng(seed), 0
    for along in np.linspace(1.6 / steps, 1.6, steps):
        at = np.array([x, y]) + along * np.array([block_x - x, block_y - y]) + rng.normal(0, 3, 2)
        moved = tell(table, {"target": at.tolist()})
    return moved


def test_nothing_is_recorded_before_the_pointer_has_come_to_the_agent(table):
    x, y, *_ = places(tell(table, {"do": "look"}))
    answer = tell(table, {"target": [x + 60, y]}, times=20)
    assert seconds(answer) == 0 and answer["still"] and places(answer)[:2] == [x, y]
    assert seconds(tell(table, {"target": [x + 28, y]})) == 0.1
    assert (
        seconds(tell(table, {"target": [x + 100, y]})) == 0.2
    )  # once it leads, it leads from anywhere


def test_a_pointer_that_left_the_table_has_to_come_to_the_agent_again(table):
    push_about(table)
    answer = tell(table, {"do": "release"})
    x, y, *_ = places(answer)
    assert "paused" in answer["say"]
    at = seconds(answer)
    assert seconds(tell(table, {"target": [x + 90, y]})) == at
    assert seconds(tell(table, {"target": [x + 9, y]})) == pytest.approx(at + 0.1)


def test_a_kept_episode_is_the_replay_of_its_actions_from_its_start(table):
    push_about(table)
    assert "1 episode kept" in tell(table, {"do": "keep"})["status"]
    states, actions = demos.open(table.path).episode(0)
    sim, replayed = PushTSim(), []
    sim.reset(sample_start(3))
    for action in actions:
        replayed.append(sim.state)
        sim.step(action)
    assert len(states) == 17
    np.testing.assert_array_equal(states, np.float32(replayed))


def test_the_picture_is_the_state_s_with_the_target_in_it(table):
    _, start = table.receive({"do": "look"})
    sim = PushTSim()
    sim.reset(sample_start(3))
    np.testing.assert_array_equal(PIL.Image.open(io.BytesIO(start)), render(sim.state, size=512))
    target = (sim.state[:2] + np.array([20, 0])).astype(np.float32)
    _, later = table.receive({"target": target.tolist()})
    sim.step(target)
    np.testing.assert_array_equal(
        PIL.Image.open(io.BytesIO(later)), render(sim.state, action=target, size=512)
    )


def test_the_game_pauses_while_agent_and_target_rest(table):
    x, y, *_ = places(tell(table, {"do": "look"}))
    answer = tell(table, {"target": [x, y + 25]}, times=40)
    assert answer["still"] and 0.3 < seconds(answer) < 1.5
    assert places(answer)[:2] == pytest.approx([x, y + 25], abs=1)
    assert not tell(table, {"target": [x, y]})["still"]


def test_keys_move_the_agent_at_once_a_little_when_tapped_and_fast_when_held(table):
    x, y, *_ = places(tell(table, {"do": "look"}))
    tell(table, {"push": [-1, 0]})
    answer = tell(table, {"push": [0, 0]}, times=20)
    assert answer["still"] and places(answer)[:2] == pytest.approx([x - 4, y], abs=1)
    tell(table, {"push": [-1, 0]}, times=4)
    held = places(tell(table, {"push": [0, 0]}, times=20))
    assert held[:2] == pytest.approx([x - 4 - (4 + 7 + 10 + 13), y], abs=1)
    tell(table, {"push": [1, -1]})
    askew = places(tell(table, {"push": [0, 0]}, times=20))
    assert np.hypot(*np.subtract(askew, held)[:2]) == pytest.approx(4, abs=1)


def test_the_agent_stays_on_the_table(table):
    answer = tell(table, {"push": [-1, -1]}, times=60)
    assert places(answer)[:2] == pytest.approx([0, 0], abs=1)


@pytest.mark.parametrize(
    "steps, towards, why", [(10, 1, "10 steps are too few"), (30, -0.2, "the T has not moved")]
)
def test_what_is_no_demonstration_is_not_kept_and_stays_on_the_table(
    steps, towards, why, tmp_path, monkeypatch
):
    monkeypatch.setattr("pusht.env.sample_start", lambda seed: np.array([300.0, 300, 100, 100, 0]))
    table = play.Table(tmp_path / "mine.zarr.zip")
    for along in np.linspace(towards / steps, towards, steps):
        before = tell(table, {"target": [300 - along * 200, 300 - along * 200]})
    answer = tell(table, {"do": "keep"})
    assert why in answer["say"] and answer["say"].startswith("Not kept: ")
    assert answer["status"] == before["status"] and not table.path.exists()


def test_again_is_the_same_start_next_and_keep_are_others(table):
    start = places(tell(table, {"do": "look"}))
    push_about(table)
    assert places(tell(table, {"do": "again"})) == start
    push_about(table)
    second = places(tell(table, {"do": "keep"}))
    third = tell(table, {"do": "next"})
    assert len({tuple(start), tuple(second), tuple(places(third))}) == 3 and seconds(third) == 0


def test_a_solved_episode_ends_and_waits_to_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pusht.env.sample_start", lambda seed: np.array([100.0, 100, 256, 256, np.pi / 4])
    )
    table = play.Table(tmp_path / "mine.zarr.zip")
    answer = tell(table, {"target": [110, 100]}, times=5)
    assert seconds(answer) == 0.1 and answer["still"] and answer["say"].startswith("Solved")


def test_what_was_kept_before_stays_when_more_is_kept(table):
    for seed in (1, 2):
        push_about(table, seed=seed)
        tell(table, {"do": "keep"})
    first = demos.open(table.path)
    another = play.Table(table.path)
    assert (
        "2 episodes kept" in tell(another, {"do": "look"})["status"]
        and another.seed == play.FIRST_SEED + 2
    )
    push_about(another, 25)
    tell(another, {"do": "keep"})
    kept = demos.open(table.path)
    assert kept.num_episodes == 3 and kept.episode_ends.tolist() == [17, 34, 59]
    for i in range(2):
        np.testing.assert_array_equal(kept.episode(i)[0], first.episode(i)[0])
    assert not [path for path in table.path.parent.iterdir() if path != table.path]


def test_an_episode_that_cannot_be_written_stays_on_the_table_and_the_file_as_it_was(
    table, monkeypatch
):
    push_about(table)
    tell(table, {"do": "keep"})
    held = table.path.read_bytes()
    push_about(table)

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.replace", full)
        answer = tell(table, {"do": "keep"})
    assert (
        answer["say"].startswith("Not kept (No space left on device). The episode is still here")
        and seconds(answer) == 1.7
    )
    assert table.path.read_bytes() == held and list(table.path.parent.iterdir()) == [table.path]
    assert "2 episodes kept" in tell(table, {"do": "keep"})["status"]


def test_a_file_that_holds_no_demonstrations_is_refused_before_anyone_plays(tmp_path):
    (tmp_path / "other.zarr.zip").write_bytes(b"my thesis")
    with pytest.raises(demos.DemosError, match="other.zarr.zip is neither a zip nor a folder"):
        play.Table(tmp_path / "other.zarr.zip")
    with pytest.raises(ValueError, match=r"ends in \.zarr\.zip, which 'mine\.zarr' does not"):
        play.Table("mine.zarr")


def test_the_kept_file_has_the_published_layout(table):
    push_about(table)
    tell(table, {"do": "keep"})
    with zipfile.ZipFile(table.path) as archive:
        assert {"data/state/.zarray", "data/action/.zarray", "meta/episode_ends/.zarray"} <= set(
            archive.namelist()
        )


def test_one_way_alone_is_said_to_be_too_little_to_train_on(table):
    x, _, block_x, _ = places(tell(table, {"do": "look"}))
    tell(table, {"push": [int(np.sign(block_x - x)), 0]}, times=40)
    table._states[-1][2] += 9  # the block, wherever this start has put it
    assert "keep one more" in tell(table, {"do": "keep"})["say"]
    push_about(table)
    assert "keep one more" not in tell(table, {"do": "keep"})["say"]


@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "with the kit's"])
def test_part_one_trains_on_them(mixed, table, demonstrations, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        push_about(table, 20, seed)
        tell(table, {"do": "keep"})
    own = demos.open("mine.zarr.zip")
    chosen = demos.joined(demonstrations, own) if mixed else own
    assert chosen.num_episodes == 3 + 335 * mixed
    np.testing.assert_array_equal(chosen.episode(chosen.num_episodes - 1)[1], own.episode(2)[1])
    dataset = PushTStateDataset(chosen, pred_horizon=16, obs_horizon=2, action_horizon=8)
    loader = WindowLoader(dataset, batch_size=256 if mixed else 16, seed=1)
    model = ResidualMLP(
        dim_list=[10, 32, 32, 32, 32],
        activation_type="Mish",
        out_activation_type="Identity",
        use_layernorm=True,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run = TrainingRun(
        "part1_mlp",
        model,
        loader,
        optimizer,
        num_epochs=1,
        seed=1,
        reference=score.reference_loss("part1_mlp", dataset.demonstrations),
    )
    for _ in run.epochs():
        for batch in loader:
            loss = torch.nn.functional.mse_loss(
                model(batch["obs"].flatten(1)).view_as(batch["action"]), batch["action"]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss)
    assert np.isfinite(run.losses).all() and (tmp_path / "part1_mlp.safetensors").exists()


@pytest.fixture
def shown(table, monkeypatch):
    """shown(): what the table displays, a list of (data, metadata)."""
    displayed = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, metadata=None, raw=False: displayed.append((data, metadata)),
    )
    return lambda: table._ipython_display_() or displayed


def test_a_still_picture_stands_before_the_widget(table, shown, monkeypatch):
    monkeypatch.setattr(play, "in_notebook", lambda: True)
    (still, _), (data, metadata) = shown()
    assert "this is a game" in still.metadata["alt"] and len(still.data) < 50_000
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    json.dumps([data, metadata])


def test_without_a_kernel_it_is_the_still_picture_and_while_graded_nothing(
    table, shown, monkeypatch
):
    assert len(shown()) == 1
    set_run_mode(RunMode(show=False))
    assert len(shown()) == 1


def test_a_notebook_does_not_grow_with_what_is_played(table):
    widget = table._widget
    before = widget.get_state()
    assert len(before["first"]) < 20_000 and len(before["_esm"]) < 10_000
    answers = []
    widget.send = lambda answer, buffers: answers.append((answer, buffers))
    for _ in range(30):
        widget._handle_custom_msg({"push": [1, 0]}, [])
    assert len(answers) == 30 and answers[-1][0]["status"] and answers[-1][1][0][:4] == b"\x89PNG"
    assert widget.get_state() == before


def test_in_colab_custom_widgets_are_switched_on(table, shown, monkeypatch):
    switched = []
    colab = types.SimpleNamespace(
        enable_custom_widget_manager=lambda: switched.append("on"),
        _widgets=types.SimpleNamespace(_installed_url="https://example.org/manager.js"),
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", colab)
    monkeypatch.setattr(play, "in_notebook", lambda: True)
    _, (_, metadata) = shown()
    assert switched == ["on"] and "colab" in metadata["application/vnd.jupyter.widget-view+json"]


@pytest.mark.long
def test_the_students_bundle_has_the_page_s_part():
    from score.course.notebooks.bundle import bundle_bytes

    with zipfile.ZipFile(io.BytesIO(bundle_bytes(ROOT / "notebooks"))) as bundle:
        assert {"pusht/play.py", "pusht/play.js"} <= set(bundle.namelist())
        assert b"anywidget" in bundle.read("requirements.txt")


@pytest.mark.long
def test_anywidget_is_loaded_when_a_table_is_shown_and_not_before(tmp_path):
    code = (
        "import sys; sys.modules['anywidget'] = None; from pusht import play;"
        " play.Table().receive({'push': [1, 0]})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


CELL = "from pusht import play\n\nplay.Table()"


@pytest.mark.long
def test_pages_without_widgets_show_the_still_picture(tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter, LatexExporter

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(
        notebook, store_widget_state=False, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for template in ("lab", "classic"):  # nbgrader's feedback is made with the second
        page, _ = HTMLExporter(template_name=template).from_notebook_node(notebook)
        assert "<img" in page and "jupyter.widget-view" not in page
    assert re.search(r'<img[^>]*alt="[^"]*this is a game', page)  # for which the first has no place
    _, files = LatexExporter().from_notebook_node(notebook)
    assert [name for name in files["outputs"] if name.endswith(".png")]


def play_by_mouse_and_keys(page, shot):
    """Push the T by mouse, then by keys, and keep the episode, in a page with one table."""
    from playwright.sync_api import expect

    table, picture, say = (
        page.locator(f".pusht-play {part}") for part in (".table", "canvas", ".say")
    )
    expect(page.locator(".pusht-play .status")).to_contain_text("0.0 s")
    expect(page.locator(".jp-OutputArea img").first).to_be_hidden()
    page.screenshot(path=f"{shot}_start.png")

    def now():
        found = {
            "alt": picture.get_attribute("aria-label"),
            "status": page.locator(".pusht-play .status").inner_text(),
        }
        return seconds(found), places(found)

    def point(x, y):
        box = picture.bounding_box()
        page.mouse.move(box["x"] + x / 512 * box["width"], box["y"] + y / 512 * box["height"])

    def until(condition):
        page.wait_for_function(
            "() => { const seconds = parseFloat(document.querySelector('.pusht-play"
            f" .status').textContent); return {condition}; }}"
        )

    _, (x, y, block_x, block_y) = now()
    drawn = picture.screenshot()
    point(x + (60 if x < 256 else -60), y)  # not near enough
    expect(say).to_have_text(re.compile("^Move the pointer"))
    for along in np.linspace(0.05, 1.2, 40):
        point(x + along * (block_x - x), y + along * (block_y - y))
        until(f"seconds >= {now()[0]} + 0.1")
    expect(say).to_have_text(re.compile("^Push the T"))
    assert now()[1][2:] != [block_x, block_y] and picture.screenshot() != drawn
    page.screenshot(path=f"{shot}_mouse.png")
    page.mouse.move(2, 2)
    expect(say).to_have_text(re.compile("^The game is paused"))

    table.click(position={"x": 5, "y": 5})
    before, (x, *_) = now()
    page.keyboard.down("ArrowLeft" if x > 256 else "d")
    until(f"seconds > {before + 0.8}")
    page.keyboard.up("ArrowLeft" if x > 256 else "d")
    assert abs(now()[1][0] - x) > 20
    page.screenshot(path=f"{shot}_keys.png")
    for key in "ddaabbxx":  # none of which reaches JupyterLab, where they delete and add cells
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator(".pusht-play .status")).to_contain_text("1 episode kept")
    page.screenshot(path=f"{shot}_kept.png")
    page.get_by_role("button", name="Next start").click()
    expect(say).to_have_text(re.compile("^Move the pointer"))
    assert page.locator(".jp-CodeCell").count() == 2
    page.keyboard.press("Control+s")
    expect(page.locator(".jp-mod-current.jp-mod-dirty")).to_have_count(0)


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_in_jupyterlab_mouse_and_keys_push_and_enter_keeps(theme, tmp_path):
    import nbformat

    write_notebook(tmp_path / "own.ipynb", CELL, "1 + 1")
    shot = f"{SCREENSHOTS}/play_{theme.lower()}"
    with jupyter_server(tmp_path) as address:
        set_theme(address, theme)
        with chromium_page(address("lab/tree/own.ipynb")) as page:
            run_all(page, 60)
            play_by_mouse_and_keys(page, shot)
    assert demos.open(tmp_path / "my_demos.zarr.zip").num_episodes == 1
    saved = nbformat.read(tmp_path / "own.ipynb", as_version=4)
    assert "this is a game" in saved.cells[0].outputs[0].metadata["image/png"]["alt"]
    assert (tmp_path / "own.ipynb").stat().st_size < 100_000
