# %% [markdown]
# # Part IV: flow matching
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({{badge}})
#
# Diffusion reaches its chunk in a hundred random steps. *Flow matching* draws a straight line from the noise to the chunk and
# learns the velocity along it; ten steps at that velocity do. This part follows another course's rules: one observation, a chunk of
# $K = 8$ actions, all executed, at most 300 steps an episode, numbers scaled by mean and standard deviation. And this time the
# training loop is yours as well.
#
# | | exercise | time |
# |---|---|---|
# | Q4.1 | the MSE policy | 20 min |
# | Q4.2 | the training loop, then training (5 min on two CPU cores) | 30 min |
# | Q4.3 | the flow-matching loss | 25 min |
# | Q4.4 | Euler integration, then training (5 min) | 15 min |
# | Q4.5 | the report | 45 min |
#
# Run the cells from top to bottom; those that say `answer` are yours. Task, demonstrations and kinds of cell are those of Part I.

# %%
# [part4/setup] given: fetches the kit where it is missing; running it again does no harm
{{setup}}

# %%
# [part4/imports] given
import torch
from torch import nn

import score
from pusht import (
    BasePolicy,
    Logger,
    Normalizer,
    demos,
    evaluate_policy,
    figures,
    max_epochs,
    show_video,
)
from pusht.tracking import read_log, run_directory
from pusht.train import TrainConfig, prepare

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seed = 1  # of the networks' first weights, the order of the batches and all noise
state_dim, action_dim, chunk_size = 5, 2, 8

# %%
# [part4/dataset] practice
demonstrations = demos.open()
loader, normalizer = prepare(TrainConfig(seed=seed), demonstrations)
state, chunk = next(iter(loader))
print("state", tuple(state.shape), " chunk", tuple(chunk.shape))

# %% [markdown]
# The two policies of this part, and what goes in and comes out:

# %%
# [part4/architectures] practice
figures.chunk_policies(state_dim, chunk_size, action_dim)

# %% [markdown]
# ## 1 · Chunks by least squares
#
# At time $t$ the policy sees the state $\mathbf{o}_t$ and gives a chunk $\mathbf{A}_t = (\mathbf{a}_t, \dots, \mathbf{a}_{t+K-1})$, which is
# executed as a whole before it is asked again. The loss is that of Part I but for a factor,
#
# $$\mathcal{L}_{\mathrm{MSE}}(\theta) = \frac1B \sum_{j=1}^{B} \big\lVert \mathbf{A}^{(j)} - \pi_\theta(\mathbf{o}^{(j)}) \big\rVert_2^2,$$
#
# summed over the chunk and averaged over the batch; `nn.MSELoss`, which averages over the chunk too, is as welcome (the two
# differ by the factor $2K = 16$, which Adam hardly notices).
#
# ### Q4.1 · The MSE policy (20 min, easy)
#
# 1. `__init__`: an MLP with ReLU between its layers, `hidden_dims` wide, from a state to a flattened chunk.
# 2. `sample_actions`: states in, chunks out (`num_steps` is for the next policy: take the argument, and leave it unused).
# 3. `compute_loss`.


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
score.check("Q4.1", MSEPolicy).points

# %% [markdown]
# ## 2 · The training loop
#
# ### Q4.2 · Train (30 min, medium)
#
# `config` holds the settings (`config.lr`, `config.num_epochs`, …; `help(TrainConfig)` lists them). Write the loop:
#
# 1. Adam with learning rate `config.lr`; `config.num_epochs` passes over `loader`, which yields `(state, chunk)` batches.
# 2. Every batch is one step: loss, gradients reset, gradients computed, weights updated. Count the steps.
# 3. Every `config.log_interval` steps: `logger.log({"train/loss": loss.item()}, step=step)`.
# 4. Every `config.eval_interval` steps and once more at the end: `evaluate_policy(…)`, which rolls out a hundred episodes,
#    logs `eval/mean_reward` and saves the weights.
# 5. At the very end: `logger.dump_for_grading()`.
#
# The arguments of `evaluate_policy` are `model, normalizer, device, chunk_size, video_size, num_video_episodes,
# flow_num_steps, step, logger`; all but the first, `normalizer`, `step` and `logger` are in `config`.


# %%
# [part4/train] answer Q4.2
def train(
    policy: BasePolicy, loader, normalizer: Normalizer, logger: Logger, config: TrainConfig
) -> None:
    """Train `policy` on the (state (B, state_dim), chunk (B, chunk_size, action_dim)) batches of `loader`."""
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
score.check("Q4.2", train).points

# %% [markdown]
# ### Training
#
# 400 epochs, about five minutes. (`max_epochs` makes them fewer where `PUSHT_MAX_EPOCHS` is set, for a quick look.) The run goes into
# a directory of its own under `exp/`: settings, the log, the weights of each evaluation and films of it.
#
# While it trains, the mean of the losses that you logged in each epoch is drawn beside the reference, which averages over the chunk:
# a loss that sums over it runs in parallel on the logarithmic scale, sixteen times as high. A run of this part that is cut off does
# not go on: run its cell again, which begins a new one.
#
# The same training can be started from a terminal, on your own classes and loop:
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
# Draw noise $\mathbf{A}_0 \sim \mathcal{N}(0, I)$ of a chunk's shape, and a time $\tau \sim \mathcal{U}(0, 1)$. On the straight line
#
# $$\mathbf{A}_\tau = \tau\, \mathbf{A} + (1 - \tau)\, \mathbf{A}_0$$
#
# from noise ($\tau = 0$) to the demonstrated chunk ($\tau = 1$) the velocity is $\mathbf{A} - \mathbf{A}_0$ all the way. (In Part
# III it was the small $k$ that had little noise: here time runs the other way.) A network $v_\theta$ that sees the observation,
# the point on the line and the time learns it by least squares ([Lipman et al., 2023](https://arxiv.org/abs/2210.02747)):
#
# $$\mathcal{L}_{\mathrm{FM}}(\theta) = \frac1B \sum_{j=1}^{B} \big\lVert v_\theta(\mathbf{o}^{(j)}, \mathbf{A}^{(j)}_\tau, \tau^{(j)})
# - (\mathbf{A}^{(j)} - \mathbf{A}^{(j)}_0) \big\rVert_2^2.$$
#
# Many lines cross each point, and least squares learns their mean. That is no harm here: followed step by step, the mean
# velocity field carries the noise exactly onto the distribution of the demonstrations.
#
# A demonstrated chunk and noise, with the line of each of its eight actions:

# %%
# [part4/straight_lines] practice
figures.straight_lines(demonstrations, normalizer)

# %% [markdown]
# ### Q4.3 · The flow-matching loss (25 min, hard)
#
# Whatever you make in these methods, make it on the device of `state`.
#
# 1. `__init__`: an MLP as in Q4.1. Its input is the state, the flattened chunk **and the time**; its output a flattened chunk.
# 2. `velocity`: ask it.
# 3. `compute_loss`: draw noise with `torch.randn_like`, **then** one $\tau$ for each sample with `torch.rand`; interpolate;
#    compare `self.velocity(…)` with the velocity of the line. Summed over the chunk or averaged, as in Q4.1.
#
# ### Q4.4 · Euler integration (15 min, medium)
#
# `sample_actions`: start from noise at $\tau = 0$ and go $n$ steps (`num_steps`) of
# $\mathbf{A}_{\tau + 1/n} = \mathbf{A}_\tau + \frac1n\, v_\theta(\mathbf{o}, \mathbf{A}_\tau, \tau)$, the velocity being that at the
# beginning of each step.


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
        """state (B, state_dim), a_tau (B, chunk_size, action_dim), tau (B,) -> velocity (B, chunk_size, action_dim)"""
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
score.check("Q4.3", FlowMatchingPolicy).points

# %%
# [part4/q4_4] test
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
# Noise on its way to chunks, for the state at which the demonstrations part most clearly: where the last action of each chunk
# lies as $\tau$ goes from 0 to 1, and the field that carries it.

# %%
# [part4/field] practice
figures.velocity(flow_policy, normalizer, figures.crossroads(demonstrations))

# %% [markdown]
# ## 4 · How well they push
#
# The next two cells run thirty practice episodes each, of at most 300 steps, with the weights in `part4_mse.safetensors` and
# `part4_flow.safetensors`; the grade rolls out more, from other starts. The published bars are 0.5 for the MSE policy and 0.7 for
# flow matching.

# %%
# [part4/rollouts_mse] test
score.grade_rollouts("part4_mse", MSEPolicy(state_dim, action_dim, chunk_size)).points

# %%
# [part4/rollouts_flow] test
score.grade_rollouts("part4_flow", FlowMatchingPolicy(state_dim, action_dim, chunk_size)).points

# %% [markdown]
# ## 5 · The report
#
# ### Q4.5 · Report (45 min)
#
# Draw the curves yourself, from the logs that were copied beside this notebook for you to hand in, and answer below.
# `read_log("part4_mse_log.csv")` gives them as a list of rows, each a dict with `step` and what was logged then.

# %%
# [part4/curves] answer Q4.5
# Training steps against loss and against mean reward, for both policies.
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
# **a) What do the curves say?** Loss and reward of both policies: when did each stop getting better?
#
# *Your answer:*

# %% [markdown]
# <!-- [part4/report_architecture] written Q4.5 -->
# **b) Architecture.** What are your two networks made of (how deep, how wide, what stands between the layers), and why?
#
# *Your answer:*

# %% [markdown]
# <!-- [part4/report_behaviour] written Q4.5 -->
# **c) Behaviour.** What does the flow-matching policy do that the MSE policy does not, and the other way round? Watch the films of
# the runs (`videos/` in each run's directory under `exp/`) and the player of section 6.
#
# *Your answer:*

# %% [markdown]
# ## 6 · The policies beside each other
#
# From what your own notebooks left in this folder: the practice scores with their intervals, and how long each policy thinks
# about one chunk; then the same four starts under all of them, to leaf through and as a film. Stop at the moment when their ways
# part. (Those of Parts I to III have 500 steps, those of this part 300.)

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
# Where you stand: what each check of this part last said, and how far the training got.

# %%
# [part4/standing] practice
score.show_standing()

# %% [markdown]
# The next cell packs all that is handed in into `hand_in_part4_flow.zip` and says what is missing in it.
# In Colab your browser saves the zip. Elsewhere, save the notebook first (Ctrl+S), and find the zip in this folder.
# Nothing more is needed: what comes after it is for those who want to go further.

# %%
# [part4/hand_in] practice
score.submit()

# %% [markdown]
# ## 8 · Going further
#
# For those who want more: worth no points, and no part of what you hand in. Cells that say `extension` are yours, and each
# is followed by its check and by something to look at.
#
# ### E4.1 · Fewer steps, by the midpoint rule (15 min, medium)
#
# Euler's step trusts the velocity at its beginning all the way. The error at $\tau = 1$ shrinks in proportion to the step $h$.
# The midpoint rule ([Runge, 1895](https://doi.org/10.1007/BF01446807)) tries half a step first and goes the whole one with the
# velocity that it finds there:
#
# $$\mathbf{A}_{\tau + h} = \mathbf{A}_\tau + h\, v_\theta\!\left(\mathbf{o},\ \mathbf{A}_\tau + \tfrac{h}{2}\, v_\theta(\mathbf{o}, \mathbf{A}_\tau, \tau),\
# \tau + \tfrac{h}{2}\right).$$
#
# It asks the network twice, and its error shrinks with $h^2$. Is that worth it, for a robot?


# %%
# [part4/midpoint_step] extension E4.1
def midpoint_step(
    velocity, state: torch.Tensor, a_tau: torch.Tensor, tau: torch.Tensor, h: float
) -> torch.Tensor:
    """velocity(state, a, tau) -> like a; state (B, state_dim), a_tau (B, chunk_size, action_dim), tau (B,)
    -> a_{tau + h} (B, chunk_size, action_dim)"""
    ### BEGIN SOLUTION
    middle = a_tau + h / 2 * velocity(state, a_tau, tau)
    return a_tau + h * velocity(state, middle, tau + h / 2)
    ### END SOLUTION


# %%
# [part4/e4_1] practice
score.check("E4.1", midpoint_step).right

# %% [markdown]
# Both rules, with more and fewer steps, rolled out from the thirty practice starts. The midpoint's are taken by your own
# `sample_actions`: it is handed the velocity at which a whole midpoint step moves. A midpoint step costs two of Euler's.

# %%
# [part4/e4_1_table] practice
from pusht.chunks import chunk_policy


class MidpointPolicy(FlowMatchingPolicy):
    """The trained policy; its velocity is the one at which a midpoint step of length `h` moves."""

    def velocity(self, state, a_tau, tau):
        return (midpoint_step(super().velocity, state, a_tau, tau, self.h) - a_tau) / self.h


midpoint_policy = MidpointPolicy(state_dim, action_dim, chunk_size).to(device)
midpoint_policy.load_state_dict(flow_policy.state_dict())
for name, model in (("Euler", flow_policy), ("midpoint", midpoint_policy)):
    for num_steps in (1, 2, 5, 10, 20):
        midpoint_policy.h = 1 / num_steps
        policy = chunk_policy(
            lambda state: model.sample_actions(state, num_steps=num_steps),
            normalizer,
            chunk_size=chunk_size,
            device=device,
        )
        with torch.no_grad():
            score.try_out(
                f"{name}, {num_steps} step{'s' if num_steps > 1 else ''}",
                policy,
                obs_horizon=1,
                max_steps=300,
            )

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed, 500 held-out episodes, intervals of ± 0.03):
# Euler 0.48, 0.51, 0.65, 0.67 and 0.69 with 1, 2, 5, 10 and 20 steps; midpoint 0.70, 0.71, 0.70, 0.71 and 0.72. One midpoint
# step, two questions to the network, is worth ten or twenty of Euler's, and beyond that only the chunks get more exact, not the
# pushing.
#
# **To think about.** At $\tau = 0$ the noise says nothing yet about the chunk. Which chunk does a single Euler step make of it
# then, and why does it score no better than the MSE policy?
