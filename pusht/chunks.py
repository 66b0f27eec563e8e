"""One observation in, a chunk of K actions out, all K executed: the setting of part IV.

Demonstrations become pairs of a state and the chunk that followed it, normalised by mean and
standard deviation; a policy learns from batches of them (`BasePolicy.compute_loss`) and is tried
out in the simulator (`evaluate_policy`).
"""

import numpy as np
import torch
from torch import nn

from pusht import render
from pusht.checkpoint import MOMENTS, Checkpoint
from pusht.dataset import window_steps
from pusht.demos import Demonstrations
from pusht.progress import grading
from pusht.rollout import rollout

# Starts of an evaluation while training: neither the demonstrations' (0 to 205) nor those that
# grades are held from.
_FIRST_SEED = 500


class Normalizer:
    """Shifts and scales states and actions, each feature by its own mean and standard deviation.

    stats: {"obs": {"mean", "std"}, "action": {"mean", "std"}}, float32 arrays (5,) and (2,);
        `Normalizer(stats)` is the way back, from lists as well.

    All four methods take arrays or tensors (…, D), and return the same kind.
    """

    def __init__(self, stats):
        self.stats = {
            what: {name: np.asarray(stats[what][name], dtype=np.float32) for name in MOMENTS}
            for what in ("obs", "action")
        }

    @classmethod
    def from_data(cls, states, actions):
        """The one under which these states (N, 5) and actions (N, 2) have mean 0 and standard
        deviation 1.
        """
        return cls({"obs": _moments(states), "action": _moments(actions)})

    def normalize_state(self, state):
        """(…, 5) [px, rad] -> (…, 5)."""
        mean, std = _like(state, self.stats["obs"])
        return (state - mean) / std

    def normalize_action(self, action):
        """(…, 2) [px] -> (…, 2)."""
        mean, std = _like(action, self.stats["action"])
        return (action - mean) / std

    def denormalize_action(self, action):
        """(…, 2) -> (…, 2) [px]: undo `normalize_action`."""
        mean, std = _like(action, self.stats["action"])
        return action * std + mean


def as_range(stats):
    """Statistics of either kind as {"obs": {"min", "max"}, "action": {"min", "max"}} for
    `normalize_data`.

    Mean and standard deviation are the range [mean - std, mean + std]: both put the same number to
    the same place.
    """
    return {
        what: (
            ends
            if "min" in ends
            else {"min": ends["mean"] - ends["std"], "max": ends["mean"] + ends["std"]}
        )
        for what, ends in stats.items()
    }


def _moments(data):
    data = np.asarray(data, dtype=np.float64)
    std = data.std(axis=0)
    return {
        "mean": data.mean(axis=0),
        "std": np.where(std > 0, std, 1),
    }  # a feature that never changes becomes 0


def _like(data, moments):
    if isinstance(data, torch.Tensor):
        return (
            torch.as_tensor(moments[name], dtype=data.dtype, device=data.device) for name in MOMENTS
        )
    return (moments[name] for name in MOMENTS)


class PushtChunkDataset(torch.utils.data.Dataset):
    """States and the chunks that follow them; `dataset[i]` is (state (5,), chunk (K, 2)), float32,
    normalised.

    states (N, 5), actions (N, 2), episode_ends (E,): as `load_pusht_zarr` returns them. chunk_size:
    K.
    A chunk begins with the action given at the state and never reaches beyond its episode: the last
    K - 1 states of an episode have none. ValueError when no episode is long enough.

    states (M, 5), chunks (M, K, 2): all pairs as tensors. demonstrations: what they were cut from.
    """

    def __init__(self, states, actions, episode_ends, chunk_size, normalizer):
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
        self.states = torch.from_numpy(
            normalizer.normalize_state(self.demonstrations.states)[steps[:, 0]]
        ).float()
        self.chunks = torch.from_numpy(
            normalizer.normalize_action(self.demonstrations.actions)[steps]
        ).float()

    def __len__(self):
        return len(self.states)

    def __getitem__(self, i):
        return self.states[i], self.chunks[i]


class BasePolicy(nn.Module):
    """What every policy of part IV offers; normalised states and actions everywhere.

    state_dim: D, 5. action_dim: A, 2. chunk_size: K, actions in a chunk.
    """

    def __init__(self, state_dim, action_dim, chunk_size):
        super().__init__()
        self.state_dim, self.action_dim, self.chunk_size = state_dim, action_dim, chunk_size

    def compute_loss(self, state, action_chunk):
        """The loss of a batch, a tensor of one number. state: (B, D). action_chunk: (B, K, A)."""
        raise NotImplementedError(f"{type(self).__name__}.compute_loss is still to be written.")

    def sample_actions(self, state, *, num_steps=10):
        """Chunks (B, K, A) for states (B, D). num_steps: of the integration, where there is one."""
        raise NotImplementedError(f"{type(self).__name__}.sample_actions is still to be written.")


def chunk_policy(infer, normalizer, *, chunk_size, device="cpu"):
    """The policy, for `rollout` with obs_horizon=1, of a network's inference: normalise, ask, undo,
    execute all.

    infer: function from states (B, 5) float32 on `device` to chunks (B, chunk_size, 2), both
    normalised. The policy raises ValueError when what it returns has another shape or is not
    finite.
    """

    def policy(obs):
        states = torch.from_numpy(normalizer.normalize_state(obs[:, -1])).to(device, torch.float32)
        chunks = infer(states)
        if tuple(chunks.shape) != (len(states), chunk_size, 2):
            raise ValueError(
                f"The policy answered {len(states)} states with chunks of shape"
                f" {tuple(chunks.shape)}: ({len(states)}, {chunk_size}, 2) is needed."
            )
        if not torch.isfinite(chunks).all():
            raise ValueError(
                "The policy answered with actions that are not finite: the training diverged."
            )
        return normalizer.denormalize_action(chunks.detach().cpu().numpy())

    return policy


def evaluate_policy(
    model,
    normalizer,
    device,
    chunk_size,
    video_size,
    num_video_episodes,
    flow_num_steps,
    step,
    logger,
    num_episodes=100,
    max_steps=300,
    seeds=None,
):
    """Let `model`, a `BasePolicy`, drive episodes of Push-T; log how well it did and return its
    mean reward, a float.

    The reward of an episode is its largest, in [0, 1]. Each of `num_episodes` episodes ends with
    success or after `max_steps` control steps; every chunk of `chunk_size` actions is executed
    whole before the next observation is shown.
    Logged at `step`: eval/mean_reward, eval/success_rate, the policy itself, and a film of the
    first `num_video_episodes`, side by side, each `video_size` = (width, height) [px], a square.

    device: of the model. flow_num_steps: handed to `sample_actions`. seeds: of the starts, in place
    of the usual ones. The model's train or eval mode and the generators of random numbers are left
    as they were.
    """

    def infer(states):
        return model.sample_actions(states, num_steps=flow_num_steps)

    seeds = range(_FIRST_SEED, _FIRST_SEED + num_episodes) if seeds is None else seeds
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            episodes = rollout(
                chunk_policy(infer, normalizer, chunk_size=chunk_size, device=device),
                list(seeds),
                obs_horizon=1,
                max_steps=max_steps,
            )
    finally:
        for module, mode in modes.items():
            module.training = mode
    reward, success = float(episodes.max_rewards.mean()), float(episodes.successes.mean())
    logger.log({"eval/mean_reward": reward, "eval/success_rate": success}, step)
    logger.save_checkpoint(_checkpoint(model, normalizer, chunk_size, step, logger), step)
    if num_video_episodes and not grading():
        logger.save_video(_film(episodes.first(num_video_episodes), video_size), step)
    print(
        f"step {step}: mean reward {reward:.3f}, {episodes.successes.sum()} of"
        f" {len(episodes.seeds)} episodes solved"
    )
    return reward


def _checkpoint(model, normalizer, chunk_size, step, logger):
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    logged = [(row["step"], row["train/loss"]) for row in logger.rows if "train/loss" in row]
    config = {
        **logger.config,
        "model": type(model).__name__,
        "chunk_size": chunk_size,
        "step": int(step),
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_steps": [at for at, _ in logged],
    }
    return Checkpoint(
        model.state_dict(),
        normalizer.stats,
        [loss for _, loss in logged],
        config.get("num_epochs", 0),
        config.get("demonstrations", ""),
        config.get("seed", torch.initial_seed()),
        config,
    )


def _film(episodes, video_size):
    width, height = video_size
    if width != height:
        raise ValueError(
            f"The picture of Push-T is a square: a video_size of {width} by {height} has no place"
            " for it."
        )
    return render.grid(
        [
            render.render_many(states[1:], actions=actions, size=width)
            for states, actions in zip(episodes.states, episodes.actions)
        ]
    )
