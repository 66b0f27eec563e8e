"""Extensions of Part I: E1.1 sine and cosine, E1.2 ensembling."""

from score.questions.extensions.mlp.angle import AngleEncoding
from score.questions.extensions.mlp.ensemble import TemporalEnsemble

EXTENSIONS = (AngleEncoding(), TemporalEnsemble())
