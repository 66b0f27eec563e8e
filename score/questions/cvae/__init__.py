"""Part II, the CVAE: Q2.1 agent, Q2.2 divergence, Q2.3 loss, Q2.4 inference."""

from score.questions.cvae import agent, divergence, loss

QUESTIONS = (*agent.QUESTIONS, *divergence.QUESTIONS, *loss.QUESTIONS)
