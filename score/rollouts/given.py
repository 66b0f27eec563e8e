"""The networks of Parts I to III, which the notebooks give, and how the kit itself acts with them.

The points for rollouts of these parts measure the submitted weights: no code of the student's acts,
neither in practice nor when graded. The student's own functions are judged by the questions.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pusht.networks import MLP, ConditionalUnet1D, ResidualMLP
from score import rubric
from score.questions.ddpm.schedule import cosine_schedule

_OBS, _ACTION, _LATENT = 5, 2, 32  # sizes of an observation, an action, the latent
_WIDTHS = [256, 512, 1024, 512, 256]  # of the CVAE's encoder and decoder
_Act = Callable[[torch.Tensor], torch.Tensor]


def network_of(policy: rubric.Policy) -> tuple[nn.Module, _Act]:
    """Return the untrained network that a policy's notebook gives, and the function with which it
    acts: nobs (B, obs_horizon, 5) -> naction (B, pred_horizon, 2), normalised. KeyError for a
    policy whose network the student builds.

    The diffusion policy draws its noise from torch's generator, which `pusht.rollout` seeds: the
    same weights and the same list of seeds give the same episodes.
    """
    return NETWORKS[policy.method](policy)


def _mlp(policy: rubric.Policy) -> tuple[nn.Module, _Act]:
    widths = [policy.obs_horizon * _OBS, *[256] * 5, policy.pred_horizon * _ACTION]
    model = ResidualMLP(widths, use_layernorm=True)
    return model, lambda nobs: model(nobs.flatten(1)).unflatten(1, (-1, _ACTION))


class CVAEAgent(nn.Module):
    """The arrays of Part II's agent; only its decoder acts.

    obs, action: numbers in a flat observation sequence, and in a flat chunk.
    """

    def __init__(self, obs: int, action: int) -> None:
        super().__init__()
        last = _WIDTHS[-1]
        self.encoder = nn.ModuleDict(
            {
                "body": MLP([obs + action, *_WIDTHS]),
                "mu": nn.Linear(last, _LATENT),
                "logvar": nn.Linear(last, _LATENT),
            }
        )
        self.decoder = nn.ModuleDict(
            {"body": MLP([obs + _LATENT, *_WIDTHS]), "out": nn.Linear(last, action)}
        )


def _cvae(policy: rubric.Policy) -> tuple[nn.Module, _Act]:
    model = CVAEAgent(policy.obs_horizon * _OBS, policy.pred_horizon * _ACTION)

    def act(nobs: torch.Tensor) -> torch.Tensor:
        likeliest = nn.functional.pad(nobs.flatten(1), (0, _LATENT))  # the latent is 0
        flat = model.decoder["out"](model.decoder["body"](likeliest))
        return flat.unflatten(1, (-1, _ACTION))

    return model, act


def _ddpm(policy: rubric.Policy) -> tuple[nn.Module, _Act]:
    model = ConditionalUnet1D(
        input_dim=_ACTION,
        global_cond_dim=policy.obs_horizon * _OBS,
        diffusion_step_embed_dim=256,
        down_dims=[64, 128, 256],
        kernel_size=5,
        n_groups=4,
    )
    table = [*enumerate(_steps_back(rubric.DIFFUSION_STEPS))]

    def act(nobs: torch.Tensor) -> torch.Tensor:
        seen = nobs.flatten(1)
        shape = len(nobs), policy.pred_horizon, _ACTION
        chunk = torch.randn(shape)
        for k, (noise_share, scale, spread) in reversed(table):
            chunk = scale * (chunk - noise_share * model(chunk, k, seen))
            if spread:
                chunk += spread * torch.randn(shape)
        return chunk.clamp(-1, 1)

    return model, act


def _steps_back(count: int) -> list[list[float]]:
    """Return the three factors of each step back of the diffusion, (count, 3): a step from A_k to
    A_(k-1) is scale · (A_k - noise_share · predicted noise) + spread · fresh noise (Ho et al.,
    2020, equation 11; the spread is the root of equation 7's variance).
    """
    betas = cosine_schedule(count)
    left = np.cumprod(1 - betas)
    left_before = np.append(1, left[:-1])
    spread = np.sqrt((1 - left_before) / (1 - left) * betas)
    return np.stack([betas / np.sqrt(1 - left), 1 / np.sqrt(1 - betas), spread], axis=1).tolist()


# By method. A part that is added, and whose network its notebook gives, is added here too.
NETWORKS: dict[str, Callable[[rubric.Policy], tuple[nn.Module, _Act]]] = {
    "mlp": _mlp,
    "cvae": _cvae,
    "ddpm": _ddpm,
}
