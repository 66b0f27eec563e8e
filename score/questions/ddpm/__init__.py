"""Part III, diffusion: Q3.1 schedule, Q3.2 adding and removing noise, Q3.3 loss, Q3.4 inference."""

from score.questions.ddpm import diffusion, inference, loss, schedule

QUESTIONS = (*schedule.QUESTIONS, *diffusion.QUESTIONS, *loss.QUESTIONS, *inference.QUESTIONS)
