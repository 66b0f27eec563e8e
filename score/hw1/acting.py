"""How a submission's policy acts when it is graded, and what its student is told of that."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from pusht import demos
from pusht.normalisation import Normalizer, Stats
from score.hw1.graded_files import HUMAN_STATS
from score.hw1.layout import LEFT_OUT, in_run, left_out
from score.hw1.loaded import (
    HANDED_IN,
    read_message,
    sentence_on_file,
    sentence_on_settings,
)
from score.hw1.runs import own_paths
from score.hw1.runs.choice import step_of
from score.hw1.runs.elsewhere import FOUND
from score.hw1.runs.reward_log import LOG, SEEDS, SUMMARY, logged_reward
from score.rubric import FLOW_STEPS, Policy
from score.submission.formats import Acting


def acting(policy: Policy, message: Any, contents: Mapping[str, bytes]) -> Acting:
    """Return how a policy acts; AnswerError when the kernel's message does not say what it loaded.

    message: see `score.hw1.loaded`. contents: of the packed zip.
    """
    names = [*contents, *left_out(contents.get(LEFT_OUT), policy.method)]
    loaded = read_message(message, names, policy.max_steps)
    calls = policy.action_horizon / loaded.chunk_size
    if policy.method == "flow":
        calls *= loaded.steps / FLOW_STEPS
    told = [
        sentence_on_file(loaded),
        sentence_on_settings(loaded, policy.method, policy.action_horizon),
    ]
    own = loaded.statistics
    if own and own not in (loaded.file, HANDED_IN):
        told.append(f"Its normalisation is that of {own}.")
    sets, reward = {}, None
    if not own:
        sets = {
            demos.HUMAN_FINGERPRINT: HUMAN_STATS,
            demos.SHIPPED_FINGERPRINT: _shipped_statistics(),
        }
        logs = _logs(policy.method, contents, loaded.file)
        texts = {kind: contents[name] for kind, name in logs.items()}
        reward = logged_reward(texts, step_of(loaded.file))
        told += [f"Its log is {name}." for name in logs.values() if f"/{FOUND}/" in name]
    said = own_paths.in_own_words(" ".join(filter(None, told)), contents.get(own_paths.FILE))
    return Acting(loaded.chunk_size, calls, said, sets, reward, SEEDS)


def _logs(method: str, contents: Mapping[str, bytes], model: str) -> dict[str, str]:
    """Return {LOG or SUMMARY: name} of a run's log; of several files of a name, that which shares
    the most folders with the model, else the topmost.
    """

    def order(name: str) -> tuple[int, int, str]:
        shared = os.path.commonpath([os.path.dirname(name), os.path.dirname(model)])
        return shared.count("/"), -name.count("/"), name

    names = sorted(in_run(contents, method), key=order)
    return {end: name for name in names for end in (LOG, SUMMARY) if name.endswith(end)}


@functools.cache
def _shipped_statistics() -> Stats:
    shipped = demos.open("shipped")
    return Normalizer.from_data(shipped.states, shipped.actions).stats
