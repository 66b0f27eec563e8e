"""In the kernel that runs a chapter for the site: players and sliders leave their data in the page.

In a running notebook a slider asks the kernel for each picture. A page of the site has no kernel,
so `keep()` has them displayed with what site.js needs to draw them.
"""

import base64
from typing import Any

import numpy as np
from IPython.display import display

from pusht.figures.moving import Live, Moving
from pusht.figures.page import Picture
from pusht.figures.playing import Player
from pusht.run_mode import RunMode, set_run_mode

MIME = "application/vnd.pusht.view+json"
MOST_FRAMES = 26  # of a slider; of more, every second, third … is kept


def keep() -> None:
    """Train nothing, show everything, and keep the data of players and sliders."""
    set_run_mode(RunMode(train=False, show=True))
    Live._ipython_display_ = _displayed  # type: ignore[method-assign]


def _displayed(live: Live) -> None:
    data, metadata = Picture(live.data, live.alt, live.width, live.height)._repr_mimebundle_()
    view = played(live) if isinstance(live, Player) else moved(live)  # type: ignore[arg-type]
    display({**data, MIME: view}, metadata=metadata, raw=True)


def played(player: Player) -> dict[str, Any]:
    """Return what a player shows: of each policy its name, and of each of its episodes the states
    [agent x, y, block x, y in px, angle in mrad], the rewards in thousandths, the actions [px].
    """
    policies = []
    for number, name in enumerate(player.names):
        episodes = []
        for episode in range(player.episodes):
            states, actions = player._played(episode)[number]
            earned = player._rewards(episode)[number]
            whole = np.concatenate([states[:, :4], states[:, 4:] * 1000], axis=1)
            episodes.append(
                {
                    "states": whole.round().astype(int).tolist(),
                    "rewards": (earned * 1000).round().astype(int).tolist(),
                    # The first row of actions is empty: no action led to the start.
                    "actions": None
                    if actions is None
                    else actions[1:].round().astype(int).tolist(),
                }
            )
        policies.append({"name": name, "episodes": episodes})
    return {"kind": "player", "policies": policies}


def moved(moving: Moving) -> dict[str, Any]:
    """Return what a slider shows: its name, its values, and for each the picture and its text."""
    count = len(moving.values)
    every = -(-count // MOST_FRAMES)
    shown = sorted({*range(0, count, every), count - 1})
    frames = [moving.frame(i) for i in shown]
    return {
        "kind": "slider",
        "name": moving.name,
        "start": min(range(len(shown)), key=lambda i: abs(shown[i] - moving.start)),
        "frames": [
            {
                "value": moving.values[i],
                "alt": frame.alt,
                "png": base64.b64encode(frame.data).decode(),
            }
            for i, frame in zip(shown, frames, strict=True)
        ],
    }
