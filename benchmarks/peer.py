"""The peer's side: gym-pusht in its own environment (.venv-peer), told over stdin what to do, answering with CPU seconds.

It knows nothing of the kit: networks come as TorchScript files, everything else as numbers.
"""
import collections
import json
import sys
import time

import gym_pusht  # noqa: F401  (registers the environment)
import gymnasium
import numpy as np
import torch


def make(size=680):
    return gymnasium.make("gym_pusht/PushT-v0", obs_type="state", render_mode="rgb_array", visualization_width=size,
                          visualization_height=size).unwrapped


def steps(start, actions):
    env = make()
    env.reset(options={"reset_to_state": start})
    return [env.step(np.array(action)) for action in actions]


def frames(start, count):
    env = make()
    env.reset(options={"reset_to_state": start})
    return [env.render() for _ in range(count)]


def mlp(net, nobs):
    return net(nobs.flatten()[None]).view(16, 2)[1:9]


def cvae(net, nobs):
    return net(nobs.flatten()[None], torch.zeros(1, 32)).view(16, 2)[1:9]


def ddpm(net, nobs):
    chunk, cond = torch.randn(1, 16, 2), nobs.flatten()[None]
    for k in reversed(range(100)):
        noise = net(chunk, torch.tensor([k]), cond)
        chunk = ((chunk - 0.1 * noise) / 1.01 + 0.1 * torch.randn_like(chunk)).clamp(-1, 1)  # as much arithmetic as a schedule's
    return chunk[0, 1:9]


def flow(net, nobs):
    chunk, state = torch.randn(1, 8, 2), nobs[-1:]
    for i in range(10):
        chunk = chunk + net(state, chunk, torch.full((1,), i / 10)) / 10
    return chunk[0]


def episodes(method, starts, weights, low, high, max_steps):
    """The published manner: one episode after another, one inference call a chunk, a frame drawn every step."""
    env, net, ask = make(96), torch.jit.load(weights), {"mlp": mlp, "cvae": cvae, "ddpm": ddpm, "flow": flow}[method]
    low, high = np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)
    for start in starts:
        obs, _ = env.reset(options={"reset_to_state": start})
        seen, images, rewards = collections.deque([obs, obs], maxlen=2), [env.render()], []
        while len(rewards) < max_steps:
            nobs = torch.from_numpy((np.stack(seen) - low) / (high - low) * 2 - 1).float()
            with torch.no_grad():
                chunk = ask(net, nobs).clamp(-1, 1).numpy()
            for action in (chunk + 1) / 2 * (high[:2] - low[:2]) + low[:2]:
                obs, reward, *_ = env.step(action)
                seen.append(obs)
                rewards.append(reward)
                images.append(env.render())
                if len(rewards) == max_steps:
                    break


torch.set_num_threads(1)
for line in sys.stdin:
    task = json.loads(line)
    work = {"steps": steps, "frames": frames, "episodes": episodes}[task.pop("work")]
    started = time.process_time()
    work(**task)
    print(json.dumps(time.process_time() - started), flush=True)
