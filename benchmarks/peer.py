"""The peer's side of `make bench`: gym-pusht, in its own environment (.venv-peer).

It reads one task a line from stdin, as JSON, does it, and prints the CPU seconds that it took. From
the kit it takes only the networks, untrained, and calls them as the published notebooks do.
"""

import collections
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import gym_pusht  # noqa: F401  (registers the environment)
import gymnasium
import numpy as np
import torch
from torch import nn

# The kit's networks alone: this environment cannot import the rest of the kit.
package = sys.modules["pusht"] = types.ModuleType("pusht")
package.__path__ = [str(Path(__file__).resolve().parent.parent / "pusht")]
from pusht.networks import MLP, ConditionalUnet1D, ResidualMLP  # noqa: E402


def make(size=680):
    return gymnasium.make(
        "gym_pusht/PushT-v0",
        obs_type="state",
        render_mode="rgb_array",
        visualization_width=size,
        visualization_height=size,
    ).unwrapped


def steps(episodes):
    env = make()
    for start, actions in episodes:
        env.reset(options={"reset_to_state": start})
        for action in actions:
            env.step(np.array(action))


def frames(start, count):
    env = make()
    env.reset(options={"reset_to_state": start})
    return [env.render() for _ in range(count)]


def mlp():
    net = ResidualMLP([10, *[256] * 5, 32], use_layernorm=True)
    return lambda nobs: net(nobs.flatten()[None]).view(16, 2)[1:9]


def cvae():
    net = nn.Sequential(MLP([42, 256, 512, 1024, 512, 256]), nn.Linear(256, 32))
    return lambda nobs: net(torch.cat([nobs.flatten()[None], torch.zeros(1, 32)], dim=1)).view(
        16, 2
    )[1:9]


def ddpm():
    net = ConditionalUnet1D(2, 10, 256, [64, 128, 256], 5, 4)
    beta = torch.linspace(1e-3, 0.2, 100)
    alpha, bar = 1 - beta, torch.cumprod(1 - beta, 0)

    def infer(nobs):
        chunk, cond = torch.randn(1, 16, 2), nobs.flatten()[None]
        for k in reversed(range(100)):
            noise = net(sample=chunk, timestep=k, global_cond=cond)
            chunk = (chunk - beta[k] / (1 - bar[k]).sqrt() * noise) / alpha[k].sqrt()
            if k > 0:
                chunk = chunk + (
                    (1 - bar[k - 1]) / (1 - bar[k]) * beta[k]
                ).sqrt() * torch.randn_like(chunk)
        return chunk[0, 1:9]

    return infer


def flow():
    layers = [
        layer
        for i, o in ((22, 256), (256, 256), (256, 256))
        for layer in (nn.Linear(i, o), nn.ReLU())
    ]
    net = nn.Sequential(*layers, nn.Linear(256, 16))

    def infer(nobs):
        chunk, state = torch.randn(1, 8, 2), nobs[-1:]
        for i in range(10):
            tau = torch.full((1, 1), i / 10)
            chunk = (
                chunk
                + net(torch.cat([state, chunk.flatten(start_dim=1), tau], dim=1)).view(1, 8, 2) / 10
            )
        return chunk[0]

    return infer


def episodes(method, starts, low, high, max_steps):
    """Roll out in the published manner: one episode after another, a frame drawn at every step."""
    env, infer = make(96), {"mlp": mlp, "cvae": cvae, "ddpm": ddpm, "flow": flow}[method]()
    low, high = np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)
    for start in starts:
        obs, _ = env.reset(options={"reset_to_state": start})
        seen, images = collections.deque([obs, obs], maxlen=2), [env.render()]
        rewards: list[float] = []
        while len(rewards) < max_steps:
            nobs = torch.from_numpy((np.stack(seen) - low) / (high - low) * 2 - 1).float()
            with torch.no_grad():
                chunk = infer(nobs).clamp(-1, 1).numpy()
            for action in (chunk + 1) / 2 * (high[:2] - low[:2]) + low[:2]:
                obs, reward, *_ = env.step(action)
                seen.append(obs)
                rewards.append(reward)
                images.append(env.render())
                if len(rewards) == max_steps:
                    break


WORK: dict[str, Callable[..., object]] = {"steps": steps, "frames": frames, "episodes": episodes}

torch.set_num_threads(1)
for line in sys.stdin:
    task = json.loads(line)
    work = WORK[task.pop("work")]
    started = time.process_time()
    work(**task)
    print(json.dumps(time.process_time() - started), flush=True)
