"""What a graded kernel has loaded of a run directory, as it tells the grader.

The message comes from a student's process. So of its texts only names of files that the grader
knows are used, and the reasons why files were skipped.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from score.hw1.runs.choice import step_of
from score.protocol import one_line
from score.rubric import FLOW_STEPS
from score.verdict import AnswerError

HANDED_IN = "the run's policy.safetensors"  # the kit's own file of weights and statistics
# The names under which a checkpoint may contain an average of the weights over the training.
AVERAGES = (
    "ema",
    "ema_model",
    "ema_policy",
    "ema_state_dict",
    "ema_weights",
    "model_ema",
    "averaged_model",
    "shadow",
)
LONGEST_REASON = 160  # characters
MOST_STEPS = 10_000  # of denoising: more than anybody takes

_NO_MESSAGE = "The submission's own code did not say what it loaded."


@dataclass(frozen=True)
class Loaded:
    """What was loaded of a run.

    file: that of the model. statistics: the file with the statistics, "" if the run has none.
    skipped: files that were tried before, with the reasons. chunk_size: number of actions in a
    chunk. steps: of denoising. average: the name in the file, one of `AVERAGES`, of the average of
    the weights that was taken, or "".
    """

    file: str
    statistics: str
    skipped: Sequence[tuple[str, str]]
    chunk_size: int
    steps: int = FLOW_STEPS
    average: str = ""

    def message(self) -> dict[str, Any]:
        """Return what the kernel sends."""
        return {
            "file": self.file,
            "statistics": self.statistics,
            "skipped": [list(one) for one in self.skipped],
            "chunk_size": self.chunk_size,
            "steps": self.steps,
            "average": self.average,
        }


def read_message(message: Any, names: Collection[str], longest: int) -> Loaded:
    """Return what a message says; AnswerError when it is none of the kit's.

    names: of the submitted files. longest: the largest number of actions in a chunk.
    """
    known = [*names, HANDED_IN]  # a list, because what is looked for may be anything
    if not isinstance(message, Mapping):
        raise AnswerError(_NO_MESSAGE)
    file, statistics = message.get("file"), message.get("statistics")
    chunk_size, steps, skipped = (message.get(key) for key in ("chunk_size", "steps", "skipped"))
    average = message.get("average")
    if not (
        file in known
        and statistics in [*known, ""]
        and type(chunk_size) is int
        and 1 <= chunk_size <= longest
        and type(steps) is int
        and 1 <= steps <= MOST_STEPS
        and average in ["", *AVERAGES]
        and isinstance(skipped, list)
        and all(isinstance(one, list) and len(one) == 2 and one[0] in known for one in skipped)
    ):
        raise AnswerError(_NO_MESSAGE)
    reasons = [(name, one_line(why)[:LONGEST_REASON]) for name, why in skipped]
    return Loaded(file, statistics, reasons, chunk_size, steps, average)


def is_average(name: str) -> bool:
    """Return whether a module's or a value's name says that it is an average of the weights."""
    return name in AVERAGES or "ema" in name.lower().split("_")


def sentence_on_file(loaded: Loaded) -> str:
    """Return a sentence on the file that was graded, and why no other one was."""
    step = step_of(loaded.file)
    told = f"Graded: {loaded.file}" + (f" (step {step})" if step is not None else "")
    told += f', the average of the weights that it keeps as "{loaded.average}"' * bool(
        loaded.average
    )
    if loaded.skipped:
        name, why = loaded.skipped[0]
        told += f", because {name} cannot be loaded ({why.removeprefix(f'{name} ').rstrip('.')})"
        more = len(loaded.skipped) - 1
        told += f", nor can {more} more" if more else ""
    return told + "."


def sentence_on_settings(loaded: Loaded, method: str, usual_chunk: int) -> str:
    """Return a sentence on a chunk or a number of steps that is not the usual one, or ""."""
    unusual = []
    if loaded.chunk_size != usual_chunk:
        unusual.append(
            f"chunks of {loaded.chunk_size} action{'s' if loaded.chunk_size > 1 else ''}"
        )
    if method == "flow" and loaded.steps != FLOW_STEPS:
        unusual.append(f"{loaded.steps} denoising steps")
    return f"As in its run, with {' and '.join(unusual)}." if unusual else ""
