# %% [markdown]
# # Part I: behavioural cloning with an MLP
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({{badge}})
#
# A robot gets recordings of a T-shaped block being pushed onto a goal, a few hundred of them. Then
# it has to push the block itself. In this part it learns this in the simplest way: a network maps
# what it sees to what the demonstrator did next, and is trained by least squares. You write three
# small pieces (the layer widths, the loss and the inference) and then watch your policy push.
#
# | | exercise | time |
# |---|---|---|
# | Q1.1 | layer widths | 5 min |
# | Q1.2 | the loss, then training (5 min on two CPU cores while you read on) | 15 min |
# | Q1.3 | inference | 10 min |
# | | reading, pushing the T yourself, and watching the policy | 45 min |
# | E1.1 to E1.5 | optional (section 9); you can stop after any of them | 105 min |
#
# The minutes are for somebody who knows Python and a little PyTorch.
#
# Run the cells from top to bottom. The first line of each code cell says which kind it is:
#
# - `answer` cells are yours to write.
# - `test` cells check the answer above them. Run them as often as you like.
# - `practice` cells show or train something and are not graded. Change them where the text says
#   how, or experiment.
# - `given` cells prepare what the others need. Leave these and the `test` cells as they are.
#
# You may add cells of your own. When the notebook is graded, nothing is trained, and of `practice`
# cells and your own cells only those lines run that your answers need: imports, definitions and
# assignments. Section 8 rehearses this before you hand in.

# %%
# [part1/setup] given: downloads the kit if it is missing; you can run it again
{{setup}}

# %%
# [part1/imports] given
import collections

import numpy as np
import torch
from torch import nn

import score
from pusht import (
    PushTEnv,
    PushTStateDataset,
    TrainingRun,
    WindowLoader,
    demos,
    figures,
    normalize_data,
    show_video,
    unnormalize_data,
    write_video,
)
from pusht.networks import ResidualMLP

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seed = 1  # sets the network's first weights and the order of the batches

# %% [markdown]
# ## 1 · The task
#
# The table is a square of 512 by 512 pixels, with y pointing down. You move the round agent. The T
# moves only when it is pushed. The light green T is the goal.

# %%
# [part1/task] practice
figures.task()

# %% [markdown]
# The policy sees five numbers (the *observation*) and outputs two (the *action*): the point that
# the agent should move to. A PD controller (in effect a spring with a damper) moves the agent
# towards that point for 0.1 s; it may not arrive. The *reward* is the share of the goal that the
# block covers, divided by 0.95 and clipped at 1. An *episode*, one try from one start, ends in
# success when the block covers more than 95 % of the goal, and is cut off after 500 steps. Its
# *score* is the largest reward of the episode.
#
# The environment has the interface that [gym](https://github.com/openai/gym) 0.26 and
# [Gymnasium](https://gymnasium.farama.org), its successor, share. `env.seed`, from older versions
# of gym, is there because the assignment that Parts I to III follow, "the published course" below,
# uses it:
#
# | call | what it does |
# |---|---|
# | `env.seed(s)` | choose the start; the same number always gives the same start |
# | `env.reset()` | begin an episode → observation, info |
# | `env.step(action)` | simulate 0.1 s → observation, reward, terminated, truncated, info |
# | `env.render()` | draw the current state → image, height × width × 3 |
# | `env.set_obs(obs)` | put agent and block where the observation `obs` has them |

# %%
# [part1/env_tour] practice
env = PushTEnv()
env.seed(1000)
obs, info = env.reset()
print("observation  [agent x, agent y, block x, block y, block angle]\n ", obs.round(4))
action = np.array([266.9495, 309.167])
obs, reward, terminated, truncated, info = env.step(action)
print("after a step towards", action, "\n ", obs.round(4), "\nreward", round(reward, 4))

# %% [markdown]
# ### Try it yourself (5 min)
#
# Move the pointer onto the round agent; it then follows the pointer. Or click on the table and use
# the arrow keys. `R` starts the episode again, `N` goes to the next start, and `Enter` keeps the
# episode: it is added to `my_demos.zarr.zip`, in the folder of this notebook. The game pauses while
# nothing moves.
#
# In Colab each step goes over the internet, which takes about 0.1 s: the game runs slower than real
# time, but it records the same data. In Colab the file is lost with the runtime unless you give a
# path in your Google Drive.

# %%
# [part1/play] practice
from pusht import play

play.Table("my_demos.zarr.zip")

# %% [markdown]
# ## 2 · Looking two steps back, planning sixteen ahead
#
# Our policy sees the last $T_o = 2$ observations and predicts a *chunk* of $T_p = 16$ actions; it
# executes $T_a = 8$ of them before it observes again. This is *receding-horizon control* (plan far
# ahead, execute a little, plan again), with the settings of [Diffusion
# Policy](https://arxiv.org/abs/2303.04137) (Chi et al., 2023). A smaller $T_a$ reacts sooner, a
# larger one keeps to its plan for longer. Section 7 shows which of the two helps this policy; the
# answer may surprise you.

# %%
# [part1/horizons] given
obs_horizon, pred_horizon, action_horizon = 2, 16, 8
obs_dim, action_dim = 5, 2

# %%
# [part1/receding] practice
figures.receding_horizon(obs_horizon, pred_horizon, action_horizon)

# %% [markdown]
# Note the alignment: the chunk begins at the time of the *first* of the two observations. Its
# action 0 is already in the past when the policy is called. The executed actions are 1 to 8, which
# is the slice `[obs_horizon - 1 : obs_horizon - 1 + action_horizon]`.

# %% [markdown]
# ## 3 · The demonstrations
#
# The kit includes 335 demonstrations, called the *shipped* ones below. A program made them: it
# tries in the simulator what policies trained on human demonstrations propose, and executes the
# best (`data/README.md` describes how). To use the 206 human demonstrations published with
# [Diffusion Policy](https://arxiv.org/abs/2303.04137), write `demos.open("human")` in place of
# `demos.open()` in the next cell; this downloads them. (They begin at the starts of seeds 0 to 205,
# so a practice episode from one of these seeds begins where a demonstration began.) Your loss is
# compared with the reference for the set you train on.
#
# You can also train on the episodes that you kept above: `demos.open("my_demos.zarr.zip")` opens
# yours alone, and `demos.joined(demos.open(), demos.open("my_demos.zarr.zip"))` joins the kit's and
# yours. A handful of episodes alone is not enough to learn much, and for these sets there is no
# reference loss to compare with.
#
# The network is trained on *windows*: two observations and the sixteen actions from the first of
# them on. Nearly every step of each demonstration begins a window. At the ends of an episode the
# first or last step is repeated. All numbers are scaled to $[-1, 1]$, each dimension by its own
# range; names that begin with `n` (`nobs`, `naction`) hold scaled numbers.

# %%
# [part1/dataset] practice
dataset = PushTStateDataset(
    demos.open(), pred_horizon=pred_horizon, obs_horizon=obs_horizon, action_horizon=action_horizon
)
stats = dataset.stats
loader = WindowLoader(dataset, batch_size=256, seed=seed, device=device)
batch = next(iter(loader))
print(len(dataset), "windows from", dataset.demonstrations.num_episodes, "episodes")
print("batch['obs']   ", tuple(batch["obs"].shape), " (B, obs_horizon, obs_dim)")
print("batch['action']", tuple(batch["action"].shape), "(B, pred_horizon, action_dim)")

# %%
# [part1/padding] practice
figures.window_padding(obs_horizon, pred_horizon, action_horizon)

# %% [markdown]
# Eight demonstrations, each from its start (faint) to its end. In the kit's own set these are four
# pairs, and the two episodes of a pair begin at the same start:

# %%
# [part1/demo_paths] practice
shown = [i for i in (0, 1, 6, 7, 11, 12, 13, 14) if i < dataset.demonstrations.num_episodes]
figures.episodes(
    [dataset.demonstrations.episode(i)[0] for i in shown], labels=[f"episode {i}" for i in shown]
)

# %% [markdown]
# Fifty windows of the batch as a film: for each window the table is set to its first observation,
# and its sixteen actions are executed.

# %%
# [part1/demo_video] practice
env = PushTEnv(render_size=256)
frames = []
for nobs, naction in zip(batch["obs"][:50].cpu(), batch["action"][:50].cpu()):
    env.set_obs(unnormalize_data(nobs, stats["obs"])[0])
    for action in unnormalize_data(naction, stats["action"]).numpy():
        env.step(action)
        frames.append(env.render())
show_video(write_video("demo_vis.mp4", frames))

# %% [markdown]
# ## 4 · The network
#
# The network is a multi-layer perceptron with residual connections: one linear layer in, two blocks
# that each *add* something to their input, one linear layer out. The residual connections let
# gradients reach the first layers unhindered ([He et al., 2016](https://arxiv.org/abs/1603.05027)).
# The published course took this network from *implicit behavioral cloning* ([Florence et al.,
# 2021](https://arxiv.org/abs/2109.00137)). Its code is in `pusht/networks/residual_mlp.py`; a
# picture of it follows once you have computed its layer widths.
#
# ### Q1.1 · Layer widths (5 min, easy)
#
# The network reads a whole observation sequence as one flat vector and outputs a whole chunk of
# actions as another. Return the widths of all its layers as a list: the input width, the hidden
# widths unchanged, and the output width.


# %%
# [part1/mlp_dims] answer Q1.1
def mlp_dims(
    obs_horizon: int, obs_dim: int, pred_horizon: int, action_dim: int, hidden_dims: list[int]
) -> list[int]:
    """Return the widths of all layers, from flattened observations to a flattened chunk."""
    ### BEGIN SOLUTION
    return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]
    ### END SOLUTION


# %%
# [part1/q1_1] test
import score

score.check("Q1.1", mlp_dims).points

# %%
# [part1/agent] given
torch.manual_seed(seed)
mlp_dim_list = mlp_dims(obs_horizon, obs_dim, pred_horizon, action_dim, [256, 256, 256, 256, 256])
mlp_agent = ResidualMLP(
    dim_list=mlp_dim_list,
    activation_type="Mish",
    out_activation_type="Identity",
    use_layernorm=True,
)
mlp_agent.to(device)
print(sum(p.numel() for p in mlp_agent.parameters()), "parameters")

# %%
# [part1/architecture] practice
figures.residual_mlp(mlp_dim_list)

# %% [markdown]
# ## 5 · Learning by imitation
#
# *Behavioural cloning* treats imitation as regression. Given demonstrated pairs of observations
# $\mathbf{O}_t$ and chunks $\mathbf{A}_t$, we minimise, over the weights $\theta$ of the network
# $\pi_\theta$,
#
# $$\mathcal{L}(\theta) = \frac{1}{B\,T_p\,d_a}
# \sum_{j=1}^{B} \big\lVert \mathbf{A}^{(j)} - \pi_\theta(\mathbf{O}^{(j)}) \big\rVert_2^2,$$
#
# the mean squared error over the $B$ windows of a batch, their steps and the $d_a = 2$ coordinates.
# [Pomerleau
# (1988)](https://proceedings.neurips.cc/paper/1988/hash/812b4ba287f5ee0bc9d43bbf5bbe87fb-Abstract.html)
# taught a network to steer a car in this way, from simulated pictures of the road.
#
# ### Q1.2 · The loss (15 min, easy)
#
# 1. Flatten the observations of each sample to one vector.
# 2. Call the model.
# 3. Reshape its output to the shape of `naction`.
# 4. Return the mean squared error as a tensor, so that gradients can flow back from it.


# %%
# [part1/bc_loss] answer Q1.2
def bc_loss(model: nn.Module, nobs: torch.Tensor, naction: torch.Tensor) -> torch.Tensor:
    """Return the behavioural-cloning loss of a batch.

    model: (B, obs_horizon * obs_dim) -> (B, pred_horizon * action_dim)
    nobs (B, obs_horizon, obs_dim), naction (B, pred_horizon, action_dim) -> one number
    """
    ### BEGIN SOLUTION
    prediction = model(nobs.flatten(start_dim=1))
    return nn.functional.mse_loss(prediction.view_as(naction), naction)
    ### END SOLUTION


# %%
# [part1/q1_2] test
import score

score.check("Q1.2", bc_loss).points

# %% [markdown]
# ### Training
#
# Training takes 300 epochs, about five minutes on a laptop. `TrainingRun` does the
# bookkeeping: it plots your loss beside the *reference*, which is the loss of our own solution with
# a band around it, and saves as training goes on. If the
# runtime is interrupted, run the training cell again and it continues where it stopped. (In Colab,
# pass a folder of your Google Drive as `resume_folder`, and it can continue in a new runtime as
# well.) To start over, for example because the loss was wrong, run the cell above that creates the
# network, and pass `resume=False` to `TrainingRun` that one time.
#
# Your curve should stay inside the band. If it leaves the band early, something is wrong, and you
# need not wait for the end. (The first five epochs do not count.) The optimiser is AdamW, Adam
# ([Kingma & Ba, 2015](https://arxiv.org/abs/1412.6980)) with weight decay, and the learning rate
# falls along a cosine. As in the published course this cosine ends only after 1000 epochs
# (`T_max`), so after 300 the learning rate is still 79 % of what it was.

# %%
# [part1/train] practice
num_epochs = 300
optimizer = torch.optim.AdamW(mlp_agent.parameters(), lr=1e-4)
lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000, eta_min=0.0)
run = TrainingRun(
    "part1_mlp",
    mlp_agent,
    loader,
    optimizer,
    lr_scheduler,
    num_epochs=num_epochs,
    seed=seed,
    reference=score.reference_loss("part1_mlp", dataset.demonstrations),
)

for epoch in run.epochs():
    for batch in loader:
        loss = bc_loss(mlp_agent, batch["obs"], batch["action"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss)
    lr_scheduler.step()

# %%
# [part1/compare_loss] practice
print(score.compare_losses("part1_mlp", run.losses, dataset.demonstrations))

# %% [markdown]
# **Tip: `torch.compile`.** `bc_loss = torch.compile(bc_loss)` before training turns the loss into
# fewer, larger operations. On two CPU cores we measured 1.1 to 1.2 times the speed after 15 to 75 s
# of compiling, so it pays off for long runs, but not for this one.

# %% [markdown]
# ## 6 · Acting
#
# ### Q1.3 · Inference (10 min, easy)
#
# Predict the chunks for a whole batch of observation sequences with the trained model. Nothing is
# learnt here, so do not record gradients
# ([`torch.no_grad`](https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html)). A single
# observation sequence is a batch of one.


# %%
# [part1/mlp_inference] answer Q1.3
def mlp_inference(
    model: nn.Module, batch_size: int, nobs: torch.Tensor, pred_horizon: int, action_dim: int
) -> torch.Tensor:
    """Predict chunks of actions.

    nobs (batch_size, obs_horizon, obs_dim)
    -> naction (batch_size, pred_horizon, action_dim), both scaled
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        naction = model(nobs.reshape(batch_size, -1))
    return naction.view(batch_size, pred_horizon, action_dim)
    ### END SOLUTION


# %%
# [part1/q1_3] test
import score

score.check("Q1.3", mlp_inference).points

# %% [markdown]
# ### One episode
#
# This loop is all of receding-horizon control: scale the observations, predict a chunk, scale it
# back, execute eight actions, observe again.

# %%
# [part1/episode] practice
env = PushTEnv(render_size=256)
env.seed(1)
obs, info = env.reset()
seen = collections.deque([obs] * obs_horizon, maxlen=obs_horizon)
frames, states, rewards, done = [env.render()], [obs], [], False

while not done and len(rewards) < 500:
    nobs = torch.from_numpy(normalize_data(np.stack(seen), stats["obs"])).to(
        device, dtype=torch.float32
    )
    naction = mlp_inference(
        model=mlp_agent,
        batch_size=1,
        nobs=nobs[None],
        pred_horizon=pred_horizon,
        action_dim=action_dim,
    )
    chunk = unnormalize_data(naction[0].cpu().numpy(), stats["action"])
    for action in chunk[obs_horizon - 1 : obs_horizon - 1 + action_horizon]:
        obs, reward, done, _, info = env.step(action)
        seen.append(obs)
        states.append(obs)
        rewards.append(reward)
        frames.append(env.render())
        if done or len(rewards) == 500:
            break

print("score", round(max(rewards), 3))
show_video(write_video("mlp_vis.mp4", frames))

# %% [markdown]
# The same episode, step by step, replayed from the recorded states. Use the space bar on the play
# button and the arrow keys on the slider. Where does the reward rise, and what does the agent do
# where it stays level?

# %%
# [part1/episode_player] practice
figures.player(states)

# %% [markdown]
# The chunk predicted from the last observation; filled dots are executed.

# %%
# [part1/chunk] practice
figures.chunk(
    unnormalize_data(nobs.cpu().numpy(), stats["obs"]),
    chunk,
    obs_horizon=obs_horizon,
    action_horizon=action_horizon,
)

# %% [markdown]
# ## 7 · How well the policy pushes
#
# The published assignment scores ten episodes against a threshold of 0.60, and so does the next
# cell. The "grade" that it prints is that assignment's, not yours. Ten are few: with the same
# policy, another ten can easily score 0.1 higher or lower, as the interval beside the score shows.

# %%
# [part1/practice_score] practice
result = score.score_part1(
    PushTEnv(),
    mlp_inference,
    mlp_agent,
    obs_horizon,
    action_dim,
    pred_horizon,
    action_horizon,
    500,
    stats,
    device,
)
show_video("mlp_combined_vis.mp4", width=640)

# %% [markdown]
# The same episodes one by one. A red cross marks the point that the agent is told to move to. Look
# for an episode that ends with a lower reward than its best.

# %%
# [part1/practice_player] practice
figures.player(result.episodes)

# %% [markdown]
# The grade is based on episodes from starts that nobody has seen before. An untrained network earns
# 0. A correct solution earns full points, at a score below the published threshold; the line under
# the cell gives that score. These points measure what your network has learned: the kit itself acts
# with the weights that training saved in `part1_mlp.safetensors`, and calls none of your functions,
# which Q1.1 to Q1.3 have checked. The next cell runs thirty practice episodes in this way. If it
# scores much higher than the cell above, look at your `mlp_inference`.
#
# The line under the cell gives the score, which is the mean of the episodes, and its 95 % interval.
# From other starts the mean would be a little different. The mean over all possible starts is very
# probably (95 %) within this interval; "in points" is the same interval, in points. More episodes
# make it narrower. For the grade, episodes are run until the whole interval earns full points, or
# none, or is so narrow that your points are known to ± 0.25.

# %%
# [part1/rollouts] test
import score

score.grade_rollouts("part1_mlp").points

# %% [markdown]
# ### What stops this policy?
#
# The score is the *largest* reward of an episode, so it is generous: an episode that once has a
# reward of 0.9 counts 0.9, solved or not, and also if the block is pushed away afterwards. Look at
# the share of solved episodes and at the final reward too. The table shows what we found when $T_a$
# of the sixteen actions are executed, with the *reference weights*, which are those of our own
# solution after the same training, over 200 *held-out* starts: no demonstration and no practice
# cell begins there. (A number after ± is half the width of a 95 % interval.)
#
# *Roughness* is the mean length of the actions' second difference,
# $\mathbf{a}_{t+1} - 2\,\mathbf{a}_t + \mathbf{a}_{t-1}$, which is 0 on a straight line at constant
# speed. *At a standstill* is the share of the failed episodes in which agent and block stay within
# 10 px for the last ten seconds.
#
# | $T_a$ | score | solved | final reward | roughness | at a standstill |
# |---|---|---|---|---|---|
# | 1 | {{horizons.row_1}} |
# | 4 | {{horizons.row_4}} |
# | 8 | {{horizons.row_8}} |
# | 12 | {{horizons.row_12}} |
# | 15 | {{horizons.row_15}} |
#
# With $T_a = 1$ the policy does not tremble: its actions are the smoothest. (A policy that draws
# its chunk at random does tremble. The actions of Part IV's flow policy have a roughness of
# {{horizons.rough_flow_1}} px with $T_a = 1$ and {{horizons.rough_flow_8}} px with 8.) It gets
# *stuck*. There are places where the network's next action is to stay; a policy that calls the
# network at every step stays there for ever, and one that executes eight or twelve actions of its
# plan often gets past. Even chance helps: when a random shift of {{noise.px}} px (standard
# deviation) is added to each chunk, the same network scores {{noise.score}} with $T_a = 8$, and
# solves {{noise.solved}}.
#
# **To think about.** Where does the policy get stuck in your episodes, and what would a
# demonstrator have done there? A network trained by least squares predicts the *mean* of what was
# done in states that look alike to it. When is the mean of several good actions a bad one? Parts II
# to IV are answers to this.
#
# <details><summary>One answer</summary>
#
# Mostly close to the block, where demonstrators moved on at once. When they moved on in different
# directions, or one a little earlier than another, the mean of what they did is a short step or
# none. Then the state does not change, and the network gives the same answer again. The mean is bad
# whenever the good actions are not all near to each other: the mean of left and right around the T
# is through the T, and the mean of going and waiting is going too little.
#
# </details>

# %% [markdown]
# ## 8 · Handing in
#
# Your status in this part: the last result of every check, and how far training has got.

# %%
# [part1/standing] practice
score.show_standing()

# %% [markdown]
# The next cell packs everything that you hand in into `hand_in_part1_mlp.zip` and tells you if
# something is missing. The trained weights are included, because nothing is trained when the
# notebook is graded. The cell also rehearses the grading: it runs your notebook as it is run for
# the grade, in a new process and with the packed files alone, and lists every check that now says
# something else than before. This takes about half a minute and changes nothing.
#
# In Colab your browser saves the zip. Elsewhere, save the notebook first (Ctrl+S); the zip is then
# written to the notebook's folder. If you fetched the notebook with nbgrader, there is no zip, and
# the cell says how to submit. After this you are done; the rest of the notebook is optional.

# %%
# [part1/hand_in] practice
score.submit()

# %% [markdown]
# ## 9 · Going further
#
# This section is optional: it earns no points and is not part of what you hand in. `extension`
# cells are yours to write, and each is followed by its check and by something to look at. Their
# times are those of reading and writing; computing comes on top. In E1.1 you train a network, E1.2
# and E1.3 are about comparing policies, and E1.4 and E1.5 about where a policy goes and how to
# teach it there. E1.2 uses the cells of E1.1, E1.3 those of both, and E1.5 those of E1.4.
#
# ### E1.1 · Sine and cosine for the angle (10 min, easy; then 5 min of training)
#
# The block's angle runs from 0 to $2\pi$ and then jumps back to 0, an eighth of a turn from the
# goal: two positions that look the same to you are at opposite ends of the network's scale. In the
# kit's demonstrations this happens in 67 of 335 episodes. A point on the unit circle carries the
# same information and does not jump ([Zhou et al., 2019](https://arxiv.org/abs/1812.07035), section
# 3):
#
# $$\varphi \mapsto (\sin\varphi, \cos\varphi).$$
#
# Replace the angle by these two numbers, so that the order is: agent x, y, block x, y, sine,
# cosine. Your function must work for arrays with any number of dimensions: one observation, a
# sequence, or a batch of sequences.


# %%
# [part1/encode_angle] extension E1.1
def encode_angle(obs: np.ndarray) -> np.ndarray:
    """Replace the angle by its sine and cosine.

    obs (..., 5) [px, px, px, px, rad] -> (..., 6); the angle is the last of the five
    """
    ### BEGIN SOLUTION
    angle = obs[..., 4:]
    return np.concatenate([obs[..., :4], np.sin(angle), np.cos(angle)], axis=-1)
    ### END SOLUTION


# %%
# [part1/e1_1] practice
score.check("E1.1", encode_angle).right

# %% [markdown]
# The same network, with one more input for each of the two steps, is trained in the same way for
# the same 300 epochs. In the cell after it, `receding_horizon` makes a policy from a network, like
# the loop in section 6. `score.try_out` rolls this policy out from the thirty practice starts and
# prints one line: the score, its 95 % interval, the share of episodes solved, and the time per
# network call.

# %%
# [part1/e1_1_network] practice
raw = dataset.demonstrations
encoded_dataset = PushTStateDataset(
    demos.Demonstrations(encode_angle(raw.states), raw.actions, raw.episode_ends),
    pred_horizon=pred_horizon,
    obs_horizon=obs_horizon,
    action_horizon=action_horizon,
)
encoded_loader = WindowLoader(encoded_dataset, batch_size=256, seed=seed, device=device)
torch.manual_seed(seed)
encoded_agent = ResidualMLP(
    dim_list=mlp_dims(obs_horizon, 6, pred_horizon, action_dim, [256] * 5),
    activation_type="Mish",
    out_activation_type="Identity",
    use_layernorm=True,
).to(device)
encoded_optimizer = torch.optim.AdamW(encoded_agent.parameters(), lr=1e-4)
encoded_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
    encoded_optimizer, T_max=1000, eta_min=0.0
)
encoded_run = TrainingRun(
    "sine_cosine",
    encoded_agent,
    encoded_loader,
    encoded_optimizer,
    encoded_scheduler,
    num_epochs=num_epochs,
    seed=seed,
)

for epoch in encoded_run.epochs():
    for batch in encoded_loader:
        loss = bc_loss(encoded_agent, batch["obs"], batch["action"])
        encoded_optimizer.zero_grad()
        loss.backward()
        encoded_optimizer.step()
        encoded_run.log(loss)
    encoded_scheduler.step()

# %%
# [part1/e1_1_table] practice
from pusht import receding_horizon


def chunks_of(agent):
    """Return a policy: nobs (B, obs_horizon, obs_dim) -> naction (B, pred_horizon, action_dim)."""
    return lambda nobs: mlp_inference(
        model=agent,
        batch_size=len(nobs),
        nobs=nobs.to(device),
        pred_horizon=pred_horizon,
        action_dim=action_dim,
    )


plain_policy = receding_horizon(chunks_of(mlp_agent), stats)
encoded_policy = receding_horizon(chunks_of(encoded_agent), encoded_dataset.stats)
encodings = {
    "angle": score.try_out("angle", plain_policy),
    "sine and cosine": score.try_out(
        "sine and cosine", lambda obs: encoded_policy(encode_angle(obs))
    ),
}

# %% [markdown]
# What we found on the shipped demonstrations, with two training seeds, 1,000 held-out episodes
# each, and intervals of ± 0.02: sine and cosine scored 0.73 and 0.76, the angle 0.75 and 0.74. It
# makes no difference here: only 2 % of the demonstrated steps are within 0.1 rad of the jump.
#
# **To think about.** Something else limits this policy most. What is it, and why can no encoding
# remove it?
#
# <details><summary>One answer</summary>
#
# It gets stuck (section 7). Sine and cosine tell the network nothing that the angle did not, so
# states that asked for different actions before still do, and least squares still takes the mean of
# them.
#
# </details>

# %% [markdown]
# ### E1.2 · Temporal ensembling (15 min, easy)
#
# The policy executes eight actions without looking, and then makes a new plan that may have nothing
# to do with the last one: the plan can jump where one chunk ends and the next begins.
# [ACT](https://arxiv.org/abs/2304.13705) (Zhao et al., 2023, section IV-A) calls the network at
# *every* step instead. Chunks then overlap, up to fifteen of them predict an action for the same
# moment, and a weighted mean of these predictions is executed:
#
# $$\mathbf{a}_t = \frac{\sum_i w_i\, \mathbf{a}_t^{(i)}}{\sum_i w_i}, \qquad w_i = \exp(-m\, i),$$
#
# where $i = 0$ is the *oldest* prediction: with a smaller $m$, new observations count more.


# %%
# [part1/ensemble] extension E1.2
def ensemble(predictions: torch.Tensor, m: float) -> torch.Tensor:
    """Return the weighted mean of several predictions of one action.

    predictions (n, action_dim), the oldest first -> (action_dim,)
    """
    ### BEGIN SOLUTION
    weights = torch.exp(-m * torch.arange(len(predictions)))
    return weights / weights.sum() @ predictions
    ### END SOLUTION


# %%
# [part1/e1_2] practice
score.check("E1.2", ensemble).right

# %% [markdown]
# The next cell makes a policy that keeps its last chunks, for one episode. The chunk predicted
# `age` steps ago has its action for the current step at index `obs_horizon - 1 + age`; the largest
# age comes first, as $i = 0$. The network is called eight times as often, so the time per network
# call is printed beside the score. The last line shows the roughness of the actions (section 7).


# %%
# [part1/e1_2_table] practice
from pusht import roughness


def ensembled(m):
    """Return a policy for one episode; each action is the weighted mean of its predictions."""
    chunks = []

    def policy(obs):
        nobs = torch.from_numpy(normalize_data(obs, stats["obs"])).float()
        chunks.append(chunks_of(mlp_agent)(nobs)[0].cpu())
        del chunks[: -(pred_horizon - obs_horizon + 1)]
        predictions = torch.stack(
            [chunk[obs_horizon - 1 + age] for age, chunk in enumerate(reversed(chunks))]
        ).flip(0)
        return unnormalize_data(ensemble(predictions, m).numpy(), stats["action"])[None, None]

    return policy


tried = {"chunks of eight": score.try_out("chunks of eight", plain_policy)}
for m in (0.01, 0.1, 0.5):
    tried[f"m = {m}"] = score.try_out(f"ensembled, m = {m}", lambda: ensembled(m), remembers=True)
print(
    "roughness [px]:",
    ", ".join(f"{label} {roughness(episodes):.1f}" for label, episodes in tried.items()),
)

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed, 200 held-out
# episodes): chunks of eight scored {{horizons.score_8}}, and ensembles {{ensembles.score_0_01}},
# {{ensembles.score_0_1}} and {{ensembles.score_0_5}} with $m$ = 0.01, 0.1 and 0.5, each ±
# {{ensembles.either_0_01}}. The roughness fell from {{horizons.rough_8}} px to
# {{ensembles.rough_0_01}}, {{ensembles.rough_0_1}} and {{ensembles.rough_0_5}}. Does the mean make
# the actions smooth? As a control, call the network at every step and take no mean: this
# scored {{horizons.score_1}} with a roughness of {{horizons.rough_1}} px (section 7). So it is
# calling the network at every step that smooths the actions. The mean with older predictions wins
# back a part of the score that this costs, since it keeps the agent moving.
#
# **To think about.** A larger $m$ trusts older predictions more. Which of the fifteen predictions
# would you trust, and when is the mean of two good plans a bad one?
#
# <details><summary>One answer</summary>
#
# The newest has seen most, and the oldest keeps the plan that the agent is following. Their mean is
# good as long as the plans agree. If one plan goes around the T to the left and the other to the
# right, the mean runs into the block.
#
# </details>

# %% [markdown]
# ### E1.3 · Is it better? (30 min, medium)
#
# Two policies have scored 0.71 and 0.76. Is the second better, or was it lucky with its starts?
# With thirty episodes, the 95 % intervals that `try_out` prints nearly always overlap. But both
# policies began at the *same* starts, some of which are easy for both and some hard for both. What
# the two have in common drops out of the differences $d_i = b_i - a_i$ of their scores at start
# $i$. So look at the mean $\bar d$ of these $n$ numbers and at its own interval ([Student,
# 1908](https://doi.org/10.1093/biomet/6.1.1)):
#
# $$\bar d \pm t_{n-1}\,\frac{s}{\sqrt n}, \qquad
# s^2 = \frac{1}{n-1} \sum_{i=1}^{n} \big(d_i - \bar d\big)^2.$$
#
# Here $t_{n-1}$ is the number that a variable with Student's $t$ distribution of $n - 1$ degrees of
# freedom exceeds with probability 0.025: `scipy.stats.t.ppf(0.975, n - 1)`, which is 2.05 for
# $n = 30$ and 1.96 for very many episodes. If the interval does not contain 0, it is unlikely that
# only the choice of starts made the difference.
#
# Return the mean of $b - a$ and the two ends of its interval. (`np.std` divides by $n$, unless you
# pass `ddof=1`.)


# %%
# [part1/paired_interval] extension E1.3
import scipy.stats


def paired_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Return by how much b scores higher than a, and the 95 % interval: mean, low, high.

    a, b (n,): the scores of two policies from the same n starts, in the same order; n >= 2
    """
    ### BEGIN SOLUTION
    difference = b - a
    mean = difference.mean()
    error = difference.std(ddof=1) / len(difference) ** 0.5
    either = scipy.stats.t.ppf(0.975, len(difference) - 1) * error
    return mean, mean - either, mean + either
    ### END SOLUTION


# %%
# [part1/e1_3] practice
score.check("E1.3", paired_interval).right

# %% [markdown]
# Now compare what this part has tried: sine and cosine for the angle (E1.1), the ensemble (E1.2)
# and twelve executed actions in place of eight (section 7). In the picture each dot is one start.
#
# The share of solved episodes needs an interval too. The usual one, $p \pm 1.96 \sqrt{p(1-p)/n}$,
# says that a policy which solved 0 of 30 episodes never solves any. [Wilson's
# interval](https://doi.org/10.1080/01621459.1927.10502953) (1927) contains all the shares $q$ from
# which the observed share $p$ is at most $z = 1.96$ standard errors $\sqrt{q(1-q)/n}$ away, which
# gives
#
# $$\frac{1}{1 + z^2/n} \left(p + \frac{z^2}{2n} \pm
# z \sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}\,\right),$$
#
# for 0 of 30 from 0 to 11 %. `score.share_interval(solved, episodes)` returns its ends.
#
# For each comparison the cell also says how many episodes would be needed to see a difference of
# 0.05. If the true difference is $\delta$, then $n \approx (2.8\, s / \delta)^2$ starts show it in
# eight of ten experiments (2.8 = 1.96 + 0.84: the interval excludes 0 even if the mean comes out
# 0.84 standard errors too small, and it comes out smaller still in only two of ten; [Colas et al.,
# 2018](https://arxiv.org/abs/1806.08295)).

# %%
# [part1/e1_3_table] practice
twelve = receding_horizon(chunks_of(mlp_agent), stats, action_horizon=12)
comparisons = {
    "angle → sine and cosine": (encodings["angle"], encodings["sine and cosine"]),
    "8 → 12 executed actions": (tried["chunks of eight"], score.try_out("twelve", twelve)),
    "chunks → ensemble": (tried["chunks of eight"], tried["m = 0.01"]),
}
differences, intervals, smallest = {}, {}, 0.05
for name, (first, second) in comparisons.items():
    assert first.seeds == second.seeds  # only then does difference i belong to start i
    differences[name] = second.max_rewards - first.max_rewards
    mean, low, high = intervals[name] = paired_interval(first.max_rewards, second.max_rewards)
    needed = (2.8 * differences[name].std(ddof=1) / smallest) ** 2
    print(f"{name}: {mean:+.3f} ({low:+.2f} to {high:+.2f}); a difference of {smallest} takes")
    print(f"    about {needed:.0f} episodes. Solved:", end="")
    for episodes in (first, second):
        solved, count = int(episodes.successes.sum()), len(episodes.successes)
        least, most = score.share_interval(solved, count)
        print(f" {solved} of {count} ({least:.0%} to {most:.0%})", end="")
    print()
figures.differences(differences, intervals)

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed, 200 held-out
# starts):
#
# | | difference | interval | $s$ | episodes for 0.05 |
# |---|---|---|---|---|
# | angle → sine and cosine | {{better.row_encoded}} |
# | 8 → 12 executed actions | {{better.row_longer}} |
# | chunks → ensemble, $m$ = 0.01 | {{better.row_ensemble}} |
#
# The last column is what matters before an experiment: thirty episodes tell apart only policies
# that differ a lot. How much do common starts help? The scores of the two networks in the first row
# have a correlation of {{better.correlation_encoded}}. Their interval is ±
# {{better.either_encoded}}; with other starts for each network it would be ±
# {{better.alone_encoded}}. In the last row one network acts in two ways: the correlation is
# {{better.correlation_ensemble}}, and the interval ± {{better.either_ensemble}} in place of ±
# {{better.alone_ensemble}}. The more two policies have in common, the more their common starts
# help. They cost nothing, so always use them.
#
# **To think about.** Suppose that the interval of "angle → sine and cosine" excludes 0. Does this
# show that sine and cosine are the better encoding? What does, and what would you have to repeat?
#
# <details><summary>One answer</summary>
#
# It shows that one of these two *networks* is better, from starts like these. Each encoding was
# trained once. Another training seed gives another network, and with two seeds each the four scores
# of E1.1 overlap: 0.73 and 0.76 against 0.75 and 0.74. To say something about the encoding, train
# both several times, take the mean score of each network as one number, and compare these numbers.
# Then $n$ is the number of trained networks, not of starts, and each of them costs a training. This
# is why papers that report one training seed are hard to believe, however many episodes they run
# ([Agarwal et al.,
# 2021](https://arxiv.org/abs/2108.13264)).
#
# </details>

# %% [markdown]
# ### E1.4 · How far does the policy drift? (25 min, medium)
#
# Behavioural cloning learns what to do in demonstrated states. But the states in which the policy
# acts depend on its own actions: a small error leads to a state that is a little unlike all
# demonstrated ones, the next error there is larger, and so on. [Ross, Gordon & Bagnell
# (2011)](https://proceedings.mlr.press/v15/ross11a.html) show what this can cost: a policy that
# errs with probability $\varepsilon$ at each step on the *demonstrated* states may lose up to
# $\varepsilon T^2$ over an episode of $T$ steps (their theorem 2.1), since after its first error it
# may go wrong at every step that is left. A policy that errs as rarely on the states that it visits
# *itself* loses at most $u\,\varepsilon T$ (theorem 2.2). Here $u$ is what one error costs if the
# expert goes on from there, which is little if the expert can correct it.
#
# So measure where it goes. The distance of a state $\mathbf{s}$ from the demonstrations is its
# distance to the nearest of the $N$ demonstrated states,
#
# $$d(\mathbf{s}) = \min_{n = 1 \dots N} \sqrt{\lVert \mathbf{p} - \mathbf{p}_n \rVert_2^2 +
# \rho^2\, \Delta(\varphi, \varphi_n)^2},$$
#
# where $\mathbf{p}$ has the four positions of agent and block, and $\Delta$ is the difference of
# the angles *the shorter way round*: 0.1 and $2\pi - 0.1$ are 0.2 apart. A turn counts
# $\rho = 60$ px for each radian. This is about how far the ends of the T's bar move: they are 60 px
# from the block's position, which is the middle of the bar's upper edge.


# %%
# [part1/nearest_distance] extension E1.4
def nearest_distance(states: np.ndarray, demonstrated: np.ndarray, radius: float) -> np.ndarray:
    """Return the distance of each state to the nearest demonstrated state.

    states (T, 5), demonstrated (N, 5) [px, px, px, px, rad], radius [px] -> (T,) [px]
    """
    ### BEGIN SOLUTION
    difference = states[:, None] - demonstrated
    turn = (difference[..., 4] + np.pi) % (2 * np.pi) - np.pi
    squares = np.square(difference[..., :4]).sum(axis=-1) + np.square(radius * turn)
    return np.sqrt(squares.min(axis=1))
    ### END SOLUTION


# %%
# [part1/e1_4] practice
score.check("E1.4", nearest_distance).right

# %% [markdown]
# The distance over time, at each call of the network, for the policy of section 6 and for the
# *expert*, the program that made the kit's demonstrations (`pusht/expert`), from the same thirty
# starts. Neither has a demonstration from these starts. A line is the median over the episodes that
# still run, as long as three do.


# %%
# [part1/e1_4_setup] practice
from pusht import expert, receding_horizon, rollout


def acting(agent):
    """Return the policy of a network, for `rollout`."""

    def infer(nobs):
        return mlp_inference(agent, len(nobs), nobs.to(device), pred_horizon, action_dim)

    return receding_horizon(infer, stats)


def drift(states, every=8):
    """Return the distance to the demonstrations, at every eighth step of an episode (T + 1, 5)."""
    return nearest_distance(states[::every], dataset.demonstrations.states.astype(float), 60.0)


def median_over_time(drifts, least=3):
    """Return the median over the episodes that still run, as long as three do."""
    longest = sorted(map(len, drifts))[-min(least, len(drifts))] if drifts else 0
    return [np.median([one[i] for one in drifts if len(one) > i]) for i in range(longest)]


teacher = expert.trained(seed=seed)

# %%
# [part1/e1_4_drift] practice
played = score.try_out("policy", acting(mlp_agent))
shown = expert.demonstrations(teacher, played.seeds)
drifts = [drift(states) for states in played.states]
groups = {
    "policy, not solved": [one for one, right in zip(drifts, played.successes) if not right],
    "policy, solved": [one for one, right in zip(drifts, played.successes) if right],
    "expert": [drift(shown.episode(i)[0]) for i in range(shown.num_episodes)],
}
lines = {name: median_over_time(some) for name, some in groups.items()}
figures.curves(
    {name: (8 * np.arange(len(line)), line) for name, line in lines.items() if line},
    title="distance to the nearest demonstrated state [px]",
    below="control step",
)

# %% [markdown]
# What we found with the reference weights over 200 held-out starts: over the first hundred steps
# the median distance is {{drift.expert_early}} px for the expert, {{drift.solved_early}} px for
# episodes that the policy solves, and {{drift.failed_early}} px for those that it does not: it
# fails more often where less was demonstrated. But it does not wander off. Failed episodes *end* at
# a median distance of {{drift.failed_end}} px. Nine tenths of the expert's states are closer than
# {{drift.expert_most}} px, and only {{drift.farther}} of the failed episodes end farther off than
# that. The theorem says how bad it can get, not how bad it is.
#
# **To think about.** Most failed episodes stand still, right beside a state in which a demonstrator
# moved on. How can that be? What does the network see that this distance does not?
#
# <details><summary>One answer</summary>
#
# The network sees *two* observations, and $d$ looks at one. Demonstrators pass through these
# states: their agent stands (moves by less than a pixel) in only {{drift.standing}} of the
# demonstrated steps. Where the policy stands, its two observations are the same, and such a pair is
# far from what was demonstrated. So it has hardly been shown how to start again. Besides, least
# squares does not follow the nearest demonstration but averages over many near ones.
#
# </details>

# %% [markdown]
# ### E1.5 · DAgger (25 min, medium; then about four minutes of computing)
#
# *DAgger*, short for dataset aggregation ([Ross, Gordon & Bagnell,
# 2011](https://proceedings.mlr.press/v15/ross11a.html), algorithm 3.1), lets the *policy* drive and
# the *expert* say what it would have done:
#
# 1. Roll out the policy $\pi_i$.
# 2. Ask the expert $\pi^*$ for its action in each state $\mathbf{s}$ that the policy visited.
# 3. Add these pairs to all earlier data, $\mathcal{D} \leftarrow \mathcal{D} \cup
#    \{(\mathbf{s}, \pi^*(\mathbf{s}))\}$, train $\pi_{i+1}$ on everything, and repeat.
#
# The policy then learns on the states that it visits itself, as the bound $u\,\varepsilon T$ of
# E1.4 requires; here these are above all the states in which it stands still. We differ from the
# paper in two things: our labels are chunks and not single actions, and each round goes on training
# the network of the last round in place of a new one.
#
# Here the expert is a program. It tries eight chunks in the simulator and takes the one that leads
# to the best state, about 10 ms for each label on one core. It needs the simulator, which a
# person at a real table does not have; there DAgger asks a person for every label.
#
# A label must look like every other window. The chunk begins at the time of the *first* of the two
# observations, so its action 0 is the one that the policy had just taken; after it come the
# expert's fifteen. `actions[t]` was taken in `states[t]`.


# %%
# [part1/relabelled] extension E1.5
def relabelled(
    states: np.ndarray, actions: np.ndarray, times: np.ndarray, expert
) -> tuple[np.ndarray, np.ndarray]:
    """Label what a policy saw in one episode: return training windows with an expert's actions.

    states (T + 1, 5), actions (T, 2): of the policy's episode
    times (M,): steps of the later of a window's two observations, all from 1 on
    expert: a function; for observations (M, 2, 5) it returns its actions (M, 15, 2), the first
        of which belongs to the later observation
    -> observations (M, 2, 5), chunks (M, 16, 2)
    """
    ### BEGIN SOLUTION
    observations = np.stack([states[times - 1], states[times]], axis=1)
    chunks = np.concatenate([actions[times - 1, None], expert(observations)], axis=1)
    return observations, chunks
    ### END SOLUTION


# %%
# [part1/e1_5] practice
score.check("E1.5", relabelled).right

# %% [markdown]
# Three rounds of DAgger: in each the policy drives from a hundred new starts, for 200 steps, the
# expert labels the states in which the network was called, and a copy of your network is trained
# further for eight epochs on all windows so far. Two controls are trained further for as long: on
# the demonstrations alone, and on the demonstrations with as many windows of *fresh* ones, which
# the expert drives from start to end.


# %%
# [part1/e1_5_training] practice
import copy

from pusht import max_epochs


def trained_further(agent, nobs, naction, num_epochs=8):
    """Return a copy of the network, trained further on windows (N, 2, 5), (N, 16, 2)."""
    num_epochs = max_epochs(num_epochs)
    agent = copy.deepcopy(agent).train()
    optimizer = torch.optim.AdamW(agent.parameters(), lr=3e-4, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_epochs)
    windows = torch.utils.data.TensorDataset(nobs, naction)
    loader = WindowLoader(windows, batch_size=256, seed=seed, device=device)
    for epoch in range(num_epochs):
        for nobs, naction in loader:
            loss = bc_loss(agent, nobs, naction)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    return agent.eval()


def normalised(observations, chunks):
    """Return windows [px, rad] scaled like the demonstrations."""
    return (
        torch.from_numpy(normalize_data(observations, stats["obs"])).float(),
        torch.from_numpy(normalize_data(chunks, stats["action"])).float(),
    )


def visited(agent, seeds, max_steps=200):
    """Return the labelled windows of a network's episodes from these starts."""
    episodes = rollout(acting(agent), score.practice_seeds(seeds), max_steps=max_steps)
    found = [
        relabelled(
            states,
            actions,
            np.arange(1, len(actions), action_horizon),
            lambda observations: expert.labels(teacher, observations),
        )
        for states, actions in zip(episodes.states, episodes.actions)
    ]
    return normalised(*map(np.concatenate, zip(*found)))


def dagger(agent, rounds):
    """Return the network after each round, and the windows that were added in all of them."""
    agents, nobs, naction = [], dataset.obs, dataset.action
    for seeds in rounds:
        more_nobs, more_naction = visited(agent, seeds)
        nobs, naction = torch.cat([nobs, more_nobs]), torch.cat([naction, more_naction])
        agent = trained_further(agent, nobs, naction)
        agents.append(agent)
    return agents, len(nobs) - len(dataset)


def fresh_windows(count, first_seed):
    """Return so many windows of new demonstrations."""
    seeds = range(first_seed, first_seed + 20 + count // 80)
    found = expert.demonstrations(teacher, score.practice_seeds(seeds))
    more = PushTStateDataset(found, pred_horizon, obs_horizon, action_horizon)
    windows = zip(("obs", "action"), (more.obs, more.action))
    return normalised(*(unnormalize_data(w, more.stats[of]).numpy()[:count] for of, w in windows))


def all_trained(agent, first_seed=200_000, rounds=3, starts=100):
    """Return networks by what they were trained on further, and how many windows were added."""
    seeds = [range(first_seed + 1000 * i, first_seed + 1000 * i + starts) for i in range(rounds)]
    agents, count = dagger(agent, seeds)
    more_nobs, more_naction = fresh_windows(count, first_seed + 10_000)
    both = torch.cat([dataset.obs, more_nobs]), torch.cat([dataset.action, more_naction])
    networks = {
        "as it was": agent,
        "demonstrations alone": trained_further(agent, dataset.obs, dataset.action, 8 * rounds),
        "fresh demonstrations": trained_further(agent, *both, 8 * rounds),
        **{f"DAgger, round {i}": one for i, one in enumerate(agents, 1)},
    }
    return networks, count


# %%
# [part1/e1_5_table] practice
networks, count = all_trained(mlp_agent)
print(count, "windows were added to", len(dataset))
for name, agent in networks.items():
    score.try_out(name, acting(agent))

# %% [markdown]
# What we found with the reference weights (one training seed, 200 held-out starts;
# {{dagger.windows}} windows were added to 27,653):
#
# | trained further on | score | solved |
# |---|---|---|
# | nothing: the network as it was | {{dagger.row_before}} |
# | the demonstrations alone | {{dagger.row_alone}} |
# | these and fresh demonstrations | {{dagger.row_fresh}} |
# | these and labels, DAgger's round 1 | {{dagger.row_dagger_1}} |
# | round 2 | {{dagger.row_dagger_2}} |
# | round 3 | {{dagger.row_dagger_3}} |
#
# From the same starts, the third round scores {{dagger.over_alone}} more than further training on
# the demonstrations alone, and {{dagger.over_fresh}} more than as many fresh windows (95 %
# intervals of the mean difference).
#
# **To think about.** Which of the policy's faults can DAgger mend, and which not, however many
# rounds there are? And what would each round cost with a person as the expert?
#
# <details><summary>One answer</summary>
#
# DAgger helps in states that nobody demonstrated: after a round they are in the data, with what to
# do there. It does not help where least squares takes the mean of two ways. Where the expert goes
# left in one state and right in another that looks almost the same, least squares still answers
# with something in between, and the policy stands still. A person would have to look at thousands
# of still pictures and say what they would do over the next one and a half seconds. In practice the
# person takes over from the policy, drives on, and is recorded.
#
# </details>
