"""Extensions of Part II: E2.1 a weight for the divergence, E2.2 the number of modes."""

from score.questions.extensions.cvae.mean_kl import MeanKLDivergence
from score.questions.extensions.cvae.modes import Modes

EXTENSIONS = (MeanKLDivergence(), Modes())
