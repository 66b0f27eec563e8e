"""Part II, the CVAE: Q2.3 the loss, squared error plus beta times the KL divergence of Q2.2."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from score.questions.base import Arrays, Rng, wrong
from score.questions.cvae.divergence import TENSOR_HINT, KLDivergence
from score.questions.kinds import NumberQuestion
from score.questions.mistakes import Mistake, alike, squared_error
from score.questions.networks import Probe, random_weights
from score.verdict import call_answer

_BETA = 10.0  # by default
_KL = KLDivergence()
_FIRST = "If Q2.2 is not right yet, mend that first."
_SQUARED_ERROR = {
    "sum": "the squared error is summed: take its mean, over batch, steps and dimensions.",
    "sum of a chunk": (
        "the squared error is summed over each chunk: take its mean over steps and dimensions too."
    ),
    "sum over coordinates": (
        "the squared error is summed over the two coordinates: take its mean over them too."
    ),
    "half": "the squared error is halved.",
    "absolute": "the absolute error is taken: square the differences.",
    "root": "the root of the mean squared error is taken: leave it out.",
    "smooth L1": "a smooth L1 (Huber) loss is taken: use the mean squared error.",
}


class CVAELoss(NumberQuestion):
    """The loss of an agent that stands for a `CVAEAgent`."""

    name, function, leaves = "Q2.3", "cvae_loss", "the agent"
    tensor_hint, hint_rtols = TENSOR_HINT, (1e-6, 1e-5)  # of so many one may lie near by chance
    scalar_hint = (
        "one number for the whole batch: the mean of the squares over everything, and beta times"
        " the one number that kl_divergence gives."
    )
    attached_hint = "nothing on the way from the agent's outputs to the loss may be detached."
    fallback = (
        "it is the mean squared difference between the agent's prediction and naction, both in the"
        f" same shape, plus beta times kl_divergence(mu, logvar). {_FIRST}"
    )

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Part I's errors on both sides of 1, beside a KL term that does not drown them.

        The first is the notebook's own, beta by default: mu is as wide as the actions, and taking
        one for the other shows.
        """
        batch, latent = ((5, 32), (16, 3), (1, 8))[trial]
        weights = random_weights(rng, 32 + 2 * latent, 42)
        weights["weight"][32:] *= 0.3
        return {
            **weights,
            "nobs": rng.uniform(-0.8, 0.8, (batch, 2, 5)).astype(np.float32),
            "naction": 3 * rng.uniform(-0.8, 0.8, (batch, 16, 2)).astype(np.float32),
            "beta": (None, float(rng.uniform(0.3, 0.8)), float(rng.uniform(1.5, 4)))[trial],
        }

    def arguments(self, inputs: Arrays, dtype: torch.dtype) -> tuple[Arrays, list[Tensor]]:
        latent = (len(inputs["bias"]) - 32) // 2
        agent = Probe("agent", {"obs": 10, "action": 32}, (32, latent, latent), inputs).to(dtype)
        arrays = {name: torch.tensor(inputs[name], dtype=dtype) for name in ("nobs", "naction")}
        return {"agent": agent, **arrays, "beta": inputs["beta"] or _BETA}, [agent.linear.weight]

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        arguments, leaves = self.arguments(inputs, torch.float32)
        beta = {"beta": arguments.pop("beta")} if inputs["beta"] else {}
        agent, nobs, naction = (arguments[name] for name in ("agent", "nobs", "naction"))
        return self.outputs(call_answer("cvae_loss", answer, agent, nobs, naction, **beta), leaves)

    def said(self, inputs: Arrays) -> str:
        beta = f"= {inputs['beta']:.3g}" if inputs["beta"] else "left at its default"
        return f"With beta {beta} the loss is"

    def expected(
        self,
        agent: nn.Module,
        nobs: Tensor,
        naction: Tensor,
        beta: float,
        target: Tensor | None = None,
    ) -> Tensor:
        prediction, mu, logvar = agent(nobs.flatten(1), naction.flatten(1))
        target = naction if target is None else target
        return _squared(prediction, target.flatten(1)) + beta * _KL.expected(mu, logvar)

    def judge_gradients(self, found: list[np.ndarray] | None, expected: list[np.ndarray]) -> None:
        for part, rows in (("squared error", slice(0, 32)), ("KL term", slice(32, None))):
            if found is not None and not alike(
                found[0][rows], expected[0][rows], rtol=1e-3, atol=self.gradient_atol
            ):
                raise wrong(
                    f"The value is right, but the gradient of its {part} is not.",
                    self.attached_hint,
                )
        super().judge_gradients(found, expected)

    def mistakes(
        self, agent: nn.Module, nobs: Tensor, naction: Tensor, beta: float
    ) -> Iterator[Mistake]:
        outputs = agent(nobs.flatten(1), naction.flatten(1))
        chunks, (mu, logvar) = outputs[0].view(-1, 16, 2), outputs[1:]
        mse, kl = _squared(chunks, naction), _KL.expected(mu, logvar)
        yield from _weights_mistaken(mse, kl, beta, mu)
        yield from squared_error((chunks - naction).numpy(), _SQUARED_ERROR, plus=beta * kl.item())
        yield from _shapes_mistaken(chunks, naction, beta * kl)
        yield from self._inputs_mistaken(agent, nobs, naction, beta)
        if beta == _BETA:
            yield from _default_mistaken(outputs, naction.flatten(1))
        for m in _KL.mistakes(mu, logvar):
            yield Mistake(mse + beta * m.value, f"the KL term is not right: {m.hint} {_FIRST}")
        for what, value in (("sigma", (logvar / 2).exp()), ("the variance", logvar.exp())):
            hint = f"kl_divergence takes logvar; here it is given {what}."
            yield Mistake(mse + beta * _KL.expected(mu, value), hint)

    def _inputs_mistaken(
        self, agent: nn.Module, nobs: Tensor, naction: Tensor, beta: float
    ) -> Iterator[Mistake]:
        in_order = "time step by time step, without a transpose."
        hint = f"the observations are flattened in the wrong order: {in_order}"
        yield Mistake(self.expected(agent, nobs.transpose(1, 2), naction, beta), hint)
        hint = "the observations are flattened in the wrong order: newest last."
        yield Mistake(self.expected(agent, nobs.flip(1), naction, beta), hint)
        turned, zeros = naction.transpose(1, 2), torch.zeros_like(naction)
        hint = f"the actions are flattened in the wrong order: {in_order}"
        yield Mistake(self.expected(agent, nobs, turned, beta, target=naction), hint)
        yield Mistake(
            self.expected(agent, nobs, turned, beta),
            "the actions are flattened in the wrong order, here and in the comparison: time step by"
            " time step.",
        )
        hint = "the agent is to see the demonstrated actions."
        yield Mistake(self.expected(agent, nobs, zeros, beta, target=naction), hint)


def _squared(one: Tensor, other: Tensor) -> Tensor:
    return nn.functional.mse_loss(one, other)


def _weights_mistaken(mse: Tensor, kl: Tensor, beta: float, mu: Tensor) -> Iterator[Mistake]:
    yield Mistake(mse, "the KL term is missing.")
    yield Mistake(beta * kl, "the squared error is missing.")
    yield Mistake(beta * mse + kl, "beta belongs to the KL term, not to the squared error.")
    yield Mistake(beta * (mse + kl), "beta belongs to the KL term alone.")
    yield Mistake(mse - beta * kl, f"the KL term is subtracted: add it. {_FIRST}")
    counts = {"everything": mu.numel(), "the batch": len(mu), "the latent dimensions": mu.shape[1]}
    for what, count in counts.items():
        hint = f"the KL term is averaged over {what}: it is a sum. {_FIRST}"
        yield Mistake(mse + beta * kl / count, hint)
    if beta == _BETA:
        for other in (1, 0.1, 0.01, 0.001, 1e-4, 1e-5, 100):
            more = "multiply the KL term by beta, and leave its default at 10."
            yield Mistake(mse + other * kl, f"beta counts as {other:g}: {more}")
    else:
        yield Mistake(mse + 10 * kl, "beta is an argument: do not fix it at 10.")
        yield Mistake(mse + kl, "beta is left out.")
        yield Mistake(mse + beta**2 * kl, "beta is squared.")
        yield Mistake(mse + kl / beta, "the KL term is to be multiplied by beta.")


def _shapes_mistaken(chunks: Tensor, naction: Tensor, plus: Tensor) -> Iterator[Mistake]:
    yield Mistake(
        _squared(chunks.reshape(-1, 2, 16).transpose(1, 2), naction) + plus,
        "the output is reshaped in the wrong order: view it as (B, pred_horizon, action_dim),"
        " without a transpose.",
    )
    hint = "only the executed actions count here: compare all pred_horizon of them."
    yield Mistake(_squared(chunks[:, 1:9], naction[:, 1:9]) + plus, hint)
    hint = "only the first action_horizon actions count here: compare all pred_horizon of them."
    yield Mistake(_squared(chunks[:, :8], naction[:, :8]) + plus, hint)


def _default_mistaken(outputs: tuple[Tensor, ...], action: Tensor) -> Iterator[Mistake]:
    """Yield what shows with the notebook's sizes, where all three outputs are 32 wide."""
    names = ("the prediction", "mu", "logvar")
    for i, j, k in ((1, 2, 0), (2, 0, 1), (2, 1, 0), (1, 0, 2)):
        yield Mistake(
            _squared(outputs[i], action) + _BETA * _KL.expected(outputs[j], outputs[k]),
            "the agent gives prediction, mu and logvar in this order; here these are"
            f" {names[i]}, {names[j]} and {names[k]}.",
        )


QUESTIONS = (CVAELoss(),)
