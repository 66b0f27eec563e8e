"""Extensions of Part I: E1.1 sine and cosine, E1.2 ensembling, E1.3 the paired interval, E1.4 the
drift, E1.5 DAgger.
"""

from score.questions.extensions.mlp.angle import AngleEncoding
from score.questions.extensions.mlp.dagger import Relabelled
from score.questions.extensions.mlp.drift import NearestDistance
from score.questions.extensions.mlp.ensemble import TemporalEnsemble
from score.questions.extensions.mlp.paired import PairedInterval

EXTENSIONS = (
    AngleEncoding(),
    TemporalEnsemble(),
    PairedInterval(),
    NearestDistance(),
    Relabelled(),
)
