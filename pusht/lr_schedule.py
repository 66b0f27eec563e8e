"""Learning-rate schedule of the diffusion policy."""

import math

from torch.optim.lr_scheduler import LambdaLR


def get_cosine_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps):
    """Rise linearly over `num_warmup_steps`, then fall to zero along half a cosine at
    `num_training_steps`.

    Step it after every batch, not after every epoch.
    """

    def factor(step):
        if step < num_warmup_steps:
            return step / max(1, num_warmup_steps)
        progress = (step - num_warmup_steps) / max(1, num_training_steps - num_warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return LambdaLR(optimizer, factor)
