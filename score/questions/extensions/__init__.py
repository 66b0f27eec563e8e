"""Extensions: questions beyond the course, which earn no points and are not judged when graded."""

from score.questions.extensions.angle import AngleEncoding
from score.questions.extensions.ddim import DDIMStep
from score.questions.extensions.ensemble import TemporalEnsemble
from score.questions.extensions.mean_kl import MeanKLDivergence
from score.questions.extensions.midpoint import MidpointStep

EXTENSIONS = (AngleEncoding(), TemporalEnsemble(), MeanKLDivergence(), DDIMStep(), MidpointStep())
