"""Extensions: questions beyond the course, which earn no points and are not judged when graded."""

from score.questions.extensions import cvae, ddpm, flow, mlp

EXTENSIONS = (*mlp.EXTENSIONS, *cvae.EXTENSIONS, *ddpm.EXTENSIONS, *flow.EXTENSIONS)
