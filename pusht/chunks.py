"""Action chunks, the setting of Part IV: one observation in, K actions out, all K executed.

Demonstrations become pairs of a state and the chunk that followed it, normalised by mean and
standard deviation. A policy learns from batches of these pairs (`BasePolicy.compute_loss`) and is
evaluated in the simulator (`evaluate_policy`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pusht import render
from pusht.checkpoint import Checkpoint, describe
from pusht.dataset import window_steps
from pusht.demos import Demonstrations
from pusht.episodes import Episodes, Policy, inference, receding_horizon, rollout
from pusht.normalisation import Normalizer
from pusht.rules import GYM_PUSHT
from pusht.run_mode import run_mode

if TYPE_CHECKING:
    from pusht.tracking import Logger


class PushtChunkDataset(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """States and the chunks that follow them.

    `dataset[i]` is (state (5,), chunk (K, 2)), float32, normalised.

    states (N, 5), actions (N, 2), episode_ends (E,): as `load_pusht_zarr` returns them.
    chunk_size: K.

    A chunk begins with the action taken in the state and ends within the episode, so the last
    K - 1 states of an episode have no chunk. ValueError when no episode is long enough.

    states (M, 5), chunks (M, K, 2): all pairs as tensors.
    demonstrations: the demonstrations that they were cut from.
    """

    def __init__(
        self,
        states: np.ndarray,
        actions: np.ndarray,
        episode_ends: np.ndarray,
        chunk_size: int,
        normalizer: Normalizer,
    ) -> None:
        self.demonstrations = Demonstrations(
            np.asarray(states), np.asarray(actions), np.asarray(episode_ends)
        )
        self.normalizer = normalizer
        steps = window_steps(episode_ends, chunk_size, pad_before=0, pad_after=0)
        if len(steps) == 0:
            raise ValueError(
                f"No episode is as long as a chunk of {chunk_size} actions: choose a smaller"
                " chunk_size."
            )
        nstates = normalizer.normalize_state(self.demonstrations.states)
        nactions = normalizer.normalize_action(self.demonstrations.actions)
        self.states = torch.from_numpy(nstates[steps[:, 0]]).float()
        self.chunks = torch.from_numpy(nactions[steps]).float()

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, i: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.states[i], self.chunks[i]


class BasePolicy(nn.Module):
    """The base class of the policies of Part IV; all states and actions are normalised.

    state_dim: D, 5. action_dim: A, 2. chunk_size: K, actions in a chunk.
    """

    def __init__(self, state_dim: int, action_dim: int, chunk_size: int) -> None:
        super().__init__()
        self.state_dim, self.action_dim, self.chunk_size = state_dim, action_dim, chunk_size

    def compute_loss(self, state: torch.Tensor, action_chunk: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch, a tensor of one number.

        state: (B, D). action_chunk: (B, K, A).
        """
        raise NotImplementedError(f"{type(self).__name__}.compute_loss is still to be written.")

    def sample_actions(self, state: torch.Tensor, *, num_steps: int = 10) -> torch.Tensor:
        """Return chunks (B, K, A) for states (B, D).

        num_steps: number of integration steps, for a policy that integrates.
        """
        raise NotImplementedError(f"{type(self).__name__}.sample_actions is still to be written.")


def chunk_policy(
    infer: Callable[[torch.Tensor], torch.Tensor],
    normalizer: Normalizer,
    *,
    chunk_size: int,
    device: str | torch.device = "cpu",
) -> Policy:
    """Return a policy for `rollout` with obs_horizon=1: it normalises the state, calls `infer`, and
    returns the whole chunk in pixels.

    infer: function from states (B, 5) float32 on `device` to chunks (B, chunk_size, 2), both
        normalised. The policy raises ValueError when the chunks have another shape or are not
        finite.
    """

    def infer_chunks(nobs: torch.Tensor) -> torch.Tensor:
        chunks = infer(nobs[:, -1].to(device))
        if tuple(chunks.shape) != (len(nobs), chunk_size, 2):
            raise ValueError(
                f"The policy returned chunks of shape {tuple(chunks.shape)}:"
                f" ({len(nobs)}, {chunk_size}, 2) is needed."
            )
        if not torch.isfinite(chunks).all():
            raise ValueError(
                "The policy returned actions that are not finite: the training diverged."
            )
        return chunks

    return receding_horizon(
        infer_chunks, normalizer.stats, obs_horizon=1, action_horizon=chunk_size
    )


def evaluate_policy(
    model: BasePolicy,
    normalizer: Normalizer,
    device: str | torch.device,
    chunk_size: int,
    video_size: tuple[int, int],
    num_video_episodes: int,
    flow_num_steps: int,
    step: int,
    logger: "Logger",
    num_episodes: int = 100,
    max_steps: int = 300,
    seeds: Sequence[int] | None = None,
) -> float:
    """Roll out `model` in episodes of Push-T, log the results, and return its mean reward.

    The starts are those of the published `evaluate_policy`: gym-pusht's, of seeds from 0 on. The
    reward of an episode is its largest reward, in [0, 1]. Each of the `num_episodes` episodes ends
    with success or after `max_steps` control steps. Every chunk of `chunk_size` actions is executed
    completely before the policy is called again.
    Logged at `step` are eval/mean_reward, eval/success_rate, the policy itself, and a film of the
    first `num_video_episodes`, side by side, each `video_size` = (width, height) [px], a square.

    device: device of the model. flow_num_steps: passed to `sample_actions`. seeds: seeds of the
    starts, in place of the default ones. The model's train or eval mode and the random number
    generators are left as they were.
    """

    def infer(states: torch.Tensor) -> torch.Tensor:
        return model.sample_actions(states, num_steps=flow_num_steps)

    seeds = range(num_episodes) if seeds is None else seeds
    policy = chunk_policy(infer, normalizer, chunk_size=chunk_size, device=device)
    with inference(model):
        episodes = rollout(policy, list(seeds), obs_horizon=1, max_steps=max_steps, rules=GYM_PUSHT)
    reward, success = float(episodes.max_rewards.mean()), float(episodes.successes.mean())
    logger.log({"eval/mean_reward": reward, "eval/success_rate": success}, step)
    logger.save_checkpoint(_checkpoint(model, normalizer, chunk_size, step, logger), step)
    if num_video_episodes and run_mode().show:
        logger.save_video(_film(episodes.first(num_video_episodes), video_size), step)
    print(
        f"step {step}: mean reward {reward:.3f}, {episodes.successes.sum()} of"
        f" {len(episodes.seeds)} episodes solved"
    )
    return reward


def _checkpoint(
    model: nn.Module, normalizer: Normalizer, chunk_size: int, step: int, logger: "Logger"
) -> Checkpoint:
    loss_steps, losses = logger.losses()
    config = {
        **logger.config,
        **describe(model),
        "chunk_size": chunk_size,
        "step": int(step),
        "loss_steps": loss_steps,
    }
    return Checkpoint(
        model.state_dict(),
        normalizer.stats,
        losses,
        config.get("num_epochs", 0),
        config.get("demonstrations", ""),
        config.get("seed", torch.initial_seed()),
        config,
    )


def _film(episodes: Episodes, video_size: tuple[int, int]) -> np.ndarray:
    width, height = video_size
    if width != height:
        raise ValueError(
            f"A film of Push-T is square: video_size needs two equal numbers, not {width} by"
            f" {height}."
        )
    return render.grid(
        [
            render.render_many(states[1:], actions=actions, size=width)
            for states, actions in zip(episodes.states, episodes.actions, strict=True)
        ]
    )
