"""Sheets that show the shipped demonstrations beside the human ones, and a table of figures."""

import numpy as np

from pusht import demos
from pusht.figures import sheet
from pusht.files import write_whole


def draw_sheets() -> None:
    """Write the sheets of both sets, and print the table of their figures."""
    sets = {name: demos.open(name) for name in ("shipped", "human")}
    for name, shown in sets.items():
        picture = sheet.demonstrations(shown, f"The {name} demonstrations")
        write_whole(demos.SHIPPED.with_name(f"{name}.png"), picture.data)
    columns = [_rows(shown) for shown in sets.values()]
    print(f"| | {' | '.join(sets)} |\n|---|---|---|")
    for what in columns[0]:
        print(f"| {what} | " + " | ".join(column[what] for column in columns) + " |")


def _rows(shown: demos.Demonstrations) -> dict[str, str]:
    """Return the figures of a set, by what they are."""
    facts = sheet.facts(shown)
    low, middle, high = np.quantile(facts.lengths, [0.1, 0.5, 0.9])
    slow, usual, fast = np.quantile(facts.speeds, [0.1, 0.5, 0.9])
    return {
        "episodes, steps": f"{shown.num_episodes}, {len(shown.states):,}",
        "length: median (tenth to nine tenths)": f"{middle:.1f} s ({low:.1f} to {high:.1f})",
        "speed of the agent, likewise": f"{usual:.0f} px/s ({slow:.0f} to {fast:.0f})",
        "goal covered at the start, before the last step: medians": (
            f"{np.median(facts.coverage[:, 0]):.2f}, {np.median(facts.coverage[:, -1]):.2f}"
        ),
        "around the block anticlockwise, clockwise": (
            f"{(facts.turns < 0).mean():.0%}, {(facts.turns > 0).mean():.0%}"
        ),
        "more than half a turn": f"{(abs(facts.turns) > 0.5).mean():.0%}",
    }
