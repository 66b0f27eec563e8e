"""A game of Push-T for notebooks: the agent follows a mouse, a finger or keys, and episodes can be
kept as demonstrations.

`Table` is the game. Its script in the page, `play.js`, requests at most ten control steps a second,
and the next one only after the picture of the last one has arrived. So a slow connection or a busy
kernel slows the game down but does not change what is recorded.
"""

import functools
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from pusht import demos, widgets
from pusht.env import PushTEnv
from pusht.progress import in_notebook
from pusht.render import render
from pusht.run_mode import run_mode
from pusht.sim import WINDOW

if TYPE_CHECKING:
    from pusht.figures.page import Picture

FIRST_SEED = 3_000_000_000  # far from the seeds of practice, grades and demonstrations
SHORTEST = 16  # steps that an episode must have to be kept, as many as a chunk of Parts I to III
# The length in px of a step while an arrow key is held: the first step, the increase with each
# further step, and the maximum.
_FIRST, _MORE, _MOST = 4, 3, 14
_START = "Move the pointer onto the round agent, or press an arrow key."
_PAUSED = f"The game is paused. {_START}"
_PUSH = "Push the T onto the green goal. Enter keeps the episode."
_DONE = "Solved: more than 95 % of the goal is covered. Enter keeps the episode, R discards it."
_ALONE = (
    "Before you train on these episodes alone, keep one more that moves up and down as well as left"
    " and right."
)


class Table:
    """The game. A cell that ends with a `Table` shows it, and the episodes that the player keeps
    are added to the demonstrations in the file `path`.

    The agent follows the pointer after it has come within 30 px of the agent, as with the
    environment's `teleop_agent`, and until it leaves the table. The agent follows the arrow keys or
    W, A, S, D at once. The game pauses while nobody moves the agent, and while agent and target
    rest. Enter keeps the episode and goes on to the next start, R begins the episode again, N goes
    to the next start; there is a button for each.

    path: a file that ends in .zarr.zip, which `demos.open` can open. As in the human set, it
        holds the state before each step and the action taken. It is written again with each kept
        episode; the episodes that are already in it stay.
    seed: seed of the first start; each further start has the next seed. The episodes in the file
        are counted, so a new game continues with the next start.

    A page without widgets (a PDF, GitHub, an nbgrader feedback) shows a still picture, and so does
    a notebook that is opened again and has not been run. In Colab, anywidget enables custom
    widgets, which Colab leaves off (`google.colab.output.enable_custom_widget_manager`), and
    fetches its own script from a CDN. A round trip through Colab takes around 0.1 s, so the game
    runs slower than real time there, but it records the same data.

    Raises ValueError for another file ending, `demos.DemosError` when `path` holds no
    demonstrations.
    """

    def __init__(
        self, path: str | os.PathLike[str] = "my_demos.zarr.zip", seed: int = FIRST_SEED
    ) -> None:
        self.path = Path(path)
        if not self.path.name.endswith(".zarr.zip"):
            raise ValueError(
                f"Episodes are kept in a file that ends in .zarr.zip, which {str(path)!r} does not:"
                " add the ending."
            )
        self.num_kept = demos.open(self.path).num_episodes if self.path.exists() else 0
        self._env = PushTEnv(render_size=WINDOW)
        # What moves the agent ("pointer" or "keys"), and the function that returns its next action.
        self._mover: str | None = None
        self._follow: Callable[[np.ndarray], np.ndarray | None] | None = None
        self._start(seed + self.num_kept)

    def receive(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Handle a message from the page; return the answer, and a picture of the state as PNG.

        message: {"target": [x, y]}, the position of the pointer [window px]; {"push": [dx, dy]},
            the direction of the keys, each -1, 0 or 1; {"do": command}, where the command is
            "look", "release" (the pointer has left the table), "keep", "again" or "next".
        answer: {"status", "say", "alt"}, texts, and {"still"}: whether repeating the message would
            change nothing.
        """
        self._still = True
        match message:
            case {"target": [x, y]}:
                self._move("pointer", [x, y])
            case {"push": [dx, dy]}:
                self._push(np.array([dx, dy], dtype=np.float64))
            case {"do": "release"}:
                self._follow = None
                if self._states and not self.solved:
                    self._say = _PAUSED
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
                f" turned by {np.degrees(angle):.0f} degrees; the goal is at (256, 256), turned by"
                " 45 degrees."
            ),
        }
        return answer, _png(self._env.render())

    def _start(self, seed: int) -> None:
        self.seed = seed
        self._obs, info = self._env.reset(seed=seed)
        self._velocity = info["vel_agent"]
        self._states: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._mover = self._follow = None
        self._held = 0  # number of steps for which a key has been held
        self.solved, self._say = False, _START
        self.reward = self.best = self._env.step(None)[1]

    def _push(self, direction: np.ndarray) -> None:
        """Take one step towards a target ahead of the agent; it is farther the longer a key is
        held.
        """
        moves = self._mover == "keys" and self._follow is not None
        length = min(_FIRST + _MORE * self._held, _MOST) if moves else _FIRST
        self._held = (self._held * moves + 1) * bool(direction.any())
        start = self._target if moves else self._obs[:2]
        self._move("keys", start + length * direction / max(np.hypot(*direction), 1))

    def _move(self, mover: str, target: Sequence[float] | np.ndarray) -> None:
        """Take one control step towards `target`, if the agent follows it and something moves."""
        if self.solved:
            return
        if mover != self._mover or self._follow is None:
            self._mover, self._follow = mover, self._env.teleop_agent(lambda: self._target).act
        # The executed action has the single precision of the recording.
        self._target = np.clip(target, 0, WINDOW).astype(np.float32)
        action = self._follow(self._obs)
        if action is None:
            return
        if np.hypot(*(action - self._obs[:2])) < 0.5 and np.hypot(*self._velocity) < 2:
            return
        self._states.append(self._obs)
        self._actions.append(action)
        self._obs, self.reward, self.solved, _, info = self._env.step(action)
        self._velocity, self._still = info["vel_agent"], self.solved
        self.best = max(self.best, self.reward)
        self._say = _DONE if self.solved else _PUSH

    def _keep(self) -> None:
        steps = len(self._states)
        if steps < SHORTEST:
            self._say = (
                f"Not kept: {steps} steps are too few, an episode needs at least {SHORTEST}. Keep"
                " pushing."
            )
            return
        if np.ptp([*(state[2:] for state in self._states), self._obs[2:]], axis=0).max() < 1e-3:
            self._say = "Not kept: the T has not moved. Push it first."
            return
        states, actions = np.array(self._states, np.float32), np.array(self._actions, np.float32)
        kept = demos.Demonstrations(states, actions, np.array([steps]))
        try:
            if self.path.exists():
                kept = demos.joined(demos.open(self.path), kept)
            demos.save(kept, self.path)
        except (OSError, demos.DemosError) as error:
            self._say = (
                f"Not kept ({str(error).rstrip('.')}). The episode is still here: fix the problem"
                " and press Enter again."
            )
            return
        self.num_kept = kept.num_episodes
        self._start(self.seed + 1)
        # Training divides by the range of each number.
        ranges = np.ptp(np.concatenate([kept.states, kept.actions], axis=1), axis=0)
        self._say = f"Kept in {self.path.name}. {_START if ranges.all() else _ALONE}"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if not run_mode().show:
            return
        display(self._picture())
        if in_notebook():
            widgets.show(self._widget, "a game of Push-T")

    def _picture(self) -> "Picture":
        """Return the still picture, with the rules beside it."""
        from pusht.figures.page import BLUE, GREY, HEAD, Page

        page = Page(296)
        page.scene(8, 8, 280, self._obs)
        page.text(312, 40, "Play Push-T", size=HEAD, weight="bold", ha="left")
        for y, line in [
            (72, "In a running notebook this is a game."),
            (94, "Run the cell, then move the pointer onto"),
            (116, "the round agent, or use the arrow keys."),
            (160, "Enter keeps an episode, R begins it again,"),
            (182, "N goes to the next start."),
        ]:
            page.text(312, y, line, ha="left")
        page.text(312, 230, self.path.name, color=BLUE, weight="bold", ha="left")
        page.text(312, 252, f"holds {self._episodes()}", color=GREY, ha="left")
        return page.image(
            "The Push-T table with agent, block and goal. In a running notebook this is a game,"
            f" played with pointer or keys. {self.path.name} holds {self._episodes()}."
        )

    def _episodes(self) -> str:
        return f"{self.num_kept} episode" + "s" * (self.num_kept != 1)

    @functools.cached_property
    def _widget(self) -> Any:
        # A saved notebook contains only the first picture; the later ones are messages, which are
        # not part of the widget's state.
        first = _png(render(self._obs, size=WINDOW))
        return widgets.make(Path(__file__).with_name("play.js"), self.receive, first=first)


def _png(frame: np.ndarray) -> bytes:
    png = io.BytesIO()
    PIL.Image.fromarray(frame).save(png, "png")
    return png.getvalue()
