"""A table to play on in a notebook: the agent follows a mouse, a finger or keys, and what is worth
keeping is a demonstration.

`Table` is the game; what stands in the page is `play.js`, which asks for a control step ten times a
second at most, and for the next one only when the picture of the last has come. A slow connection
or a busy kernel slows the game and changes no recording.
"""

import functools
import io
import os
from pathlib import Path

import numpy as np
import PIL.Image
import zarr
from zarr.storage import ZipStore

from pusht import demos
from pusht.env import PushTEnv
from pusht.progress import grading, in_notebook
from pusht.render import render
from pusht.sim import WINDOW

FIRST_SEED = 3_000_000_000  # far from what is practised on, graded with, or demonstrated
SHORTEST = 16  # steps of an episode worth keeping: as many as a chunk of Parts I to III has
_NUDGE, _HASTE, _TOP = (
    4,
    3,
    14,
)  # px a step under a held arrow key: the first one's, what each adds, the most
_HOW = "Lead the pointer onto the round agent, or press an arrow key."
_PUSH = "Push the T onto the green mark. Enter keeps the episode."
_ALONE = (
    "Before you train on these alone, keep one more, with movements up and down as well as left and"
    " right."
)
_DONE = "Solved: more than 95 % of the mark are covered. Enter keeps the episode, R throws it away."


class Table:
    """Push-T to play: at the end of a cell it is shown, and what is kept is added to the
    demonstrations in the file `path`.

    The pointer leads once it has come within 30 px of the agent, as with the environment's
    `teleop_agent`, until it leaves the table; arrow keys or W, A, S, D lead at once. Time stands
    still while nobody leads, and while agent and target rest. Enter keeps the episode and goes on
    to the next start, R begins it anew, N takes the next start; there is a button for each.

    path: a file that ends in .zarr.zip. It is written anew, beside and then renamed, with each
        episode that is kept, and is what `demos.open` opens: in the human demonstrations' manner,
        the state before each step and the action taken. None of its episodes is ever lost: where it
        exists already, what is kept is added.
    seed: of the first start; each next start has the next number. A file's episodes are counted in,
    so that playing goes on.

    A page without widgets (a PDF, GitHub, an nbgrader feedback) shows a still picture, and so does
    a notebook that is opened again and has not been run. In Colab, anywidget switches on the custom
    widgets that Colab leaves off (`google.colab.output.enable_custom_widget_manager`) and fetches
    its own part from a CDN; a round trip through it takes around 0.1 s, so the game runs slower
    than the clock there, and what is recorded is the same.

    Raises ValueError for another ending, `demos.DemosError` where `path` holds no demonstrations.
    """

    def __init__(self, path="my_demos.zarr.zip", seed=FIRST_SEED):
        self.path = Path(path)
        if not self.path.name.endswith(".zarr.zip"):
            raise ValueError(
                f"Episodes are kept in a file that ends in .zarr.zip, which {str(path)!r} does not:"
                " add the ending."
            )
        self.num_kept = demos.open(self.path).num_episodes if self.path.exists() else 0
        self._env = PushTEnv(render_size=WINDOW)
        self._start(seed + self.num_kept)

    def receive(self, message):
        """Obey a message of the page; what it is answered, and the picture of the moment as PNG.

        message: {"target": [x, y]}, where the pointer is [window px]; {"push": [dx, dy]}, the
            direction that keys ask for, each -1, 0 or 1; {"do": "look"}, "release" (the pointer is
            gone), "keep", "again" or "next".
        answer: {"status", "say", "alt"}, texts, and {"still"}: the same message once more would
        change nothing.
        """
        self._still = True
        match message:
            case {"target": [x, y]}:
                self._lead("pointer", [x, y])
            case {"push": [dx, dy]}:
                self._push(np.array([dx, dy], dtype=np.float64))
            case {"do": "release"}:
                self._hand = None
                if self._states and not self.solved:
                    self._say = f"Time stands still. {_HOW}"
            case {"do": "again"}:
                self._start(self.seed)
            case {"do": "next"}:
                self._start(self.seed + 1)
            case {"do": "keep"}:
                self._keep()
        x, y, block_x, block_y, angle = self._obs
        answer = {
            "status": (
                f"{len(self._states) / 10:.1f} s  ·  reward {self.reward:.2f}  ·  best"
                f" {self.best:.2f}  ·  {self._episodes()} kept"
            ),
            "say": self._say,
            "still": self._still,
            "alt": (
                f"The table: agent at ({x:.0f}, {y:.0f}), block at ({block_x:.0f}, {block_y:.0f}),"
                f" turned by {np.degrees(angle):.0f} degrees; the mark is at (256, 256), turned by"
                " 45 degrees."
            ),
        }
        return answer, _png(self._env.render())

    def _start(self, seed):
        self.seed = seed
        self._obs, info = self._env.reset(seed=seed)
        self._velocity = info["vel_agent"]
        self._states, self._actions = [], []
        self._hand = self._leader = None
        self._held = 0  # steps for which keys have asked for a direction
        self.solved, self._say = False, _HOW
        self.reward = self.best = self._env.step(None)[1]

    def _push(self, direction):
        """One step of a target that runs ahead of the agent, the faster the longer a key is held."""
        leads = self._leader == "keys" and self._hand is not None
        length = min(_NUDGE + _HASTE * self._held, _TOP) if leads else _NUDGE
        self._held = (self._held * leads + 1) * bool(direction.any())
        self._lead(
            "keys",
            (self._target if leads else self._obs[:2])
            + length * direction / max(np.hypot(*direction), 1),
        )

    def _lead(self, leader, target):
        """One control step towards `target`, if it is taken up and there is something to move."""
        if self.solved:
            return
        if leader != self._leader or self._hand is None:
            self._leader, self._hand = leader, self._env.teleop_agent(lambda: self._target)
        # What is recorded, in single precision, is what is executed.
        self._target = np.clip(target, 0, WINDOW).astype(np.float32)
        action = self._hand.act(self._obs)
        if action is None:
            return
        if np.hypot(*(action - self._obs[:2])) < 0.5 and np.hypot(*self._velocity) < 2:
            return
        self._states.append(self._obs)
        self._actions.append(action)
        self._obs, self.reward, self.solved, _, info = self._env.step(action)
        self._velocity, self.best, self._still = (
            info["vel_agent"],
            max(self.best, self.reward),
            self.solved,
        )
        self._say = _DONE if self.solved else _PUSH

    def _keep(self):
        steps = len(self._states)
        if steps < SHORTEST:
            self._say = (
                f"Not kept: {steps} steps are too few, an episode has at least {SHORTEST}. Go on"
                " pushing."
            )
        elif np.ptp([*(state[2:] for state in self._states), self._obs[2:]], axis=0).max() < 1e-3:
            self._say = "Not kept: the T has not moved. Go on and push it."
        else:
            kept = demos.Demonstrations(
                *np.float32([self._states]), *np.float32([self._actions]), np.array([steps])
            )
            try:
                if self.path.exists():
                    kept = demos.joined(demos.open(self.path), kept)
                _write(self.path, kept)
            except (OSError, demos.DemosError) as error:
                self._say = (
                    f"Not kept, and still on the table ({str(error).rstrip('.')}): put that right"
                    " and press Enter again."
                )
                return
            self.num_kept = kept.num_episodes
            self._start(self.seed + 1)
            # Training divides by the range of each number.
            ranges = np.ptp(np.concatenate([kept.states, kept.actions], axis=1), axis=0)
            self._say = f"Kept in {self.path.name}. {_HOW if ranges.all() else _ALONE}"

    def _ipython_display_(self):
        from IPython.display import display

        if grading():
            return
        display(self._picture())
        if in_notebook():
            data, metadata = self._widget._repr_mimebundle_()
            display(
                {**data, "text/plain": "(In a running notebook: a table to play Push-T on.)"},
                metadata=metadata,
                raw=True,
            )

    def _picture(self):
        """The still picture, with how to play beside it."""
        from pusht.figures.page import BLUE, GREY, HEAD, Page

        page = Page(296)
        page.scene(8, 8, 280, self._obs)
        page.text(312, 40, "Push-T, to play", size=HEAD, weight="bold", ha="left")
        for y, line in [
            (72, "In a running notebook this is a table to play on."),
            (94, "Run the cell, then lead the pointer onto"),
            (116, "the round agent, or use the arrow keys."),
            (160, "Enter keeps an episode, R begins it anew,"),
            (182, "N takes the next start."),
        ]:
            page.text(312, y, line, ha="left")
        page.text(312, 230, self.path.name, color=BLUE, weight="bold", ha="left")
        page.text(312, 252, f"holds {self._episodes()}", color=GREY, ha="left")
        return page.image(
            "The Push-T table to play on, with agent, block and mark: a picture here, and a game"
            f" with pointer or keys in a running notebook. {self.path.name} holds"
            f" {self._episodes()}."
        )

    def _episodes(self):
        return f"{self.num_kept} episode" + "s" * (self.num_kept != 1)

    @functools.cached_property
    def _widget(self):
        import anywidget
        import traitlets

        # The picture at the start is all that a saved notebook carries: the later ones are
        # messages, and nobody's state.
        first = traitlets.Bytes(_png(render(self._obs, size=WINDOW))).tag(sync=True)
        script = Path(__file__).with_name("play.js").read_text(encoding="utf-8")
        widget = type("PlayTable", (anywidget.AnyWidget,), {"_esm": script, "first": first})()

        def hear(widget, message, buffers):
            answer, picture = self.receive(message)
            widget.send(answer, buffers=[picture])

        widget.on_msg(hear)
        return widget


def _write(path, kept):
    """`Demonstrations` as a zip of the published layout; what was there stays until the new file is
    whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with ZipStore(part, mode="w") as store:
            group = zarr.open_group(store, mode="w", zarr_format=2)
            for name, values in [
                ("data/state", kept.states),
                ("data/action", kept.actions),
                ("meta/episode_ends", kept.episode_ends),
            ]:
                group.create_array(name, data=values, chunks=values.shape)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _png(frame):
    png = io.BytesIO()
    PIL.Image.fromarray(frame).save(png, "png")
    return png.getvalue()
