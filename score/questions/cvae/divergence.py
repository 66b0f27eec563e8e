"""Part II, the CVAE: Q2.2 KL divergence, Q2.4 inference."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from score.questions.base import Arrays, Rng
from score.questions.kinds import InferenceQuestion, NumberQuestion
from score.questions.mistakes import Mistake
from score.questions.networks import (
    NotCalled,
    Probe,
    decoded_latent,
    linear_output,
    misfit,
    random_weights,
)

TENSOR_HINT = (
    "return one tensor; .item() and numpy cut the path that the gradient takes, and print returns"
    " nothing."
)


class KLDivergence(NumberQuestion):
    """The divergence of N(mu, exp(logvar)) from N(0, I), summed over everything."""

    name, function, subject = "Q2.2", "kl_divergence", "divergence"
    leaves, differentiated = "mu and logvar", "the divergence"
    tensor_hint, atol = TENSOR_HINT, 1e-5
    attached_hint = "nothing may be detached."
    fallback = (
        "it is -1/2 times the sum, over batch and latent dimensions, of 1 + logvar - mu² -"
        " exp(logvar)."
    )

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The last is N(0, I) itself, whose divergence is 0.

        Batch and latent sizes differ, so that means over them do.
        """
        some, shape = trial < 2, ((7, 5), (1, 12), (6, 4))[trial]
        return {
            "mu": some * rng.normal(size=shape).astype(np.float32),
            "logvar": some * rng.uniform(-2, 2, shape).astype(np.float32),
        }

    def arguments(self, inputs: Arrays, dtype: torch.dtype) -> tuple[Arrays, list[Tensor]]:
        names = ("mu", "logvar")
        leaves = [torch.tensor(inputs[name], dtype=dtype, requires_grad=True) for name in names]
        # Clones, as a network gives them: an answer may work in place.
        return {name: leaf.clone() for name, leaf in zip(names, leaves, strict=True)}, leaves

    def expected(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()

    def shape_hint(self, shape: tuple[int, ...], inputs: Arrays) -> str:
        batch, latent = inputs["mu"].shape
        over = {
            (batch, latent): "over both dimensions",
            (batch,): "over the batch too",
            (batch, 1): "over the batch too",
            (latent,): "over the latent dimensions too",
            (1, latent): "over the latent dimensions too",
        }
        return f"one number is needed: sum {over.get(shape, 'over everything')}."

    def value_hint(self, value: float, mistakes: list[Mistake]) -> str:
        if not np.isfinite(value):
            return "logvar may be negative and has no logarithm: it is log sigma² already."
        return super().value_hint(value, mistakes)

    def mistakes(self, mu: Tensor, logvar: Tensor) -> Iterator[Mistake]:
        def half(terms: Tensor, hint: str) -> Mistake:
            return Mistake(0.5 * terms.sum(), hint)

        right, square, variance = self.expected(mu, logvar), mu.square(), logvar.exp()
        minus = 1 + logvar
        yield Mistake(2 * right, "the half is missing.")
        yield Mistake(-right, "the sign is flipped: a divergence is never negative.")
        yield Mistake(-2 * right, "the half is missing and the sign is flipped.")
        yield Mistake(right / mu.numel(), "it is averaged over everything: take the sum.")
        yield Mistake(right / len(mu), "it is averaged over the batch: take the sum.")
        hint = "it is averaged over the latent dimensions: take the sum."
        yield Mistake(right / mu.shape[1], hint)
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
        hint = "the 1 is forgotten: the divergence of N(0, I) is zero."
        yield half(square + variance - logvar, hint)
        hint = "the 1 has the wrong sign: the divergence of N(0, I) is zero."
        yield half(square + variance + 1 - logvar, hint)
        yield half(square + variance - 1, "logvar is left out.")
        yield half(square + variance - 1 + logvar, "logvar has the wrong sign.")
        yield half(square - minus, "exp(logvar) is left out.")
        yield half(square - variance - minus, "exp(logvar) has the wrong sign.")
        yield Mistake(self.expected(logvar, mu), "mu and logvar are the wrong way round.")
        hint = "this is the divergence of N(0, I) from N(mu, sigma²): it is the other way round."
        yield half((1 + square) / variance - 1 + logvar, hint)
        total = (0.5 * (square + variance) - minus).sum()
        yield Mistake(total, "the half belongs before the whole sum.")


class Actor(nn.Module):
    """Stands for a trained agent, of which only `sample_action` is of use when acting."""

    def __init__(self, inputs: Arrays):
        super().__init__()
        width, self.latent_dim = len(inputs["bias"]), inputs["weight"].shape[1] - 10
        self.decoder = Probe("decoder", {"obs": 10, "z": self.latent_dim}, (width,), inputs)
        self.encoder = NotCalled(
            "the encoder was asked. Hint: there are no actions to show it when acting; ask"
            " sample_action"
        )

    def sample_action(self, obs: Tensor) -> Tensor:
        if not isinstance(obs, Tensor) or obs.ndim != 2 or obs.shape[1] != 10:
            shapes = {"obs": tuple(getattr(obs, "shape", ()))}
            raise ValueError(misfit("method sample_action", {"obs": 10}, shapes))
        return self.decoder(obs, obs.new_zeros(len(obs), self.latent_dim))

    def forward(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(
            "the agent itself was asked. Hint: that is for training; when acting, ask"
            " model.sample_action"
        )


class CVAEInference(InferenceQuestion):
    """The chunks that an agent's `sample_action` gives for a batch of observations."""

    name, function, source = "Q2.4", "cvae_inference", "sample_action"
    output = flat = "what sample_action gives"
    tensor_hint = "return the tensor naction, nothing else."

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The second splits the same 32 numbers in another way: what was written for 16 actions of
        2 gives the wrong shape there.
        """
        batch, pred_horizon = ((5, 16), (16, int(rng.choice([4, 8]))), (1, 16))[trial]
        return {
            **random_weights(rng, 32, 10 + 5),
            "nobs": rng.uniform(-0.8, 0.8, (batch, 2, 5)).astype(np.float32),
            "pred_horizon": pred_horizon,
            "action_dim": 32 // pred_horizon,
        }

    def sizes(self, inputs: Arrays) -> dict[str, int]:
        return {name: inputs[name] for name in ("pred_horizon", "action_dim")}

    def model(self, inputs: Arrays) -> nn.Module:
        return Actor(inputs)

    def expected(self, inputs: Arrays) -> np.ndarray:
        obs = inputs["nobs"].reshape(-1, 10)
        return linear_output(inputs, obs, np.zeros((len(obs), inputs["weight"].shape[1] - 10)))

    def other_hint(self, inputs: Arrays, naction: np.ndarray) -> str | None:
        obs = inputs["nobs"].reshape(-1, 10)
        if decoded_latent(inputs, obs, naction.reshape(len(obs), -1))[1]:
            return (
                "they are decoded with another latent than zero: draw nothing, and ask"
                " model.sample_action."
            )
        return None


QUESTIONS = (KLDivergence(), CVAEInference())
