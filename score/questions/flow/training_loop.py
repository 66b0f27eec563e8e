"""Part IV, flow matching: Q4.2 the training loop, judged by the way that the weights take.

The loop is handed a policy, a loader and a logger that keep a record.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer

from pusht import chunks
from pusht.chunks import BasePolicy, Normalizer
from pusht.episodes import Episodes, Policy, reproducible
from pusht.tracking import Logger
from pusht.train import TrainConfig
from score.questions.base import Array, Arrays, Question, Rng, plain, wrong
from score.questions.flow.policies import call_method, isolated
from score.questions.flow.training_judge import judge_evaluations, judge_log, judge_weights
from score.questions.mistakes import Mistake, Mistakes
from score.verdict import AnswerError

_STATS = {
    "obs": {"mean": [256, 256, 256, 256, 3], "std": [100, 100, 80, 80, 2]},
    "action": {"mean": [256, 250], "std": [100, 90]},
}
_MISFIT = (
    "the batches are (state (B, 5), chunk (B, K, 2)): hand both to policy.compute_loss as they are."
)


class TrainingLoop(Question):
    """The function `train`."""

    name = "Q4.2"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Evaluations that fall before the end; one on the last step; none but that at the end. A
        setting that is taken for another leads elsewhere: no two are alike, or to no last one.
        """
        if trial == 1:
            batches, epochs = ((6, 2), (3, 4))[rng.integers(2)]
        else:
            (low, high), epochs = ((4, 7), 3) if trial == 0 else ((6, 9), 1)
            batches = int(rng.integers(low, high))
        steps, batch = batches * epochs, int(rng.integers(20, 24))
        chunk_size = int(rng.integers(9, 13)) if trial else steps
        # Batches pull in many directions: gradients kept from one to the next take another way.
        states = rng.normal(0, 1, (batches, batch, 5))
        actions = rng.normal(0, 2, (batches, batch, chunk_size, 2))
        shape = chunk_size * 2, 5  # far from zero, where weight decay is felt:
        weight = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
        arrays = {"states": states, "chunks": actions, "weight": weight}
        config = {
            "num_epochs": epochs,
            "eval_interval": (batches + 1, 4, 100 * steps)[trial],
            "log_interval": int(rng.integers(3, 5)),
            "batch_size": batch,
            "lr": float(rng.uniform(0.01, 0.03)),
            "chunk_size": chunk_size,
            "flow_num_steps": int(rng.integers(14, 19)) if trial < 2 else steps,
            "num_video_episodes": 0,
            "video_size": (64, 64),
            "wandb": "disabled",
            "device": "cpu",
        }
        return {"config": config, **{name: x.astype("float32") for name, x in arrays.items()}}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        with (
            isolated(0),
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(chunks, "rollout", _short_rollout),
            mock.patch.object(chunks, "print", lambda *_, **__: None, create=True),
        ):
            config, policy = TrainConfig(**inputs["config"]), _Linear(inputs)
            logger = _Recorder(Path(folder) / "run", config=config, wandb="disabled")
            loader, backwards = _Loader(inputs, logger.events), list[Tensor]()
            policy.weight.register_hook(backwards.append)
            arguments = policy, loader, Normalizer(_STATS), logger, config
            try:
                call_method(inputs, "train", answer, *arguments, hint=_MISFIT)
            except AnswerError:
                if loader.endless():
                    hint = f"config.num_epochs passes, here {config.num_epochs}."
                    raise wrong("The loop passes over the loader without end.", hint) from None
                if policy.grad_modes and not policy.grad_modes[-1]:
                    hint = "no torch.no_grad around the loss."
                    raise wrong("compute_loss was called with gradients off.", hint) from None
                raise
            losses = [row for row in logger.rows if "train/loss" in row]
            names = {name for row in logger.rows for name in row if "eval/" not in name}
            return {
                "weight": plain(policy.weight),
                "events": logger.events,
                "loss_calls": len(policy.grad_modes),
                "backwards": len(backwards),
                "num_steps": policy.num_steps,
                "evaluations": logger.evaluations,
                "logged": [(row["step"], row["train/loss"]) for row in losses],
                "names": sorted(names - {"step"}),
            }

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        weights, losses = trained(inputs)
        judge_weights(inputs, outputs, weights, _mistakes(inputs))
        judge_log(inputs, outputs, losses)
        judge_evaluations(inputs, outputs, weights)
        events = outputs["events"]
        if "dump" not in events:
            hint = "it is the last line, after the last evaluation."
            raise wrong("logger.dump_for_grading() was never called.", hint)
        if set(events[events.index("dump") :]) != {"dump"}:
            hint = "it comes once, at the very end."
            raise wrong("logger.dump_for_grading() was called before the training was over.", hint)


class _Linear(BasePolicy):
    """A linear layer whose loss is no squared error, so that a loop that takes its own is seen."""

    def __init__(self, inputs: Arrays):
        super().__init__(5, 2, inputs["config"]["chunk_size"])
        self.weight = nn.Parameter(torch.tensor(inputs["weight"]))
        self.num_steps: list[int] = []
        self.grad_modes: list[bool] = []  # of each call of compute_loss

    def sample_actions(self, state: Tensor, *, num_steps: int = 10) -> Tensor:
        self.num_steps.append(num_steps)
        return (state @ self.weight.T).view(-1, self.chunk_size, self.action_dim)

    def compute_loss(self, state: Tensor, action_chunk: Tensor) -> Tensor:
        self.grad_modes.append(torch.is_grad_enabled())
        error = (state @ self.weight.T).view_as(action_chunk) - action_chunk
        return (1 + error.square()).sqrt().mean()


class _Loader:
    """The inputs' batches in order. Each one served is an event; passes without end come to one."""

    def __init__(self, inputs: Arrays, events: list[str]):
        self.batches = list(zip(inputs["states"], inputs["chunks"], strict=True))
        self.events, self.batch_size = events, inputs["config"]["batch_size"]
        self.most = 20 * inputs["config"]["num_epochs"] * len(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for state, chunk in self.batches:
            self.events.append("batch")
            if self.endless():
                raise RuntimeError("The loader was passed over and over.")
            yield torch.tensor(state), torch.tensor(chunk)

    def endless(self) -> bool:
        return self.events.count("batch") > self.most


class _Recorder(Logger):
    """A `Logger` that keeps in memory what it would write beside its log, and a list of events."""

    def __init__(self, path: Path, **options: Any):
        super().__init__(path, **options)
        self.events: list[str] = []
        self.evaluations: list[tuple[int, Array | None]] = []  # (step, weight)

    def log(self, row: Any, step: int) -> None:
        super().log(row, step)
        self.events.append("log")

    def save_checkpoint(self, checkpoint: Any, step: int) -> None:  # type: ignore[override]
        weight = checkpoint.weights.get("weight")
        self.evaluations.append((int(step), None if weight is None else plain(weight)))
        self.events.append("evaluate")

    def save_video(self, frames: Any, step: int) -> None:  # type: ignore[override]
        pass

    def dump_for_grading(self) -> None:
        self.events.append("dump")


def _short_rollout(policy: Policy, seeds: Any, **options: Any) -> Episodes:
    """Return an episode of one step in which nothing moves, since there is no simulator where a
    notebook is graded: what `evaluate_policy` does around it is as ever.
    """
    state = np.array([100.0, 400.0, 256.0, 256.0, 1.0])
    with reproducible(0):
        chunks = policy(state[None, None])
    return Episodes(list(seeds)[:1], [np.array([state, state])], [chunks[0, :1]], [np.zeros(1)])


# In the grader.


def trained(
    inputs: Arrays,
    optimizer: Callable[..., Optimizer] = Adam,
    *,
    lr: float | None = None,
    reset: str | None = "batch",
    fresh: str | None = None,
    loss: Callable[[Any, Tensor, Tensor], Tensor] = _Linear.compute_loss,
) -> tuple[list[Array], list[float]]:
    """Return (weights before and after each step, losses) of the loop, or of one with a mistake.

    reset, fresh: how often gradients are reset and the optimizer made anew: "batch", "epoch" or
    None, never.
    """
    with isolated(0):
        policy, config, stepper = _Linear(inputs), inputs["config"], None
        weights, losses = [plain(policy.weight)], []
        batches = list(zip(*(map(torch.tensor, inputs[n]) for n in ("states", "chunks"))))
        for _, (i, batch) in itertools.product(range(config["num_epochs"]), enumerate(batches)):
            due = ("batch",) if i else ("batch", "epoch")
            if stepper is None or fresh in due:
                stepper = optimizer([policy.weight], lr=lr or config["lr"])
            if reset in due:
                stepper.zero_grad()
            value = loss(policy, *batch)
            value.backward()
            stepper.step()
            weights.append(plain(policy.weight))
            losses.append(value.item())
    return weights, losses


def _mistakes(inputs: Arrays) -> Mistakes:
    """Yield where the weights end after trainings with a mistake."""

    def own_loss(policy: BasePolicy, state: Tensor, chunk: Tensor) -> Tensor:
        return functional.mse_loss(policy.sample_actions(state), chunk)

    def trained_so(hint: str, **options: Any) -> Mistake:
        return trained(inputs, **options)[0][-1], hint

    reset = "optimizer.zero_grad() before each loss.backward()."
    once = "and forgets its averages: make it once, before the loops."
    own = "this minimises another loss: take policy.compute_loss(state, chunk)."
    yield trained_so(f"the gradients are not reset: {reset}", reset=None)
    yield trained_so(f"the gradients are reset once an epoch: {reset}", reset="epoch")
    yield trained_so("this is AdamW, whose weights decay: take Adam, not AdamW.", optimizer=AdamW)
    yield trained_so("this is SGD: take torch.optim.Adam.", optimizer=SGD)
    yield trained_so("the learning rate is Adam's own: pass lr=config.lr.", lr=1e-3)
    yield trained_so("the learning rate is that of the notebook: pass lr=config.lr.", lr=3e-4)
    yield trained_so(f"the optimizer is made anew in each epoch {once}", fresh="epoch")
    yield trained_so(f"the optimizer is made anew for each batch {once}", fresh="batch")
    yield trained_so(own, loss=own_loss)
