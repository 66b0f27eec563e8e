"""Extensions of Part II: E2.1 a weight for the divergence."""

from score.questions.extensions.cvae.mean_kl import MeanKLDivergence

EXTENSIONS = (MeanKLDivergence(),)
