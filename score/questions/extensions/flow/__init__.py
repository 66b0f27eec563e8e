"""Extensions of Part IV: E4.1 the midpoint rule."""

from score.questions.extensions.flow.midpoint import MidpointStep

EXTENSIONS = (MidpointStep(),)
