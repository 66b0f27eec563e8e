"""E2.1, an extension of Part II: the KL divergence of a sample, averaged over the batch."""

from torch import Tensor

from score.questions.base import Arrays
from score.questions.cvae.loss import KLDivergence
from score.questions.mistakes import Mistakes

_SUMMED = KLDivergence()


class MeanKLDivergence(KLDivergence):
    """Q2.2's divergence, summed over the latent dimensions and averaged over the batch [nats]."""

    name, function = "E2.1", "mean_kl"
    fallback = (
        "it is Q2.2's divergence, summed over the latent dimensions and averaged over the batch."
    )

    def expected(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return _SUMMED.expected(mu, logvar) / len(mu)

    def shape_hint(self, shape: tuple[int, ...], inputs: Arrays) -> str:
        batch, latent = inputs["mu"].shape
        missing = "the mean over the batch, as one number"
        if shape in ((latent,), (1, latent)):
            missing = "the sum over the latent dimensions"
        elif shape == (batch, latent):
            missing = "the sum over the latent dimensions, and then the mean over the batch"
        return f"one number is needed: take {missing}."

    def mistakes(self, mu: Tensor, logvar: Tensor) -> Mistakes:
        total = _SUMMED.expected(mu, logvar)
        yield total, "it is summed over the batch, as in Q2.2: take the mean over it."
        hint = "it is averaged over the latent dimensions too: take the sum over these."
        yield total / mu.numel(), hint
        hint = "sum and mean are swapped: sum over the latent dimensions, average over the batch."
        yield total / mu.shape[1], hint
        yield total / 256, "it is divided by 256: divide by the size of this batch."
        for value, hint in _SUMMED.mistakes(mu, logvar):
            if "averaged" not in hint:
                yield value / len(mu), hint
