"""Part IV: Q4.1 MSE policy, Q4.2 training loop, Q4.3 flow-matching loss, Q4.4 Euler integration."""

from score.questions.flow import euler, loss, mse_policy, training_loop

QUESTIONS = (
    *mse_policy.QUESTIONS,
    *training_loop.QUESTIONS,
    *loss.QUESTIONS,
    *euler.QUESTIONS,
)
