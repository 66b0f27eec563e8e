"""Extensions of Part IV: E4.1 the midpoint rule, E4.2 the actions that are executed."""

from score.questions.extensions.flow.executed import ExecutedActions
from score.questions.extensions.flow.midpoint import MidpointStep

EXTENSIONS = (MidpointStep(), ExecutedActions())
