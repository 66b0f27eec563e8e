"""Part II, the CVAE: Q2.1 agent, Q2.2 divergence, Q2.3 loss, Q2.4 inference."""

from score.questions.cvae.agent import CVAEAgent, CVAEInference
from score.questions.cvae.loss import CVAELoss, KLDivergence

QUESTIONS = (CVAEAgent(), KLDivergence(), CVAELoss(), CVAEInference())
