"""Extensions of Part III: E3.1 DDIM."""

from score.questions.extensions.ddpm.ddim import DDIMStep

EXTENSIONS = (DDIMStep(),)
