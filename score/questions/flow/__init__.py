"""Part IV: Q4.1 MSE policy, Q4.2 training loop, Q4.3 flow-matching loss, Q4.4 Euler integration."""

from score.questions.flow.euler import EulerIntegration
from score.questions.flow.loss import FlowLoss
from score.questions.flow.mse_policy import MSEPolicy
from score.questions.flow.training_loop import TrainingLoop

QUESTIONS = (MSEPolicy(), TrainingLoop(), FlowLoss(), EulerIntegration())
