# %% [markdown]
# # Part IV: flow matching
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({{badge}})
#
# Diffusion reaches its chunk in a hundred random steps, and each costs a call of the network. *Flow
# matching* draws a straight line from the noise to the chunk and learns the velocity along it; ten
# steps are enough. This part follows the rules of homework 1 of UC Berkeley's CS 285 (spring 2026):
# one observation, a chunk of $K = 8$ actions that are all executed, at most 300 steps in an
# episode, and numbers scaled by mean and standard deviation. ($K$ was the number of noise steps in
# Part III; each part writes it as its sources do.) This time you write the training loop as well.
#
# | | exercise | time |
# |---|---|---|
# | Q4.1 | the MSE policy | 20 min |
# | Q4.2 | the training loop, then training (5 min on two CPU cores) | 30 min |
# | Q4.3 | the flow-matching loss | 25 min |
# | Q4.4 | Euler integration, then training (5 min) | 15 min |
# | Q4.5 | the report, with an experiment | 75 min |
# | | reading, and looking at the pictures and the policies | 30 min |
# | E4.1 to E4.3 | optional (section 8) | 65 min |
#
# Run the cells from top to bottom; `answer` cells are yours to write. The task, the demonstrations
# and the kinds of cells are those of Part I.

# %%
# [part4/setup] given: downloads the kit if it is missing; you can run it again
{{setup}}

# %%
# [part4/imports] given
import numpy as np
import torch
from torch import nn

import score
from pusht import BasePolicy, Normalizer, demos, evaluate_policy, figures, max_epochs, show_video
from pusht.tracking import Logger, read_log, run_directory
from pusht.train import TrainConfig, prepare

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seed = 1  # sets the networks' first weights, the order of the batches and all noise
state_dim, action_dim, chunk_size = 5, 2, 8

# %%
# [part4/dataset] practice
demonstrations = demos.open()
loader, normalizer = prepare(TrainConfig(seed=seed), demonstrations)
state, chunk = next(iter(loader))
print("state", tuple(state.shape), " chunk", tuple(chunk.shape))

# %% [markdown]
# The two policies of this part, with their inputs and outputs:

# %%
# [part4/architectures] practice
figures.chunk_policies(state_dim, chunk_size, action_dim)

# %% [markdown]
# ## 1 · Chunks by least squares
#
# At time $t$ the policy sees the state $\mathbf{o}_t$ and outputs a chunk
# $\mathbf{A}_t = (\mathbf{a}_t, \dots, \mathbf{a}_{t+K-1})$, which is executed as a whole before
# the policy is called again. The loss is that of Part I up to a factor,
#
# $$\mathcal{L}_{\mathrm{MSE}}(\theta) = \frac1B
# \sum_{j=1}^{B} \big\lVert \mathbf{A}^{(j)} - \pi_\theta(\mathbf{o}^{(j)}) \big\rVert_2^2,$$
#
# summed over the chunk and averaged over the batch; `nn.MSELoss`, which averages over the chunk
# too, is also accepted (the two differ by the factor $2K = 16$, which hardly matters to Adam).
#
# ### Q4.1 · The MSE policy (20 min, easy)
#
# 1. `__init__`: an MLP from a state to a flattened chunk, with hidden layers as wide as
#    `hidden_dims` says and ReLU between the layers. Nothing comes after the last layer: a ReLU or
#    tanh there would bound the actions.
# 2. `sample_actions`: states in, chunks out (`num_steps` is for the next policy: accept the
#    argument, but do not use it).
# 3. `compute_loss`.
#
# You may choose another architecture, even one that does not use `hidden_dims`: other activations,
# normalisation and residual connections are accepted. The reference curves are those of this MLP.


# %%
# [part4/mse_policy] answer Q4.1
class MSEPolicy(BasePolicy):
    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        chunk_size: int,
        hidden_dims: tuple[int, ...] = (256, 256, 256),
    ):
        super().__init__(state_dim, action_dim, chunk_size)
        ### BEGIN SOLUTION
        widths = [state_dim, *hidden_dims]
        layers = [
            layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())
        ]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], chunk_size * action_dim))
        ### END SOLUTION

    def compute_loss(self, state: torch.Tensor, action_chunk: torch.Tensor) -> torch.Tensor:
        """state (B, state_dim), action_chunk (B, chunk_size, action_dim) -> one number"""
        ### BEGIN SOLUTION
        return nn.functional.mse_loss(self.sample_actions(state), action_chunk)
        ### END SOLUTION

    def sample_actions(self, state: torch.Tensor, *, num_steps: int = 10) -> torch.Tensor:
        """state (B, state_dim) -> action chunk (B, chunk_size, action_dim)"""
        ### BEGIN SOLUTION
        return self.net(state).view(len(state), self.chunk_size, self.action_dim)
        ### END SOLUTION


# %%
# [part4/q4_1] test
import score

score.check("Q4.1", MSEPolicy).points

# %% [markdown]
# ## 2 · The training loop
#
# ### Q4.2 · Train (30 min, medium)
#
# `config` holds the settings (`config.lr`, `config.num_epochs`, …; `help(TrainConfig)` lists them).
# Write the loop:
#
# 1. Use Adam ([Kingma & Ba, 2015](https://arxiv.org/abs/1412.6980)) with learning rate `config.lr`,
#    and make `config.num_epochs` passes over `loader`, which yields `(state, chunk)` batches.
# 2. Take one step for every batch: compute the loss, reset the gradients, compute the gradients,
#    update the weights. The batches are on `config.device` already. Count the steps, from 1 on.
# 3. Every `config.log_interval` steps, call `logger.log({"train/loss": loss.item()}, step=step)`.
# 4. Every `config.eval_interval` steps, and once more at the end, call `evaluate_policy(…)`, which
#    rolls out a hundred episodes, logs `eval/mean_reward` and saves the weights.
# 5. At the very end, call `logger.dump_for_grading()`.
#
# The arguments of `evaluate_policy` are `model, normalizer, device, chunk_size, video_size,
# num_video_episodes, flow_num_steps, step, logger`; all but `model`, `normalizer`, `step` and
# `logger` are in `config`.


# %%
# [part4/train] answer Q4.2
def train(
    policy: BasePolicy, loader, normalizer: Normalizer, logger: Logger, config: TrainConfig
) -> None:
    """Train `policy` on the batches of `loader`.

    A batch: state (B, state_dim), chunk (B, chunk_size, action_dim).
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.lr)

    def evaluate():
        evaluate_policy(
            model=policy,
            normalizer=normalizer,
            device=config.device,
            chunk_size=config.chunk_size,
            video_size=config.video_size,
            num_video_episodes=config.num_video_episodes,
            flow_num_steps=config.flow_num_steps,
            step=step,
            logger=logger,
        )

    step = 0
    for epoch in range(config.num_epochs):
        for state, chunk in loader:
            loss = policy.compute_loss(state, chunk)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % config.log_interval == 0:
                logger.log({"train/loss": loss.item()}, step=step)
            if step % config.eval_interval == 0:
                evaluate()
    if step % config.eval_interval:
        evaluate()
    logger.dump_for_grading()
    ### END SOLUTION


# %%
# [part4/q4_2] test
import score

score.check("Q4.2", train).points

# %% [markdown]
# ### Training
#
# Training takes 400 epochs, about five minutes. (For a quick look, set `PUSHT_MAX_EPOCHS`:
# `max_epochs` then reduces their number.) Each run writes to a directory of its own under `exp/`:
# the settings, the log, and the weights and a film of the last evaluation.
#
# During training, the mean of the losses that you logged in each epoch is plotted beside the
# reference, which averages over the chunk: a loss that sums over it runs parallel on the
# logarithmic scale, sixteen times as high. If a run of this part is interrupted, it cannot be
# resumed; running the cell starts again.
#
# You can start the same training from a terminal, with your own classes and loop:
#
# `python -m pusht.train part4_flow.ipynb --policy mse --num-epochs 400 --seed 1`

# %%
# [part4/train_mse] practice
config = TrainConfig(policy="mse", seed=seed, device=str(device), num_epochs=max_epochs(400))
loader, normalizer = prepare(config, demonstrations)
torch.manual_seed(config.seed)
mse_policy = MSEPolicy(state_dim, action_dim, chunk_size, config.hidden_dims).to(device)
mse_logger = Logger(
    run_directory("mse", config.seed),
    config=config,
    demonstrations=demonstrations,
    steps_per_epoch=len(loader),
    reference=score.reference_loss("part4_mse", demonstrations),
)
train(mse_policy, loader, normalizer, mse_logger, config)
mse_logger.hand_in("part4_mse")

# %%
# [part4/mse_loss] practice
print(score.compare_losses("part4_mse", mse_logger.epoch_losses(len(loader)), demonstrations))

# %% [markdown]
# ## 3 · Flow matching
#
# Draw noise $\mathbf{A}_0 \sim \mathcal{N}(0, I)$ of a chunk's shape, and a time
# $\tau \sim \mathcal{U}(0, 1)$. On the straight line
#
# $$\mathbf{A}_\tau = \tau\, \mathbf{A} + (1 - \tau)\, \mathbf{A}_0$$
#
# from noise ($\tau = 0$) to the demonstrated chunk ($\tau = 1$) the velocity is
# $\mathbf{A} - \mathbf{A}_0$ everywhere. (In Part III small $k$ meant little noise: here time runs
# the other way.) A network $v_\theta$ that sees the observation, the point on the line and the time
# learns this velocity by least squares ([Lipman et al., 2023](https://arxiv.org/abs/2210.02747)):
#
# $$\mathcal{L}_{\mathrm{FM}}(\theta) = \frac1B
# \sum_{j=1}^{B} \big\lVert v_\theta(\mathbf{o}^{(j)}, \mathbf{A}^{(j)}_\tau, \tau^{(j)})
# - (\mathbf{A}^{(j)} - \mathbf{A}^{(j)}_0) \big\rVert_2^2.$$
#
# Many lines cross at each point, and least squares learns the mean of their velocities. Here this
# does no harm: followed in small steps, the mean velocity field carries the noise exactly onto the
# distribution of the demonstrations. Each line is straight, but the paths along the mean field
# bend: that is why a single step is not enough.
#
# In the toy of Parts II and III (an obstacle in the plane, and demonstrations that pass it on the
# left or on the right) the mean velocity has a formula too. Below, 200 points follow it from noise,
# in 1, 2, 5 and 50 steps:

# %%
# [part4/toy] practice
figures.toy_flow()

# %% [markdown]
# The first step starts at $\tau = 0$, where a point says nothing about its line's end, so the mean
# velocity leads to the mean of all demonstrations. One step alone is least squares, and ends in the
# obstacle. With more steps a point is on one side of the obstacle before the next velocity is
# computed, and the mean is taken over fewer lines.
#
# A demonstrated chunk and noise, with the line for each of its eight actions:

# %%
# [part4/straight_lines] practice
figures.straight_lines(demonstrations, normalizer)

# %% [markdown]
# ### Q4.3 · The flow-matching loss (25 min, hard)
#
# Create every new tensor on `state.device`.
#
# 1. `__init__`: an MLP as in Q4.1. Its input is the state, the flattened chunk **and the time**;
#    its output is a flattened chunk.
# 2. `velocity`: evaluate the MLP.
# 3. `compute_loss`: draw noise with `torch.randn_like`, **then** one $\tau$ for each sample with
#    `torch.rand`; interpolate; compare `self.velocity(…)` with the velocity of the line. Sum over
#    the chunk or average, as in Q4.1.
#
# ### Q4.4 · Euler integration (15 min, medium)
#
# `sample_actions`: start from noise at $\tau = 0$ and take $n$ steps (`num_steps`) of
# $\mathbf{A}_{\tau + 1/n} = \mathbf{A}_\tau + \frac1n\, v_\theta(\mathbf{o}, \mathbf{A}_\tau,
# \tau)$, each with the velocity at its beginning.


# %%
# [part4/flow_policy] answer Q4.3 Q4.4
class FlowMatchingPolicy(BasePolicy):
    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        chunk_size: int,
        hidden_dims: tuple[int, ...] = (256, 256, 256),
    ):
        super().__init__(state_dim, action_dim, chunk_size)
        ### BEGIN SOLUTION Q4.3
        widths = [state_dim + chunk_size * action_dim + 1, *hidden_dims]
        layers = [
            layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())
        ]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], chunk_size * action_dim))
        ### END SOLUTION

    def velocity(self, state: torch.Tensor, a_tau: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """state (B, state_dim), a_tau (B, chunk_size, action_dim), tau (B,)
        -> velocity (B, chunk_size, action_dim)
        """
        ### BEGIN SOLUTION Q4.3
        return self.net(
            torch.cat([state, a_tau.flatten(start_dim=1), tau[:, None]], dim=1)
        ).view_as(a_tau)
        ### END SOLUTION

    def compute_loss(self, state: torch.Tensor, action_chunk: torch.Tensor) -> torch.Tensor:
        """state (B, state_dim), action_chunk (B, chunk_size, action_dim) -> one number"""
        ### BEGIN SOLUTION Q4.3
        noise = torch.randn_like(action_chunk)
        tau = torch.rand(len(state), device=state.device)
        a_tau = tau[:, None, None] * action_chunk + (1 - tau[:, None, None]) * noise
        return nn.functional.mse_loss(self.velocity(state, a_tau, tau), action_chunk - noise)
        ### END SOLUTION

    def sample_actions(self, state: torch.Tensor, *, num_steps: int = 10) -> torch.Tensor:
        """state (B, state_dim) -> action chunk (B, chunk_size, action_dim)"""
        ### BEGIN SOLUTION Q4.4
        chunk = torch.randn(len(state), self.chunk_size, self.action_dim, device=state.device)
        for i in range(num_steps):
            tau = torch.full((len(state),), i / num_steps, device=state.device)
            chunk = chunk + self.velocity(state, chunk, tau) / num_steps
        return chunk
        ### END SOLUTION


# %%
# [part4/q4_3] test
import score

score.check("Q4.3", FlowMatchingPolicy).points

# %%
# [part4/q4_4] test
import score

score.check("Q4.4", FlowMatchingPolicy).points

# %%
# [part4/train_flow] practice
config = TrainConfig(policy="flow", seed=seed, device=str(device), num_epochs=max_epochs(400))
loader, normalizer = prepare(config, demonstrations)
torch.manual_seed(config.seed)
flow_policy = FlowMatchingPolicy(state_dim, action_dim, chunk_size, config.hidden_dims).to(device)
flow_logger = Logger(
    run_directory("flow", config.seed),
    config=config,
    demonstrations=demonstrations,
    steps_per_epoch=len(loader),
    reference=score.reference_loss("part4_flow", demonstrations),
)
train(flow_policy, loader, normalizer, flow_logger, config)
flow_logger.hand_in("part4_flow")

# %%
# [part4/flow_loss] practice
print(score.compare_losses("part4_flow", flow_logger.epoch_losses(len(loader)), demonstrations))

# %% [markdown]
# How noise turns into chunks, in the state where the demonstrations split most clearly: the
# position of the last action of each chunk as $\tau$ goes from 0 to 1, and the velocity field that
# moves it.

# %%
# [part4/field] practice
figures.velocity(flow_policy, normalizer, figures.crossroads(demonstrations))

# %% [markdown]
# ## 4 · How well the policies push
#
# The next two cells run thirty practice episodes each, of at most 300 steps, with the weights in
# `part4_mse.safetensors` and `part4_flow.safetensors`; the grade uses more episodes, from other
# starts. As in CS 285's homework, a seed stands for the start that gym-pusht 0.1 draws from
# it, and actions outside the window are moved to its edge; the training log above used the same
# rules. The published thresholds are 0.5 for the MSE policy and 0.7 for flow matching.

# %%
# [part4/rollouts_mse] test
import score

score.grade_rollouts("part4_mse", MSEPolicy(5, 2, 8)).points

# %%
# [part4/rollouts_flow] test
import score

score.grade_rollouts("part4_flow", FlowMatchingPolicy(5, 2, 8)).points

# %% [markdown]
# ## 5 · The report
#
# ### Q4.5 · Report (75 min, 5 of them training)
#
# Plot the curves yourself and answer the questions below. Training copied the logs into this
# folder, and they are handed in too. `read_log("part4_mse_log.csv")` returns a log as a list of
# rows, each a dict with `step` and what was logged at that step.

# %%
# [part4/curves] answer Q4.5
# Plot the loss and the mean reward against the training step, for both policies.
### BEGIN SOLUTION
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(10, 3.5))
for name in ("mse", "flow"):
    for ax, key in zip(axes, ("train/loss", "eval/mean_reward")):
        rows = [row for row in read_log(f"part4_{name}_log.csv") if key in row]
        ax.plot([row["step"] for row in rows], [row[key] for row in rows], label=name)
        ax.set(xlabel="training step", ylabel=key)
axes[0].set_yscale("log")
axes[1].legend()
plt.show()
### END SOLUTION

# %% [markdown]
# <!-- [part4/report_curves] written Q4.5 -->
# **a) Curves.** What do the curves show? Look at the loss and the reward of both policies: when did
# each stop improving?
#
# *Your answer:*

# %% [markdown]
# Question b asks for an experiment. The next cell trains the MSE policy once more with **one**
# thing changed, here the learning rate, and rolls out both from the same thirty starts. To ask
# something else, change one of the two marked lines, and if it is the second one, take `lr` out of
# the first. From common starts the difference is known better than the scores: subtract start by
# start. The half-width of the 95 % interval of the mean difference is about twice the standard
# deviation of the differences, divided by the square root of their number.

# %%
# [part4/experiment] practice
from pusht.chunks import chunk_policy
from pusht.rules import GYM_PUSHT

changed = TrainConfig(
    policy="mse",
    seed=seed,
    device=str(device),
    num_epochs=max_epochs(400),
    lr=1e-3,  # changed: 3e-4 before
)
torch.manual_seed(seed)
variant = MSEPolicy(state_dim, action_dim, chunk_size, changed.hidden_dims).to(device)  # or here
variant_logger = Logger(
    run_directory("variant", seed),
    config=changed,
    demonstrations=demonstrations,
    steps_per_epoch=len(loader),
)
train(variant, loader, normalizer, variant_logger, changed)

rewards = {}
for name, policy in (("as it was", mse_policy), ("changed", variant)):
    with torch.no_grad():
        acting = chunk_policy(
            policy.sample_actions, normalizer, chunk_size=chunk_size, device=device
        )
        episodes = score.try_out(name, acting, obs_horizon=1, max_steps=300, rules=GYM_PUSHT)
    rewards[name] = episodes.max_rewards
difference = rewards["changed"] - rewards["as it was"]
print(
    f"changed - as it was: {difference.mean():+.3f}"
    f" ± {2 * difference.std(ddof=1) / len(difference) ** 0.5:.3f}"
)

# %% [markdown]
# <!-- [part4/report_architecture] written Q4.5 -->
# **b) An experiment.** Change one thing about a policy (the depth or width of its network, what is
# between the layers, the learning rate, the number of epochs, …), train it again, and compare the
# two, as in the cell above. What did you change, and what did you expect? Give both scores and the
# interval of the difference, and say whether chance alone explains it. "No difference" is as good
# an answer as any other.
#
# *Your answer:*

# %% [markdown]
# <!-- [part4/report_behaviour] written Q4.5 -->
# **c) Behaviour.** What does the flow-matching policy do that the MSE policy does not, and vice
# versa? Watch the films of the runs (`videos/` in each run's directory under `exp/`) and the player
# of section 6; run that section first. If you say that one is better, give the difference and its
# interval, which the first cell of section 6 prints.
#
# *Your answer:*

# %% [markdown]
# ## 6 · The policies side by side
#
# The next cells compare the policies that your own notebooks saved in this folder: first the
# practice scores with their intervals, and the time that each policy takes for one chunk; then the
# first four episodes of all of the policies, in a player and as a film. Pause at the moment when
# the policies begin to differ. (Those of Parts I to III have 500 steps and share their starts;
# those of this part have 300 steps, from gym-pusht's starts.)
#
# The table compares four or five *policies*, not the methods alone: they also differ in network,
# number of parameters, observations, length of a chunk and training. To say that a method is better
# one would change nothing else.

# %%
# [part4/compare] practice
score.compare_policies()

# %%
# [part4/compare_player] practice
figures.player(score.compare_episodes())

# %%
# [part4/compare_film] practice
show_video(score.film_policies("four_policies.mp4"), width=640)

# %% [markdown]
# ## 7 · Handing in
#
# Your status in this part: the last result of every check, and how far training has got.

# %%
# [part4/standing] practice
score.show_standing()

# %% [markdown]
# The next cell packs everything that you hand in into `hand_in_part4_flow.zip`, tells you if
# something is missing, and rehearses the grading as in Part I. In Colab your browser saves the zip.
# Elsewhere, save the notebook first (Ctrl+S); the zip is then written to the notebook's folder. If
# you fetched the notebook with nbgrader, there is no zip, and the cell says how to submit. After
# this you are done; the rest of the notebook is optional.

# %%
# [part4/hand_in] practice
score.submit()

# %% [markdown]
# ## 8 · Going further
#
# This section is optional: it earns no points and is not part of what you hand in. `extension`
# cells are yours to write, and each is followed by its check and by something to look at.
#
# ### E4.1 · Fewer steps, by the midpoint rule (15 min, medium)
#
# An Euler step uses the velocity at its beginning all the way, and the error at $\tau = 1$ shrinks
# in proportion to the step size $h$. The midpoint rule ([Runge,
# 1895](https://doi.org/10.1007/BF01446807)) takes half a step first, and then takes the whole step
# with the velocity that it finds there:
#
# $$\mathbf{A}_{\tau + h} = \mathbf{A}_\tau + h\, v_\theta\!\left(\mathbf{o},\
# \mathbf{A}_\tau + \tfrac{h}{2}\, v_\theta(\mathbf{o}, \mathbf{A}_\tau, \tau),\
# \tau + \tfrac{h}{2}\right).$$
#
# It calls the network twice, and its error shrinks with $h^2$. Is that worth it for a robot?


# %%
# [part4/midpoint_step] extension E4.1
def midpoint_step(
    velocity, state: torch.Tensor, a_tau: torch.Tensor, tau: torch.Tensor, h: float
) -> torch.Tensor:
    """Take one step of size h.

    velocity: a function (state, a, tau) -> velocity, of the shape of a
    state (B, state_dim), a_tau (B, chunk_size, action_dim), tau (B,)
    -> a_{tau + h} (B, chunk_size, action_dim)
    """
    ### BEGIN SOLUTION
    middle = a_tau + h / 2 * velocity(state, a_tau, tau)
    return a_tau + h * velocity(state, middle, tau + h / 2)
    ### END SOLUTION


# %%
# [part4/e4_1] practice
score.check("E4.1", midpoint_step).right

# %% [markdown]
# Both rules, with more and fewer steps, are rolled out from the thirty practice starts. The
# midpoint rule reuses your `sample_actions`: we replace `velocity` by the average velocity of one
# midpoint step. A midpoint step costs as much as two Euler steps.

# %%
# [part4/e4_1_midpoint] practice
from pusht.chunks import chunk_policy
from pusht.rules import GYM_PUSHT


class MidpointPolicy(FlowMatchingPolicy):
    """The trained policy; its `velocity` is the average velocity of a midpoint step of size `h`."""

    def velocity(self, state, a_tau, tau):
        return (midpoint_step(super().velocity, state, a_tau, tau, self.h) - a_tau) / self.h


midpoint_policy = MidpointPolicy(state_dim, action_dim, chunk_size).to(device)


def in_steps(model, num_steps):
    """Return a policy as `try_out` takes it, which samples in this number of steps."""
    model.h = 1 / num_steps
    return torch.no_grad()(
        chunk_policy(
            lambda state: model.sample_actions(state, num_steps=num_steps),
            normalizer,
            chunk_size=chunk_size,
            device=device,
        )
    )


# %%
# [part4/e4_1_table] practice
midpoint_policy.load_state_dict(flow_policy.state_dict())
for name, model in (("Euler", flow_policy), ("midpoint", midpoint_policy)):
    for num_steps in (1, 2, 5, 10, 20):
        score.try_out(
            f"{name}, {num_steps} step{'s' if num_steps > 1 else ''}",
            in_steps(model, num_steps),
            obs_horizon=1,
            max_steps=300,
            rules=GYM_PUSHT,
        )

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed, 500 held-out
# starts), by the number of steps:
#
# | | 1 | 2 | 5 | 10 | 20 |
# |---|---|---|---|---|---|
# | Euler | {{midpoint.euler}} |
# | midpoint | {{midpoint.midpoint}} |
#
# The 95 % intervals are ± {{midpoint.either}} at most. One midpoint step, which is two network
# calls, is worth ten Euler steps. Beyond that the chunks get more exact, but the pushing hardly
# gets better.
#
# **To think about.** At $\tau = 0$ the noise carries no information about the chunk yet. Which
# chunk does a single Euler step make of it, and why does it score worse than ten steps?
#
# <details><summary>One answer</summary>
#
# The best prediction of $\mathbf{A} - \mathbf{A}_0$ from the state and the noise is the mean chunk
# of this state minus the noise. A single step from $\mathbf{A}_0$ therefore ends at the mean chunk,
# whatever the noise was: it is the answer of the MSE policy, with its faults. Smaller steps see
# where the point has moved, and can still turn to one of the ways.
#
# </details>

# %% [markdown]
# ### E4.2 · Look more often, or less? (25 min, easy)
#
# Both policies of this part execute all eight actions of a chunk before they look again. Why not
# look after every action? The *action horizon* $T_a$ is how many of the $T_p$ actions of a chunk
# are executed; in [Diffusion Policy](https://arxiv.org/abs/2303.04137) (Chi et al., 2023) eight was
# best for most tasks. A smaller $T_a$ reacts sooner, a larger one keeps to its plan.
#
# Which of the actions are these? Action 0 of a chunk belongs to the *first* of the $T_o$
# observations that the policy saw. The last observation has the number $T_o - 1$, so the actions
# before number $T_o - 1$ are past already, and executed are
#
# $$\mathbf{a}_{T_o - 1},\ \dots,\ \mathbf{a}_{T_o - 1 + T_a - 1}.$$
#
# With one observation, as in this part, these are the first $T_a$; with two, as in Parts I to III,
# actions 1 to $T_a$. Return them. If a slice asks for more than there is, numpy returns fewer
# actions and no error. So raise a `ValueError` if the chunk is too short.


# %%
# [part4/executed] extension E4.2
def executed(chunk: np.ndarray, action_horizon: int, obs_horizon: int = 1) -> np.ndarray:
    """Return the actions of chunks that are executed; ValueError if the chunks are too short.

    chunk (B, pred_horizon, action_dim) -> (B, action_horizon, action_dim)
    """
    ### BEGIN SOLUTION
    first = obs_horizon - 1
    if first + action_horizon > chunk.shape[1]:
        raise ValueError("The chunk is too short.")
    return chunk[:, first : first + action_horizon]
    ### END SOLUTION


# %%
# [part4/e4_2] practice
score.check("E4.2", executed).right

# %% [markdown]
# The sweep: both policies with $T_a$ = 1, 2, 4 and 8. *Roughness* is the mean length of the
# actions' second difference, in pixels (0 on a straight line at constant speed); *at a standstill*
# is the share of the failed episodes in which agent and block stay within 10 px for the last ten
# seconds, a third of these episodes. Guess before you run it: which policy trembles at $T_a = 1$?
# Which one gets stuck?
#
# The third policy is an experiment on the second. It is the same network, but each call begins with
# the *same* noise, drawn once, so that it no longer samples.

# %%
# [part4/e4_2_sweep] practice
from pusht import roughness, standstill
from pusht.chunks import chunk_policy
from pusht.rules import GYM_PUSHT

noise = torch.randn(1, chunk_size, action_dim, generator=torch.Generator().manual_seed(seed))


def one_noise(state):
    """Integrate as `sample_actions` does, but from the same noise in every call."""
    a_tau = noise.to(device).expand(len(state), -1, -1)
    for i in range(10):
        tau = torch.full((len(state),), i / 10, device=device)
        a_tau = a_tau + flow_policy.velocity(state, a_tau, tau) / 10
    return a_tau


models = {
    "MSE": mse_policy.sample_actions,
    "flow": flow_policy.sample_actions,
    "flow, one noise": one_noise,
}
sweep = {name: {} for name in models}
for name, infer in models.items():
    whole = chunk_policy(infer, normalizer, chunk_size=chunk_size, device=device)
    for action_horizon in (1, 2, 4, 8):
        with torch.no_grad():
            episodes = score.try_out(
                f"{name}, T_a = {action_horizon}",
                lambda obs: executed(whole(obs), action_horizon),
                obs_horizon=1,
                max_steps=300,
                rules=GYM_PUSHT,
            )
        sweep[name][action_horizon] = {
            "score": episodes.max_rewards.mean(),
            "roughness [px]": roughness(episodes),
            "at a standstill": standstill(episodes),
        }
figures.sweep("executed actions", sweep)

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed, 200 held-out
# episodes):
#
# | | $T_a$ | score | solved | final reward | roughness | at a standstill |
# |---|---|---|---|---|---|---|
# | MSE | 1 | {{horizons.row_mse_1}} |
# | | 2 | {{horizons.row_mse_2}} |
# | | 4 | {{horizons.row_mse_4}} |
# | | 8 | {{horizons.row_mse_8}} |
# | flow | 1 | {{horizons.row_flow_1}} |
# | | 2 | {{horizons.row_flow_2}} |
# | | 4 | {{horizons.row_flow_4}} |
# | | 8 | {{horizons.row_flow_8}} |
# | flow, one noise | 1 | {{horizons.row_fixed_1}} |
# | | 2 | {{horizons.row_fixed_2}} |
# | | 4 | {{horizons.row_fixed_4}} |
# | | 8 | {{horizons.row_fixed_8}} |
#
# Looking more often helps neither policy, for opposite reasons. The MSE policy moves smoothly at
# $T_a = 1$ and gets stuck: its answer to a state is always the same, so a state in which its answer
# is to stay is a trap. The flow policy never gets stuck, but it trembles: each call draws another
# chunk, and at $T_a = 1$ the agent begins a different one at every step. With one noise the
# trembling at $T_a = 1$ is gone, and the traps are back: at $T_a = 8$ it scores
# {{horizons.score_fixed_8}} in place of {{horizons.score_flow_8}}, less than the MSE policy's
# {{horizons.score_mse_8}}. (This is one choice of the noise; try others, and zeros.) So what makes
# flow matching better here is that it *samples*, and not that each of its chunks is better.
#
# **To think about.** How could a policy look at every step, and still keep to its plan? (E1.2 in
# Part I and the noise are two places to look.)
#
# <details><summary>One answer</summary>
#
# It has to carry something from call to call. Temporal ensembling (E1.2) carries the earlier
# chunks; but the mean of two samples that go different ways is neither. Or draw several chunks at
# each step, and execute the one that is nearest to what is left of the last one ([Liu et al.,
# 2024](https://arxiv.org/abs/2408.17355), *bidirectional decoding*). Or keep the noise for as long
# as a plan lasts and draw a new one when the agent stands still: smooth while it goes on, and no
# trap.
#
# </details>

# %% [markdown]
# ### E4.3 · More data, or better? (25 min, medium; then a quarter of an hour of computing)
#
# A rollout needs the robot, or at least a simulator. The loss on data that was not trained on, the
# *validation loss*, needs neither:
#
# $$\mathcal{L}_\mathrm{val}(\theta) = \frac{1}{|\mathcal{V}|} \sum_{(\mathbf{o}, \mathbf{A}) \in
# \mathcal{V}} \ell\big(\theta; \mathbf{o}, \mathbf{A}\big), \qquad \mathcal{V} \cap \mathcal{D} =
# \emptyset,$$
#
# with the same loss $\ell$ as in training. Does it say which policy is better? [Mandlekar et al.
# (2021)](https://arxiv.org/abs/2108.03298), in a large study of imitation learning for robots,
# could not choose checkpoints by it: those with the lowest validation loss did much worse than the
# best ones. And how much is gained by twice as many demonstrations?
#
# First, split the demonstrations. Neighbouring steps of an episode are nearly the same, so if one
# is trained on and the next is validated on, the validation loss measures memory. Whole *episodes*
# must go to one side or the other.


# %%
# [part4/split_episodes] extension E4.3
import numpy as np


def split_episodes(
    episode_ends: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of `count` episodes drawn at random, and the steps of all others.

    episode_ends (E,): one past the last step of each episode; generator: of the draw
    -> training (N,), validation (M,): numbers of steps, in rising order
    """
    ### BEGIN SOLUTION
    lengths = np.diff(episode_ends, prepend=0)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    training = np.isin(episode, generator.permutation(len(lengths))[:count])
    return np.flatnonzero(training), np.flatnonzero(~training)
    ### END SOLUTION


# %%
# [part4/e4_3] practice
score.check("E4.3", split_episodes).right

# %% [markdown]
# Of the 335 demonstrations 224 are for training and the other 111 for validation. Networks of both
# kinds learn from 28, 56 and 112 of the 224, and from all of them, each with 20,000 training steps:
# a smaller set is seen more often. (The learning rate starts three times as high as above and falls
# to 0 along a cosine, so that so few steps are enough.) Every 1,000 steps the loss is computed on
# the training set and on the validation set.


# %%
# [part4/e4_3_training] practice
from functools import partial

from pusht import PushtChunkDataset
from pusht.chunks import chunk_policy
from pusht.rules import GYM_PUSHT


def only(demonstrations, steps):
    """Return the demonstrations with these steps alone, which are whole episodes."""
    episode = np.searchsorted(demonstrations.episode_ends, steps, side="right")
    return demos.Demonstrations(
        demonstrations.states[steps],
        demonstrations.actions[steps],
        np.flatnonzero(np.diff(episode, append=-1)) + 1,
    )


def mean_loss(policy, pairs):
    """Return the loss of all pairs of a set, with the same noise and times in each call."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        return policy.compute_loss(pairs.states.to(device), pairs.chunks.to(device)).item()


def trained(policy_class, training, validation, num_steps, seed):
    """Return a policy, its normaliser, and rows (step, training loss, validation loss)."""
    loader, normalizer = prepare(TrainConfig(seed=seed, device=str(device)), training)
    held_out = PushtChunkDataset(
        validation.states, validation.actions, validation.episode_ends, chunk_size, normalizer
    )
    torch.manual_seed(seed)
    policy = policy_class(training.states.shape[1], action_dim, chunk_size).to(device)
    epochs = max_epochs(-(-num_steps // len(loader)))
    last, rows, taken = min(num_steps, epochs * len(loader)), [], 0
    adam = torch.optim.Adam(policy.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(adam, last)
    for epoch in range(epochs):
        for states, chunks in loader:
            error = policy.compute_loss(states, chunks)
            adam.zero_grad()
            error.backward()
            adam.step()
            scheduler.step()
            taken += 1
            if taken % 1000 == 0 or taken == last:
                losses = (mean_loss(policy, pairs) for pairs in (loader.dataset, held_out))
                rows.append((taken, *losses))
            if taken == last:
                break
    return policy, normalizer, rows


def of_size(policy_class, size, num_steps=20_000, seed=seed, demonstrations=demonstrations):
    """Return what `trained` returns, for `size` of the 224 episodes that are for training."""
    training, validation = split_episodes(
        demonstrations.episode_ends, 224, np.random.default_rng(seed)
    )
    pool, held_out = only(demonstrations, training), only(demonstrations, validation)
    steps, _ = split_episodes(pool.episode_ends, size, np.random.default_rng(seed))
    return trained(policy_class, only(pool, steps), held_out, num_steps, seed)


def acting(policy, normalizer):
    """Return a trained policy as `try_out` takes it."""
    return torch.no_grad()(
        chunk_policy(policy.sample_actions, normalizer, chunk_size=chunk_size, device=device)
    )


try_chunks = partial(score.try_out, obs_horizon=1, max_steps=300, rules=GYM_PUSHT)

# %%
# [part4/e4_3_table] practice
curves = {}
for name, policy_class in (("MSE", MSEPolicy), ("flow", FlowMatchingPolicy)):
    for size in (28, 56, 112, 224):
        policy, own_normalizer, rows = of_size(policy_class, size)
        curves[f"{name}, {size}"] = list(zip(*rows))
        best = min(rows, key=lambda row: row[2])
        print(
            f"{name}, {size} episodes: training loss {rows[-1][1]:.4f}, validation loss"
            f" {rows[-1][2]:.4f}, smallest {best[2]:.4f} after {best[0]} steps"
        )
        try_chunks(f"{name}, {size} episodes", acting(policy, own_normalizer))

# %%
# [part4/e4_3_curves] practice
figures.curves(
    {name: (steps, loss) for name, (steps, _, loss) in curves.items() if "MSE" in name},
    title="validation loss of the MSE policies, by number of episodes",
    below="training step",
)

# %% [markdown]
# What we found on the shipped demonstrations (one training seed, 200 held-out starts):
#
# | | training loss | validation loss | its smallest | score | solved |
# |---|---|---|---|---|---|
# | MSE, 28 episodes | {{more_data.row_mse_28}} |
# | MSE, 56 | {{more_data.row_mse_56}} |
# | MSE, 112 | {{more_data.row_mse_112}} |
# | MSE, 224 | {{more_data.row_mse_224}} |
# | flow, 28 episodes | {{more_data.row_flow_28}} |
# | flow, 56 | {{more_data.row_flow_56}} |
# | flow, 112 | {{more_data.row_flow_112}} |
# | flow, 224 | {{more_data.row_flow_224}} |
#
# By validation loss the MSE policies have {{more_data.ranks_mse}} as by score, and the flow
# policies have {{more_data.ranks_flow}}: here the validation loss shows which policy learned from
# more data. It says nothing about an MSE policy against a flow policy, since a flow's loss is that
# of a velocity, which contains noise that no network can predict. And within one training it
# misleads: the flow policy of 56 episodes has a validation loss of {{more_data.last_flow_56}} and
# scores {{more_data.score_flow_56}} ± {{more_data.either_flow_56}}; trained for a quarter of the
# steps, it has a loss of {{more_data.short_loss}} and scores {{more_data.short_score}}.
#
# Why the split must be by episode: when a third of all *steps* is held out instead, an MSE policy's
# validation loss is {{more_data.leak}}; with whole episodes held out it is
# {{more_data.last_mse_224}}, though as much is trained on.
#
# More demonstrations are one way to more knowledge of the task; another is to describe the same
# ones better. The angle says where the block's corners are only together with the position, through
# a sine and a cosine that the network has to learn from examples. The corners themselves say it
# directly: in [Diffusion Policy's](https://arxiv.org/abs/2303.04137) Push-T without images the
# policy sees points on the T. Train again, on the agent's position and the T's eight corners (those
# of its bar and of its stem):

# %%
# [part4/e4_3_corners] practice
from pusht import tee


def corners(states):
    """Replace the block's position and angle by its corners: (..., 5) -> (..., 18), all in px."""
    blocks = [tee.keypoints(block) for block in states[..., 2:].reshape(-1, 3)]
    return np.concatenate([states[..., :2], np.reshape(blocks, (*states.shape[:-1], 16))], axis=-1)


in_corners = demos.Demonstrations(
    corners(demonstrations.states), demonstrations.actions, demonstrations.episode_ends
)


def seeing_corners(policy, normalizer):
    """Return a policy that learned from corners as `try_out` takes it."""
    of_corners = acting(policy, normalizer)
    return lambda states: of_corners(corners(states))


# %%
# [part4/e4_3_corners_table] practice
for name, policy_class in (("MSE", MSEPolicy), ("flow", FlowMatchingPolicy)):
    for size in (28, 224):
        policy, own_normalizer, rows = of_size(policy_class, size, demonstrations=in_corners)
        print(f"{name}, {size} episodes, corners: validation loss {rows[-1][2]:.4f}")
        try_chunks(f"{name}, {size} episodes, corners", seeing_corners(policy, own_normalizer))

# %% [markdown]
# What we found, with the same training seed and starts as above:
#
# | | training loss | validation loss | its smallest | score | solved |
# |---|---|---|---|---|---|
# | MSE, 28 episodes, corners | {{more_data.row_mse_corners_28}} |
# | MSE, 224, corners | {{more_data.row_mse_corners_224}} |
# | flow, 28 episodes, corners | {{more_data.row_flow_corners_28}} |
# | flow, 224, corners | {{more_data.row_flow_corners_224}} |
#
# The corners take the flow policy of all 224 episodes from {{more_data.score_flow_224}} to
# {{more_data.score_flow_corners_224}}, and leave the other three policies where they were or a
# little lower. This is one training seed: to say that the corners help, train several seeds of both
# and compare them as in E1.3. Eight times as many demonstrations help in any description.
#
# **To think about.** The MSE policy of 28 episodes has its smallest validation loss after
# {{more_data.at_mse_28}} of the 20,000 steps. Would you stop there? Stop and score it. What does
# the validation loss weigh that the score does not, and the other way round?
#
# <details><summary>One answer</summary>
#
# The loss weighs all steps alike, and compares with the one way that was demonstrated. The score
# depends on a few moments, such as the side from which the agent approaches the T. A policy that
# takes the other of two good ways has a large loss there and scores as well; one that answers with
# the mean of both has a smaller loss and gets stuck. And the loss is taken in demonstrated states,
# while the policy acts in those that it reaches by itself.
#
# </details>
