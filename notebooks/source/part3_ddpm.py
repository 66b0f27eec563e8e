# %% [markdown]
# # Part III: diffusion policy
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({{badge}})
#
# The MLP gave one answer, and the CVAE's latent ended up carrying no information. *Diffusion
# policy* ([Chi et al., 2023](https://arxiv.org/abs/2303.04137)) learns the whole distribution of
# action chunks in an indirect way: it adds noise to demonstrated chunks step by step and learns to
# remove it. A network that can remove noise can start from pure noise and end at a chunk that a
# demonstrator might have executed. Where demonstrators went two ways, it may end at either, and not
# between them.
#
# | | exercise | time |
# |---|---|---|
# | Q3.1 | the noise schedule | 15 min |
# | Q3.2 | adding and removing noise | 30 min |
# | Q3.3 | the loss, then training (20 min on two CPU cores, two minutes on a GPU) | 15 min |
# | Q3.4 | inference | 15 min |
# | | reading, and looking at the pictures and the policy | 25 min |
# | E3.1 | optional (section 7) | 20 min |
#
# Run the cells from top to bottom; `answer` cells are yours to write. The task, the demonstrations
# and the kinds of cells are those of Part I.

# %%
# [part3/setup] given: downloads the kit if it is missing; you can run it again
{{setup}}

# %%
# [part3/imports] given
import numpy as np
import torch
from torch import nn

import score
from pusht import (
    EMAModel,
    PushTEnv,
    PushTStateDataset,
    TrainingRun,
    WindowLoader,
    demos,
    figures,
    get_cosine_schedule_with_warmup,
    show_video,
)
from pusht.networks import ConditionalUnet1D

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seed = 1  # sets the network's first weights and the order of the batches
obs_horizon, pred_horizon, action_horizon = 2, 16, 8
obs_dim, action_dim = 5, 2
num_diffusion_iters = 100

# %%
# [part3/dataset] practice
dataset = PushTStateDataset(
    demos.open(), pred_horizon=pred_horizon, obs_horizon=obs_horizon, action_horizon=action_horizon
)
stats = dataset.stats
loader = WindowLoader(dataset, batch_size=256, seed=seed, device=device)
print(len(dataset), "windows from", dataset.demonstrations.num_episodes, "episodes")

# %% [markdown]
# ## 1 · The noise schedule
#
# Noise is added in $K = 100$ steps. Step $k$ keeps a share $\alpha_k = 1 - \beta_k$ of the variance
# and adds noise of variance $\beta_k$. The share of the demonstration that is left after step $k$
# is the product of these shares, $\bar\alpha_k = \alpha_0 \alpha_1 \cdots \alpha_k$. The code
# counts steps from 0: `k = 0` has the least noise, and `k = 99` is almost pure noise.
#
# ### Q3.1 · The cosine schedule (15 min, medium)
#
# [Nichol & Dhariwal (2021)](https://proceedings.mlr.press/v139/nichol21a.html) let the share that
# is left fall along a squared cosine $f$, slowly at both ends (equation 17, with $s = 0.008$).
# Before step $k$ it is $f(k) / f(0)$ and after it $f(k + 1) / f(0)$, so
#
# $$f(k) = \cos^2\!\left(\frac{k/K + s}{1 + s} \cdot \frac{\pi}{2}\right), \qquad
# \beta_k = 1 - \frac{f(k + 1)}{f(k)}, \quad k = 0, \dots, K - 1,$$
#
# with $\beta_k$ clipped at 0.999 (otherwise the last $\alpha$ is 0, and section 2 divides by it).
# In the code, $K$ is `timesteps`. For $K$ betas you need $f$ at $K + 1$ points.


# %%
# [part3/cosine_beta_schedule] answer Q3.1
def cosine_beta_schedule(
    timesteps: int, s: float = 0.008, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Return the betas (timesteps,), each in [0, 0.999]."""
    ### BEGIN SOLUTION
    f = np.cos((np.arange(timesteps + 1) / timesteps + s) / (1 + s) * np.pi / 2) ** 2
    return torch.tensor(np.clip(1 - f[1:] / f[:-1], 0, 0.999), dtype=dtype)
    ### END SOLUTION


# %%
# [part3/q3_1] test
import score

score.check("Q3.1", cosine_beta_schedule).points

# %% [markdown]
# The published check compares your betas with a table of a hundred:

# %%
# [part3/published_schedule] practice
score.test_cosine_beta_schedule(cosine_beta_schedule)

# %%
# [part3/schedule_picture] practice
figures.noise_schedule(cosine_beta_schedule(num_diffusion_iters))

# %% [markdown]
# ## 2 · Adding and removing noise
#
# **Forward.** Let $\mathbf{A}$ be a demonstrated chunk and $\mathbf{A}_k$ the chunk after step $k$.
# Sums of independent normal variables are normal, so the noise of all steps up to $k$ can be added
# at once ([Ho et al., 2020](https://arxiv.org/abs/2006.11239), equation 4):
#
# $$\mathbf{A}_k = \sqrt{\bar\alpha_k}\, \mathbf{A} + \sqrt{1 - \bar\alpha_k}\, \epsilon, \qquad
# \epsilon \sim \mathcal{N}(0, I).$$
#
# **Backward.** If we knew $\epsilon$, the chunk one step less noisy would again be normal
# (equations 6, 7 and 11), with
#
# $$\mu_k = \frac{1}{\sqrt{\alpha_k}}
# \left( \mathbf{A}_k - \frac{\beta_k}{\sqrt{1 - \bar\alpha_k}}\, \epsilon \right), \qquad
# \sigma_k^2 = \frac{1 - \bar\alpha_{k-1}}{1 - \bar\alpha_k}\, \beta_k, \qquad
# \bar\alpha_{-1} = 1.$$
#
# Here $\mu_k$ is the mean of $\mathbf{A}_{k-1}$ and $\sigma_k^2$ its variance, the same for every
# number in the chunk. Mind the bars: the factor in front uses $\alpha_k$; the one inside uses
# $\bar\alpha_k$.
#
# A table of coefficients has one number for each step, and a batch has one step for each chunk. So
# `table[k]` has shape (B,), and a chunk batch has shape (B, pred_horizon, action_dim). Two more
# dimensions of length 1 let torch repeat each number over a whole chunk
# ([broadcasting](https://docs.pytorch.org/docs/stable/notes/broadcasting.html)):

# %%
# [part3/broadcasting] practice
table = torch.tensor([0.9, 0.5, 0.1])  # one number for each of three steps
k = torch.tensor([2, 0])  # the steps of two chunks
chunks = torch.ones(2, 4, 2)  # of four actions each
print(table[k].shape, table[k][:, None, None].shape)
print((table[k][:, None, None] * chunks)[:, :, 0])

# %% [markdown]
# ### Q3.2 · DDPM (30 min, hard)
#
# The class has three gaps. Fill one at a time and run the check after each: it looks at them in
# this order, and its sentence is about the first that is not right.
#
# 1. `__init__`, the tables (5 min): `self.beta_k`, from your `cosine_beta_schedule`, `self.alpha_k`
#    and `self.alpha_k_cumprod` ($\bar\alpha_k$), each of shape (num_timesteps,), on `device`.
# 2. `diffuse`, the forward formula (10 min): `k` differs from chunk to chunk, so broadcast as
#    above.
# 3. `denoise`, the backward formula (15 min): the mean `mu_k` ($\mu_k$) and the variance `var_k`
#    ($\sigma_k^2$). `k` is one integer for the whole batch. `self.alpha_k_cumprod_prev[k]` is
#    $\bar\alpha_{k-1}$.


# %%
# [part3/ddpm] answer Q3.2
class DDPM(nn.Module):
    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__()
        self.num_timesteps = num_timesteps
        self.clip_denoised = clip_denoised  # whether to clip the final chunk to ± output_bound
        self.output_bound = output_bound
        ### BEGIN SOLUTION
        self.beta_k = cosine_beta_schedule(num_timesteps).to(device)
        self.alpha_k = 1 - self.beta_k
        self.alpha_k_cumprod = torch.cumprod(self.alpha_k, dim=0)
        ### END SOLUTION
        self.alpha_k_cumprod_prev = torch.cat(
            [torch.ones(1, device=device), self.alpha_k_cumprod[:-1]]
        )

    def diffuse(self, a_start: torch.Tensor, k: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Add the noise of steps 0 to k.

        a_start, noise (B, pred_horizon, action_dim), k (B,) integers
        -> a_k (B, pred_horizon, action_dim)
        """
        ### BEGIN SOLUTION
        left = self.alpha_k_cumprod[k].view(-1, 1, 1)
        a_k = left.sqrt() * a_start + (1 - left).sqrt() * noise
        ### END SOLUTION
        return a_k

    def denoise(self, pred_epsilon: torch.Tensor, k: int, a_k: torch.Tensor) -> torch.Tensor:
        """Take one step back.

        pred_epsilon, a_k (B, pred_horizon, action_dim) -> a_{k-1} (B, pred_horizon, action_dim)
        """
        ### BEGIN SOLUTION
        mu_k = (
            a_k - self.beta_k[k] / (1 - self.alpha_k_cumprod[k]).sqrt() * pred_epsilon
        ) / self.alpha_k[k].sqrt()
        var_k = (1 - self.alpha_k_cumprod_prev[k]) / (1 - self.alpha_k_cumprod[k]) * self.beta_k[k]
        ### END SOLUTION
        if k > 0:
            return mu_k + var_k.clamp(min=1e-20).sqrt() * torch.randn_like(a_k)
        return mu_k.clamp(-self.output_bound, self.output_bound) if self.clip_denoised else mu_k


# %%
# [part3/q3_2] test
import score

score.check("Q3.2", DDPM).points

# %% [markdown]
# A demonstrated chunk with more and more noise:

# %%
# [part3/noising] practice
noise_scheduler = DDPM(num_timesteps=num_diffusion_iters, device=device)
figures.noising(noise_scheduler, dataset)

# %% [markdown]
# ### The toy, with noise
#
# The toy of Part II (an obstacle in the plane, and demonstrations that pass it on the left or on
# the right) needs no network. Least squares learns the mean of the noise, given the noisy action,
# and for two normal distributions there is a formula for this mean. The next cell starts 200 points
# from noise and takes them back with this best possible prediction and your `denoise`.

# %%
# [part3/toy] practice
figures.toy_denoising(noise_scheduler)

# %% [markdown]
# Every prediction is a mean, as in Part I, yet no point ends in the obstacle. As long as there is
# much noise, a point may have come from either way, and the arrows lead to the middle. The less
# noise is left, the fewer actions can have become this point, and near the end only one way is left
# to take the mean of. Which one depends on the noise that the point began with and on the noise
# that was drawn on its path.

# %% [markdown]
# ## 3 · The network that predicts the noise
#
# The network is a U-Net along the time axis of the chunk: it halves the sixteen steps twice and
# doubles them again, with skip connections across. In each block the step $k$ and the observations
# scale and shift the channels ([FiLM, Perez et al., 2018](https://arxiv.org/abs/1709.07871)). Its
# code is in `pusht/networks/unet1d.py`.

# %%
# [part3/network] given
torch.manual_seed(seed)
noise_pred_net = ConditionalUnet1D(
    input_dim=action_dim,
    global_cond_dim=obs_dim * obs_horizon,
    diffusion_step_embed_dim=256,
    down_dims=[64, 128, 256],
    kernel_size=5,
    n_groups=4,
)
noise_pred_net.to(device)
noise_scheduler = DDPM(num_timesteps=num_diffusion_iters, device=device)
print(sum(p.numel() for p in noise_pred_net.parameters()), "parameters")

# %%
# [part3/architecture] practice
figures.unet([64, 128, 256], pred_horizon)

# %% [markdown]
# ### Q3.3 · The loss (15 min, medium)
#
# $$\mathcal{L}(\theta) = \mathbb{E}\,
# \big\lVert \epsilon - \epsilon_\theta(\mathbf{A}_k, k, \mathbf{O}) \big\rVert^2$$
#
# is the mean squared error between the noise that was added and the noise that the network
# $\epsilon_\theta$ predicts from the noisy chunk, the step and the observations $\mathbf{O}$ ([Ho
# et al., 2020](https://arxiv.org/abs/2006.11239), equation 14).
#
# 1. Draw noise of the shape of `naction` with `torch.randn_like`, **then** a step for each sample,
#    all steps equally likely, with `torch.randint`. (In this order your curve matches the
#    reference's step for step.)
# 2. Add the noise to the chunks with `scheduler.diffuse`.
# 3. Call `model(sample=…, timestep=…, global_cond=…)`; the condition is the observations, flattened
#    from dimension 1 on.


# %%
# [part3/ddpm_loss] answer Q3.3
def ddpm_loss(
    model: nn.Module, scheduler: nn.Module, nobs: torch.Tensor, naction: torch.Tensor
) -> torch.Tensor:
    """Return the loss of a batch.

    model: sample (B, pred_horizon, action_dim), timestep (B,),
        global_cond (B, obs_horizon * obs_dim) -> predicted noise (B, pred_horizon, action_dim)
    nobs (B, obs_horizon, obs_dim), naction (B, pred_horizon, action_dim) -> one number
    """
    ### BEGIN SOLUTION
    noise = torch.randn_like(naction)
    k = torch.randint(0, scheduler.num_timesteps, (len(naction),), device=naction.device)
    prediction = model(
        sample=scheduler.diffuse(naction, k, noise),
        timestep=k,
        global_cond=nobs.flatten(start_dim=1),
    )
    return nn.functional.mse_loss(prediction, noise)
    ### END SOLUTION


# %%
# [part3/q3_3] test
import score

score.check("Q3.3", ddpm_loss).points

# %% [markdown]
# ### Training
#
# Two things are new. The learning rate rises over the first 50 batches and falls to zero by the
# end, updated after every batch. And the policy does not act with the last weights but with a
# moving average (*EMA*) of all weights, which is steadier.

# %%
# [part3/train] practice
num_epochs = 50
ema = EMAModel(noise_pred_net.parameters(), power=0.75)
optimizer = torch.optim.AdamW(noise_pred_net.parameters(), lr=3e-4, weight_decay=1e-6)
lr_scheduler = get_cosine_schedule_with_warmup(
    optimizer, num_warmup_steps=50, num_training_steps=len(loader) * num_epochs
)
run = TrainingRun(
    "part3_ddpm",
    noise_pred_net,
    loader,
    optimizer,
    lr_scheduler,
    num_epochs=num_epochs,
    seed=seed,
    ema=ema,
    reference=score.reference_loss("part3_ddpm", dataset.demonstrations),
)

for epoch in run.epochs():
    for batch in loader:
        loss = ddpm_loss(noise_pred_net, noise_scheduler, batch["obs"], batch["action"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lr_scheduler.step()
        ema.step(noise_pred_net.parameters())
        run.log(loss)

ema_noise_pred_net = noise_pred_net
ema.copy_to(ema_noise_pred_net.parameters())

# %%
# [part3/compare_loss] practice
print(score.compare_losses("part3_ddpm", run.losses, dataset.demonstrations))

# %% [markdown]
# ## 4 · Acting
#
# ### Q3.4 · Inference (15 min, medium)
#
# Start from normal noise for the whole batch. For `k` from `num_diffusion_iters - 1` down to 0:
# predict the noise with the network, called as in Q3.3, then take one step back with `denoise`. The
# whole batch is at the same step, so `timestep` may be the integer `k`. Do not record gradients.


# %%
# [part3/ddpm_inference] answer Q3.4
def ddpm_inference(
    ema_model: nn.Module,
    ddpm_scheduler: nn.Module,
    batch_size: int,
    nobs: torch.Tensor,
    num_diffusion_iters: int,
    pred_horizon: int,
    action_dim: int,
    device: torch.device,
) -> torch.Tensor:
    """Predict chunks of actions.

    nobs (batch_size, obs_horizon, obs_dim)
    -> naction (batch_size, pred_horizon, action_dim), both scaled
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        condition = nobs.reshape(batch_size, -1)
        naction = torch.randn(batch_size, pred_horizon, action_dim, device=device)
        for k in reversed(range(num_diffusion_iters)):
            prediction = ema_model(sample=naction, timestep=k, global_cond=condition)
            naction = ddpm_scheduler.denoise(prediction, k, naction)
    return naction
    ### END SOLUTION


# %%
# [part3/q3_4] test
import score

score.check("Q3.4", ddpm_inference).points

# %% [markdown]
# Watch how chunks form out of noise, in the state of Part II's first picture. Do yours go both
# ways? At each of the {{demonstrations.states}} places where the demonstrations divide we drew
# forty chunks from the reference policy: at {{ways.both_ddpm}} of them more than four went each
# way. At the others it had learned to tell from the exact state which way to take.

# %%
# [part3/denoising] practice
figures.denoising(ema_noise_pred_net, noise_scheduler, dataset)

# %% [markdown]
# ## 5 · How well the policy pushes
#
# The published threshold is 0.80 over ten episodes. The `test` cell at the end of this section runs
# thirty episodes by the rules of the grade: as in Part I, the kit itself acts, with the averaged
# weights in `part3_ddpm.safetensors`. This takes one or two minutes, because the kit computes on
# the CPU, where the same weights always give the same actions.

# %%
# [part3/practice_score] practice
result = score.score_part3(
    PushTEnv(),
    ddpm_inference,
    ema_noise_pred_net,
    noise_scheduler,
    num_diffusion_iters,
    obs_horizon,
    action_dim,
    pred_horizon,
    action_horizon,
    500,
    stats,
    device,
)
show_video("ddpm_combined_vis.mp4", width=640)

# %% [markdown]
# The same episodes one by one. Follow the red cross (the target): how steady is it within a chunk,
# and how far does it jump from one chunk to the next?

# %%
# [part3/practice_player] practice
figures.player(result.episodes)

# %%
# [part3/rollouts] test
import score

score.grade_rollouts("part3_ddpm").points

# %% [markdown]
# **To think about.** One chunk takes a hundred network calls: which of them are needed? (Part IV
# gets by with ten.)
#
# <details><summary>One answer</summary>
#
# In the first steps the chunk is nearly all noise and every prediction is rough, and the next
# prediction is nearly the same. Larger steps there lose little, if each step is computed for its
# size: E3.1 takes
# ten steps in place of a hundred.
#
# </details>

# %% [markdown]
# ## 6 · Handing in
#
# Your status in this part: the last result of every check, and how far training has got.

# %%
# [part3/standing] practice
score.show_standing()

# %% [markdown]
# The next cell packs everything that you hand in into `hand_in_part3_ddpm.zip`, tells you if
# something is missing, and rehearses the grading as in Part I. In Colab your browser saves the zip.
# Elsewhere, save the notebook first (Ctrl+S); the zip is then written to the notebook's folder. If
# you fetched the notebook with nbgrader, there is no zip, and the cell says how to submit. After
# this you are done; the rest of the notebook is optional.

# %%
# [part3/hand_in] practice
score.submit()

# %% [markdown]
# ## 7 · Going further
#
# This section is optional: it earns no points and is not part of what you hand in. `extension`
# cells are yours to write, and each is followed by its check and by something to look at.
#
# ### E3.1 · DDIM sampling (20 min, medium)
#
# `denoise` has to take all hundred steps because each adds fresh noise. [Song et al.
# (2021)](https://arxiv.org/abs/2010.02502) found other backward processes for the *same* network,
# among them one that draws no noise at all (*DDIM*; their equation 12 with $\sigma = 0$). One step
# of it first estimates the clean chunk and then adds the predicted noise again, but only up to step
# $k'$, which may be far below $k$:
#
# $$\hat{\mathbf{A}} =
# \frac{\mathbf{A}_k - \sqrt{1 - \bar\alpha_k}\, \epsilon_\theta}{\sqrt{\bar\alpha_k}}, \qquad
# \mathbf{A}_{k'} = \sqrt{\bar\alpha_{k'}}\, \hat{\mathbf{A}} +
# \sqrt{1 - \bar\alpha_{k'}}\, \epsilon_\theta, \qquad
# \bar\alpha_{-1} = 1.$$
#
# Mind the bars again: that paper writes $\alpha$ for what is $\bar\alpha$ here. And mind the end:
# `k_prev = -1` means the clean chunk.


# %%
# [part3/ddim_step] extension E3.1
def ddim_step(
    pred_epsilon: torch.Tensor, k: int, k_prev: int, a_k: torch.Tensor, alpha_bar: torch.Tensor
) -> torch.Tensor:
    """Go from step k to step k_prev, -1 <= k_prev < k.

    pred_epsilon, a_k (B, pred_horizon, action_dim), alpha_bar (num_timesteps,)
    -> a_{k_prev} (B, pred_horizon, action_dim)
    """
    ### BEGIN SOLUTION
    left = alpha_bar[k]
    left_prev = alpha_bar[k_prev] if k_prev >= 0 else torch.ones_like(left)
    clean = (a_k - (1 - left).sqrt() * pred_epsilon) / left.sqrt()
    return left_prev.sqrt() * clean + (1 - left_prev).sqrt() * pred_epsilon
    ### END SOLUTION


# %%
# [part3/e3_1] practice
score.check("E3.1", ddim_step).right

# %% [markdown]
# Ten DDIM steps begin at $k$ = 90, 80, …, 0, and the last one ends at −1. They do not begin at 99,
# 89, …: after the hundredth step only $\bar\alpha_{99} = 2 \cdot 10^{-7}$ is left, and dividing by
# its root makes the smallest error of the prediction two thousand times as large. `score.try_out`
# rolls the policy out with each number of steps from the thirty practice starts, and prints its
# score and the time per chunk. The line for the hundred steps of `denoise` is the result of the
# check in section 5, from the same thirty starts.

# %%
# [part3/e3_1_sampling] practice
from pusht import receding_horizon


class DDIM(nn.Module):
    """Network and scheduler for your `ddpm_inference`; its step i is DDPM's `steps[i]`."""

    def __init__(self, count):
        super().__init__()
        self.steps = torch.arange(
            0, num_diffusion_iters, num_diffusion_iters // count, device=device
        )

    def forward(self, sample, timestep, global_cond):
        return ema_noise_pred_net(
            sample=sample, timestep=self.steps[timestep], global_cond=global_cond
        )

    def denoise(self, pred_epsilon, k, a_k):
        k_prev = int(self.steps[k - 1]) if k > 0 else -1
        return ddim_step(
            pred_epsilon, int(self.steps[k]), k_prev, a_k, noise_scheduler.alpha_k_cumprod
        )


def ddim_chunks(nobs, sampler):
    return ddpm_inference(
        sampler,
        sampler,
        len(nobs),
        nobs.to(device),
        len(sampler.steps),
        pred_horizon,
        action_dim,
        device,
    )


# %%
# [part3/e3_1_table] practice
score.recall("DDPM, 100 steps", "part3_ddpm")
for count in (10, 5, 2):
    score.try_out(
        f"DDIM, {count} steps",
        receding_horizon(lambda nobs: ddim_chunks(nobs, DDIM(count)), stats),
    )

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed, 200 held-out
# starts): {{ddim.ddpm}} with a hundred steps; {{ddim.steps_10}} with ten DDIM steps, in a tenth of
# the time; {{ddim.steps_5}} with five and {{ddim.steps_2}} with two. With ten steps that begin at
# 99 it was {{ddim.from_99}}, no better than an untrained network.
#
# **To think about.** A DDIM chunk is determined by the initial noise alone. What does this make
# possible that `denoise` does not?
#
# <details><summary>One answer</summary>
#
# The same noise gives the same chunk. An agent can keep its noise from one call to the next and so
# keep its plan; two networks can be compared on the same noise; one can find the noise that leads
# to a demonstrated chunk, or go from one chunk to another by going from one noise to the other.
#
# </details>
