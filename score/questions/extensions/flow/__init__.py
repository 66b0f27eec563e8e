"""Extensions of Part IV: E4.1 the midpoint rule, E4.2 the actions that are executed, E4.3 a split
by episode.
"""

from score.questions.extensions.flow.executed import ExecutedActions
from score.questions.extensions.flow.midpoint import MidpointStep
from score.questions.extensions.flow.split import EpisodeSplit

EXTENSIONS = (MidpointStep(), ExecutedActions(), EpisodeSplit())
