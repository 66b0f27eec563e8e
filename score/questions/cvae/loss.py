"""Part II, the CVAE: Q2.2 the KL divergence, Q2.3 the loss, squared error plus beta times that."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from score.questions.base import Array, Arrays, Rng, require
from score.questions.kinds import CUT, NumberQuestion
from score.questions.mistakes import Mistake, Mistakes, alike, imitation_mistakes
from score.questions.networks import Probe, random_weights, small
from score.verdict import call_answer

_BETA = 10.0  # by default
_TENSOR_HINT = f"return one tensor; {CUT}, and print returns nothing."
_FIRST = "If Q2.2 is not right yet, mend that first."


class KLDivergence(NumberQuestion):
    """The divergence of N(mu, exp(logvar)) from N(0, I), summed over everything."""

    name, function, subject = "Q2.2", "kl_divergence", "divergence"
    leaves, differentiated = "mu and logvar", "the divergence"
    tensor_hint, atol = _TENSOR_HINT, 1e-5
    attached_hint = "nothing may be detached."
    fallback = (
        "it is -1/2 times the sum, over batch and latent dimensions, of 1 + logvar - mu² -"
        " exp(logvar)."
    )

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The last is N(0, I) itself. Batch and latent sizes differ, so that means over them do."""
        some, shape = trial < 2, ((7, 5), (1, 12), (6, 4))[trial]
        mu = some * rng.normal(size=shape).astype(np.float32)
        return {"mu": mu, "logvar": some * small(rng, *shape, most=2)}

    def arguments(self, inputs: Arrays, dtype: torch.dtype) -> tuple[Arrays, list[Tensor]]:
        names = ("mu", "logvar")
        leaves = [torch.tensor(inputs[name], dtype=dtype, requires_grad=True) for name in names]
        # Clones, as a network gives them: an answer may work in place.
        return {name: leaf.clone() for name, leaf in zip(names, leaves)}, leaves

    def expected(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()

    def shape_hint(self, shape: tuple[int, ...], inputs: Arrays) -> str:
        batch, latent = inputs["mu"].shape
        over = dict.fromkeys([(batch,), (batch, 1)], "the batch too")
        over |= dict.fromkeys([(latent,), (1, latent)], "the latent dimensions too")
        over |= {(batch, latent): "both dimensions"}
        return f"one number is needed: sum over {over.get(shape, 'everything')}."

    def value_hint(self, value: float, mistakes: Mistakes) -> str:
        if not np.isfinite(value):
            return "logvar may be negative and has no logarithm: it is log sigma² already."
        return super().value_hint(value, mistakes)

    def mistakes(self, mu: Tensor, logvar: Tensor) -> Mistakes:
        def half(terms: Tensor, hint: str) -> Mistake:
            return 0.5 * terms.sum(), hint

        right, square, variance = self.expected(mu, logvar), mu.square(), logvar.exp()
        minus = 1 + logvar
        yield 2 * right, "the half is missing."
        yield -right, "the sign is flipped: a divergence is never negative."
        yield -2 * right, "the half is missing and the sign is flipped."
        yield right / mu.numel(), "it is averaged over everything: take the sum."
        yield right / len(mu), "it is averaged over the batch: take the sum."
        yield right / mu.shape[1], "it is averaged over the latent dimensions: take the sum."
        hint = "logvar is log sigma², and the variance exp(logvar); here the two cancel."
        yield half(square - 1, hint)
        hint = "logvar is taken for log sigma: it is log sigma², and the variance exp(logvar)."
        yield half(square + variance.square() - 1 - 2 * logvar, hint)
        hint = "sigma stands where sigma² should: the variance is exp(logvar)."
        yield half(square + variance.sqrt() - minus, hint)
        hint = "sigma is squared once too often: the variance is exp(logvar)."
        yield half(square + variance.square() - minus, hint)
        yield half(square + variance - 1 - logvar / 2, "logvar is halved: log sigma² is logvar.")
        yield half(mu + variance - minus, "mu is not squared.")
        yield half(variance - minus, "mu is left out.")
        yield half(variance - square - minus, "mu² has the wrong sign.")
        hint = "the divergence of N(0, I) is zero."
        yield half(square + variance - logvar, f"the 1 is forgotten: {hint}")
        yield half(square + variance + 1 - logvar, f"the 1 has the wrong sign: {hint}")
        yield half(square + variance - 1, "logvar is left out.")
        yield half(square + variance - 1 + logvar, "logvar has the wrong sign.")
        yield half(square - minus, "exp(logvar) is left out.")
        yield half(square - variance - minus, "exp(logvar) has the wrong sign.")
        yield self.expected(logvar, mu), "mu and logvar are the wrong way round."
        hint = "this is the divergence of N(0, I) from N(mu, sigma²): it is the other way round."
        yield half((1 + square) / variance - 1 + logvar, hint)
        total = (0.5 * (square + variance) - minus).sum()
        yield total, "the half belongs before the whole sum."


_KL = KLDivergence()
_SUMMED = "the squared error is summed"
_SQUARED_ERROR = {
    "sum": f"{_SUMMED}: take its mean, over batch, steps and dimensions.",
    "sum of a chunk": f"{_SUMMED} over each chunk: take its mean over steps and dimensions too.",
    "sum over coordinates": f"{_SUMMED} over the two coordinates: take its mean over them too.",
    "half": "the squared error is halved.",
    "absolute": "the absolute error is taken: square the differences.",
    "root": "the root of the mean squared error is taken: leave it out.",
    "smooth L1": "a smooth L1 (Huber) loss is taken: use the mean squared error.",
}


class CVAELoss(NumberQuestion):
    """The loss of an agent that stands for a `CVAEAgent`."""

    name, function, leaves = "Q2.3", "cvae_loss", "the agent"
    tensor_hint, hint_rtols = _TENSOR_HINT, (1e-6, 1e-5)  # of so many one may lie near by chance
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
        """Part I's errors and predictions on both sides of 1, as a mu and a logvar are, beside a KL
        term that does not drown them. In the first, the notebook's own, mu is as wide as the
        actions: taking one for the other shows.
        """
        batch, latent = ((5, 32), (16, 3), (1, 8))[trial]
        weights = random_weights(rng, 32 + 2 * latent, 42)
        weights["weight"][:32] *= 3
        weights["weight"][32:] *= 0.3
        weights["bias"][32::latent] = 1.5  # of one mu and one logvar
        nobs, naction = small(rng, batch, 2, 5), 3 * small(rng, batch, 16, 2)
        beta = (None, float(rng.uniform(0.3, 0.8)), float(rng.uniform(1.5, 4)))[trial]
        return {**weights, "nobs": nobs, "naction": naction, "beta": beta}

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

    def expected(self, agent: nn.Module, nobs: Tensor, naction: Tensor, beta: float) -> Tensor:
        return _loss(agent, nobs, naction, naction, beta)

    def judge_gradients(self, found: list[Array] | None, right: list[Array]) -> None:
        for part, rows in (("squared error", slice(0, 32)), ("KL term", slice(32, None))):
            same = found is None or alike(found[0][rows], right[0][rows], 1e-3, self.gradient_atol)
            said = f"The value is right, but the gradient of its {part} is not."
            require(same, said, self.attached_hint)
        super().judge_gradients(found, right)

    def mistakes(self, agent: nn.Module, nobs: Tensor, naction: Tensor, beta: float) -> Mistakes:
        outputs = agent(nobs.flatten(1), naction.flatten(1))
        chunks, (mu, logvar) = outputs[0].view(-1, 16, 2), outputs[1:]
        mse, kl = mse_loss(chunks, naction), _KL.expected(mu, logvar)
        yield from _terms_mistaken(mse, kl, beta, mu)
        loss_of = partial(self.expected, agent, naction=naction, beta=beta)
        both, plus = (chunks.numpy(), naction.numpy()), beta * kl.item()
        yield from imitation_mistakes(*both, _SQUARED_ERROR, loss_of, nobs, plus)
        transposed = chunks.reshape(-1, 2, 16).transpose(1, 2)
        view = "view it as (B, pred_horizon, action_dim), without a transpose."
        hint = f"the output is reshaped in the wrong order: {view}"
        yield mse_loss(transposed, naction) + beta * kl, hint
        turned, in_order = naction.transpose(1, 2), "time step by time step"
        hint = "the actions are flattened in the wrong order"
        loss = _loss(agent, nobs, turned, naction, beta)
        yield loss, f"{hint}: {in_order}, without a transpose."
        loss = self.expected(agent, nobs, turned, beta)
        yield loss, f"{hint}, here and in the comparison: {in_order}."
        loss = _loss(agent, nobs, torch.zeros_like(naction), naction, beta)
        yield loss, "the agent is to see the demonstrated actions."
        if beta == _BETA:
            yield from _default_mistaken(outputs, naction.flatten(1))
        for divergence, hint in _KL.mistakes(mu, logvar):
            yield mse + beta * divergence, f"the KL term is not right: {hint} {_FIRST}"
        for what, value in (("sigma", (logvar / 2).exp()), ("the variance", logvar.exp())):
            hint = f"kl_divergence takes logvar; here it is given {what}."
            yield mse + beta * _KL.expected(mu, value), hint


def _loss(agent, nobs, shown, target, beta):
    """Return the loss of an agent that is shown these actions, compared with that target."""
    prediction, mu, logvar = agent(nobs.flatten(1), shown.flatten(1))
    return mse_loss(prediction, target.flatten(1)) + beta * _KL.expected(mu, logvar)


def _terms_mistaken(mse, kl, beta, mu):
    yield mse, "the KL term is missing."
    yield beta * kl, "the squared error is missing."
    yield beta * mse + kl, "beta belongs to the KL term, not to the squared error."
    yield beta * (mse + kl), "beta belongs to the KL term alone."
    yield mse - beta * kl, f"the KL term is subtracted: add it. {_FIRST}"
    counts = {"everything": mu.numel(), "the batch": len(mu), "the latent dimensions": mu.shape[1]}
    for what, count in counts.items():
        yield mse + beta * kl / count, f"the KL term is averaged over {what}: it is a sum. {_FIRST}"
    if beta == _BETA:
        for other in (1, 0.1, 0.01, 0.001, 1e-4, 1e-5, 100):
            more = "multiply the KL term by beta, and leave its default at 10."
            yield mse + other * kl, f"beta counts as {other:g}: {more}"
    else:
        yield mse + 10 * kl, "beta is an argument: do not fix it at 10."
        yield mse + kl, "beta is left out."
        yield mse + beta**2 * kl, "beta is squared."
        yield mse + kl / beta, "the KL term is to be multiplied by beta."


def _default_mistaken(outputs, action):
    """Yield what shows with the notebook's sizes, where all three outputs are 32 wide."""
    names = ("the prediction", "mu", "logvar")
    for i, j, k in ((1, 2, 0), (2, 0, 1), (2, 1, 0), (1, 0, 2)):
        loss = mse_loss(outputs[i], action) + _BETA * _KL.expected(outputs[j], outputs[k])
        order = "the agent gives prediction, mu and logvar in this order"
        yield loss, f"{order}; here these are {names[i]}, {names[j]} and {names[k]}."
