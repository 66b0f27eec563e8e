"""Part III, diffusion: Q3.1 schedule, Q3.2 adding and removing noise, Q3.3 loss, Q3.4 inference."""

from score.questions.ddpm.diffusion import DDPM
from score.questions.ddpm.inference import DDPMInference
from score.questions.ddpm.loss import DDPMLoss
from score.questions.ddpm.schedule import Schedule

QUESTIONS = (Schedule(), DDPM(), DDPMLoss(), DDPMInference())
