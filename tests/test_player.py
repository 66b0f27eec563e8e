"""The player: what it shows at each step, what a saved notebook keeps of it, and how it is operated
in a real JupyterLab.
"""

import base64
import contextlib
import io
import random
import re

import numpy as np
import PIL.Image
import pytest
import torch
from browser import (
    NOTEBOOK_7_SAYS,
    SCREENSHOTS,
    chromium_page,
    jupyter_server,
    needs_chromium,
    run_all,
    set_theme,
    write_notebook,
)
from playwright.sync_api import expect

import score
from pusht import Episodes, figures, widgets
from pusht.figures import moving
from pusht.render import render
from pusht.run_mode import RunMode, set_run_mode
from score.rollouts.evaluate import Score
from score.student.comparison import keep_score

GOAL = [256, 256, np.pi / 4]


def pushed(steps, arrives=True):
    """States (steps + 1, 5): the block glides to the goal, or half the way, and the agent follows
    it.
    """
    t = np.linspace(0, 1 if arrives else 0.5, steps + 1)[:, None]
    block = (1 - t) * [120.0, 380, 0.2] + t * GOAL
    return np.column_stack([block[:, :2] + [-40, 60], block])


SHORT, LONG = pushed(12), pushed(30, arrives=False)
TWO = {"MLP": [SHORT, LONG], "flow": [LONG, SHORT]}


@pytest.fixture(scope="module")
def player():
    return figures.player(TWO)


def pixels(image):
    return np.asarray(PIL.Image.open(io.BytesIO(image.data)).convert("RGB")).astype(int)


def places(player, episode=0):
    """Slices of a frame where each policy's scene is, in pixels."""
    board = player._board(episode)
    return [
        (
            slice(2 * board.top, 2 * (board.top + board.side)),
            slice(2 * left, 2 * (left + board.side)),
        )
        for left in board.lefts
    ]


def alike(shown, wanted):
    """Whether two pictures are the same but for a palette's colours."""
    return (
        shown.shape == wanted.shape
        and np.abs(shown - wanted).max() <= 40
        and np.abs(shown - wanted).mean() < 0.5
    )


def test_each_frame_shows_what_render_draws_for_the_states_of_its_step(player):
    for step in (0, 7, 12):
        shown = pixels(player.frame(0, step))
        for place, states in zip(places(player), (SHORT, LONG), strict=True):
            size = place[0].stop - place[0].start
            assert alike(shown[place], render(states[step], size=size))
            assert not alike(shown[place], render(states[step - 3], size=size))


def test_the_other_episode_is_shown_when_it_is_asked_for(player):
    first = places(player, 1)[0]
    assert alike(
        pixels(player.frame(1, 20))[first], render(LONG[20], size=first[0].stop - first[0].start)
    )


def test_a_shorter_episode_holds_its_last_picture(player):
    assert player.last(0) == player.last(1) == 30
    before, after = pixels(player.frame(0, 12)), pixels(player.frame(0, 25))
    short, long = places(player)
    assert (before[short] == after[short]).all() and not (before[long] == after[long]).all()


def test_an_action_is_a_red_cross_at_the_step_that_it_led_to():
    states, actions = pushed(6), np.full((6, 2), 400.0)
    shown = figures.player(Episodes([3], [states], [actions], [np.zeros(6)]))
    [place] = places(shown)
    size = place[0].stop - place[0].start
    assert alike(pixels(shown.frame(0, 0))[place], render(states[0], size=size))
    assert alike(pixels(shown.frame(0, 4))[place], render(states[4], action=actions[3], size=size))
    assert not alike(pixels(shown.frame(0, 4))[place], render(states[4], size=size))


def test_the_sentence_tells_time_and_rewards(player):
    assert (
        player.frame(0, 12).metadata["alt"]
        == "Episode 0: 1.2 s, step 12 of 30. MLP: solved after 1.2 s. flow: reward 0.00, "
        "largest 0.00 at 0.0 s."
    )
    ended = (
        figures.player({"flow": LONG + np.array([0, 0, 60, -60, 0])}).frame(0, 30).metadata["alt"]
    )
    assert re.fullmatch(
        r"3.0 s, step 30 of 30. flow: reward 0.\d\d, end, largest 0.\d\d at \d.\d s.", ended
    )


def test_the_cursor_and_the_dots_are_all_that_moves_over_the_curves(player):
    below = 2 * (player._board(0).top + player._board(0).side + 26)
    columns = (
        np.abs(pixels(player.frame(0, 3)) - pixels(player.frame(0, 20)))[below:]
        .sum(axis=(0, 2))
        .nonzero()[0]
    )
    at = [player._board(0)._x(step) for step in (3, 12, 20)]
    assert all(min(abs(column - x) for x in at) <= 13 for column in columns)


@pytest.mark.parametrize(
    "episodes",
    [
        SHORT,
        list(SHORT),
        torch.tensor(SHORT),
        [SHORT, LONG],
        {"A": [SHORT, LONG]},
        dict.fromkeys("ABCDEFG", SHORT),
        {"A": Episodes([0], [SHORT], [SHORT[1:, :2]], [SHORT[1:, 0]])},
        {"a name that is much too long for the place there is": LONG[:1], 2: LONG},
    ],
    ids=["array", "list", "tensor", "two episodes", "named", "seven", "Episodes", "long name"],
)
def test_the_still_is_a_small_png_of_the_moments_with_a_text(episodes, capfd):
    still = figures.player(episodes)
    assert (
        still.data[:8] == b"\x89PNG\r\n\x1a\n"
        and len(still.data) < 60_000
        and len(still.frame(0, 1).data) < 60_000
    )
    assert (
        "Four moments" in still.metadata["alt"]
        and pixels(still).shape[1] == 2 * still.width == 1440
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "episodes, sentence",
    [
        ([], "There is no episode to play."),
        ({}, "There is no episode to play."),
        ({"MLP": []}, "There is no episode to play."),
        (
            dict.fromkeys("ABCDEFGH", SHORT),
            "8 policies are too many to show side by side: choose 7 of them.",
        ),
        (
            {"MLP": [SHORT, SHORT], "flow": [SHORT]},
            "A player needs the same number of episodes of each policy, not 2 of MLP",
        ),
        (
            SHORT[:, :4],
            r"An episode needs states \(T \+ 1, 5\), .* not an array of shape \(13, 4\).",
        ),
        ({"MLP": SHORT[0]}, r"An episode of MLP needs states .* not an array of shape \(5,\)."),
        ([SHORT, np.empty((0, 5))], r"of shape \(0, 5\)"),
        (SHORT * np.nan, "with numbers that are not finite"),
        (["a film"], "states"),
        (None, "states"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_sentence(episodes, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        figures.player(episodes)
    assert "\n" not in str(raised.value)


def test_random_numbers_are_left_alone():
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    figures.player(TWO).widget()
    assert (
        torch.equal(torch.get_rng_state(), before[0])
        and (np.random.get_state()[1] == before[1]).all()
    )
    assert random.getstate() == before[2]


def test_kept_policies_play_the_same_episodes(tmp_path):
    for name, count in (("part1_mlp", 3), ("part4_flow", 2)):
        states, actions = (
            [SHORT, LONG, SHORT][:count],
            [
                SHORT[1:, :2],
                LONG[1:, :2],
                SHORT[1:, :2],
            ][:count],
        )
        episodes = Episodes(
            [7, 8, 9][:count], states, actions, [np.linspace(0, 1, len(each)) for each in actions]
        )
        keep_score(
            Score(name, episodes, False, [0.4, 0.6], (0.4, 0.6)),
            lambda nobs, batch_size: None,
            torch.zeros(1, 2, 5),
            tmp_path,
        )
    kept = score.compare_episodes(tmp_path)
    assert list(kept) == ["MLP", "flow matching"] and all(
        episodes.seeds == [7, 8] for episodes in kept.values()
    )
    assert (
        all(np.abs(episodes.states[1] - LONG).max() < 1e-4 for episodes in kept.values())
        and kept["MLP"].successes.all()
    )
    shown = figures.player(kept)
    assert (
        shown.episodes == 2
        and "MLP: solved after 1.2 s. flow matching: solved" in shown.frame(0, 12).metadata["alt"]
    )


def test_where_no_policy_was_scored_none_is_compared(tmp_path):
    with pytest.raises(
        ValueError, match="No policy has been scored here yet: run the last check of a part first."
    ):
        score.compare_episodes(tmp_path)


# The widget.


def answer(player, *at):
    """What the page is told when its sliders stand here: the values, and the picture."""
    told = []
    widget = player.widget()
    widget.send = lambda content, buffers: told.append((content, buffers[0]))
    widget._handle_custom_msg({"at": [*at]}, [])
    return told[0]


def test_the_picture_and_its_sentence_follow_the_slider(player):
    widget = player.widget()
    assert widget.first == player.frame(0, 0).data and widget.controls["last"] == [30, 1]
    said, picture = answer(player, 17, 0)
    assert picture == player.frame(0, 17).data and "step 17 of 30" in said["alt"]


def test_another_episode_has_its_own_last_step():
    player = figures.player([SHORT, LONG])
    assert answer(player, 0, 0)[0]["last"] == [12, 1]
    said, _ = answer(player, 0, 1)
    assert said["last"] == [30, 1] and "Episode 1: 0.0 s" in said["alt"]
    assert "step 12 of 12" in answer(player, 30, 0)[0]["alt"]


def test_one_episode_is_not_chosen_from():
    names = [
        [slider["name"] for slider in player.widget().controls["sliders"]]
        for player in (figures.player(SHORT), figures.player([SHORT, LONG]))
    ]
    assert names == [["step"], ["step", "episode"]]


def test_a_notebook_does_not_grow_with_what_is_played(player):
    widget = player.widget()
    before, answers = widget.get_state(), []
    assert len(before["first"]) < 60_000 and len(before["_esm"]) < 10_000
    widget.send = lambda content, buffers: answers.append(content)
    for step in range(5):
        widget._handle_custom_msg({"at": [step, 0]}, [])
    assert len(answers) == 5 and widget.get_state() == before


@pytest.mark.parametrize(
    "notebook, graded, shown", [(False, False, 1), (True, True, 1), (True, False, 2)]
)
def test_a_saved_or_graded_notebook_keeps_the_still(notebook, graded, shown, player, monkeypatch):
    outputs = []
    shown_by = lambda what, **_: outputs.append(what)  # noqa: E731
    monkeypatch.setattr(moving, "display", shown_by)
    monkeypatch.setattr("IPython.display.display", shown_by)
    monkeypatch.setattr(moving, "in_notebook", lambda: notebook)
    if graded:
        set_run_mode(RunMode(show=False))
    player._ipython_display_()
    assert (
        len(outputs) == shown
        and outputs[0].data == player.data
        and outputs[0].metadata == player.metadata
    )
    if shown == 2:
        # A page that prefers another form to the widget's view (VS Code may) has none to prefer.
        assert {*outputs[1]} == {"text/plain", "application/vnd.jupyter.widget-view+json"}
        assert "player of 2 episodes" in outputs[1]["text/plain"]
        assert outputs[1]["application/vnd.jupyter.widget-view+json"]["model_id"]


# In JupyterLab.

_CELL = f"""
import numpy as np
from pusht import figures

def pushed(steps, arrives=True):
    t = np.linspace(0, 1 if arrives else 0.7, steps + 1)[:, None]
    block = (1 - t) * [140.0, 330, 0.2] + t * {GOAL}
    return np.column_stack([block[:, :2] + [-40, 60], block])

figures.player({{
    "MLP": [pushed(60, False), pushed(20)],
    "flow matching": [pushed(45), pushed(40)],
}})
"""


@pytest.mark.long
def test_pages_without_widgets_show_one_picture(tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter, LatexExporter

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(_CELL)])
    client = {"store_widget_state": False, "resources": {"metadata": {"path": str(tmp_path)}}}
    NotebookClient(notebook, **client).execute()
    for template in ("lab", "classic"):  # nbgrader's feedback is made with the second
        page, _ = HTMLExporter(template_name=template).from_notebook_node(notebook)
        assert page.count('<img alt="') + page.count("<img src=") == 1
        assert "jupyter.widget-view" not in page
    _, files = LatexExporter().from_notebook_node(notebook)
    assert len([name for name in files["outputs"] if name.endswith(".png")]) == 1


# What VS Code, which cannot be run here, has around each output (OutputContainer and OutputElement
# of its webviewPreloads.ts).
AROUND = '<div class="output_container"><div class="output">{}</div></div>'


@needs_chromium
@pytest.mark.long
def test_in_vs_codes_outputs_a_drawn_widget_hides_its_still_and_no_other_picture(tmp_path):
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (8, 8)).save(buffer, "PNG")
    data = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    still, widget = '<img alt="{}" src="{}">', '<div><div class="pusht-widget">played</div></div>'
    outputs = [still.format("curves", data), still.format("its still", data), widget]
    cell = "".join(AROUND.format(output) for output in outputs)
    (tmp_path / "page.html").write_text(f"<style>{widgets._CSS}</style><div>{cell}</div>")
    with chromium_page((tmp_path / "page.html").as_uri()) as page:
        assert page.get_by_text("played").is_visible()
        assert page.get_by_alt_text("curves").is_visible()
        assert not page.get_by_alt_text("its still").is_visible()


@needs_chromium
@pytest.mark.long
@pytest.mark.parametrize(
    "place, theme", [("lab/tree", "light"), ("lab/tree", "dark"), ("notebooks", "light")]
)
def test_the_player_is_one_picture_with_names_and_works_by_keyboard(place, theme, tmp_path):
    """In JupyterLab and in Notebook 7."""
    write_notebook(tmp_path / "player.ipynb", _CELL)
    shot = f"player_{place.split('/')[0]}_{theme}"
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(jupyter_server(tmp_path))
        set_theme(address, theme.title())
        page = stack.enter_context(
            chromium_page(address(f"{place}/player.ipynb"), known=NOTEBOOK_7_SAYS)
        )
        page.set_viewport_size({"width": 1200, "height": 1200})
        run_all(page, 60)
        output = page.locator(".pusht-moving")
        picture, play = output.locator("img"), output.get_by_role("button", name="Play")
        expect(picture).to_be_visible(timeout=60_000)
        expect(page.locator(".jp-OutputArea img").locator("visible=true")).to_have_count(1)
        play.scroll_into_view_if_needed()
        page.screenshot(path=SCREENSHOTS / f"{shot}.png")

        def press(key, alt):
            page.keyboard.press(key)
            expect(picture).to_have_attribute("alt", re.compile(alt), timeout=60_000)

        before = picture.get_attribute("src")
        play.focus()
        press("Space", "step [1-9]")
        assert picture.get_attribute("src") != before
        expect(output.get_by_role("button", name="Pause")).to_be_focused()
        press("Space", "step [1-9]")
        page.keyboard.press("Tab")
        expect(output.get_by_role("slider", name="step")).to_be_focused()
        for key, step in (("Home", 0), ("End", 60), ("ArrowLeft", 59), ("ArrowRight", 60)):
            press(key, f"step {step} of 60")
        page.keyboard.press("Tab")
        expect(output.get_by_role("slider", name="episode")).to_be_focused()
        press("ArrowRight", "Episode 1: 0.0 s, step 0 of 40")
        for speed in ("½ ×", "1 ×", "2 ×", "4 ×"):
            page.keyboard.press("Tab")
            expect(output.get_by_role("button", name=speed)).to_be_focused()
        page.keyboard.press("Space")
        expect(output.get_by_role("button", name="4 ×", pressed=True)).to_be_visible()
        for _ in range(6):
            page.keyboard.press("Shift+Tab")
        expect(play).to_be_focused()
        press("Space", "step 40 of 40")
        expect(play).to_be_visible()  # and no longer "Pause"
        page.set_viewport_size({"width": 700, "height": 1200})
        output.screenshot(path=SCREENSHOTS / f"{shot}_narrow.png")
        assert page.locator(".jp-CodeCell").count() == 1
