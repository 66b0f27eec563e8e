# %% [markdown]
# # Part II: behavioural cloning with a CVAE
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({{badge}})
#
# From many starts there is a way around the T to the left and one to the right, and demonstrators took both. The MLP of
# Part I has to give one answer, and least squares makes it the mean of the two, which is neither. A *conditional variational
# autoencoder* gives the network a second input, a latent $z$, in which to say which of the ways is meant.
#
# | | exercise | time |
# |---|---|---|
# | Q2.1 | the agent: training pass and acting | 20 min |
# | Q2.2 | the KL divergence | 15 min |
# | Q2.3 | the loss, then training (half an hour on two CPU cores, two minutes on a GPU) | 10 min |
# | Q2.4 | inference | 5 min |
#
# Run the cells from top to bottom; those that say `answer` are yours. Task, demonstrations and kinds of cell are those of Part I.

# %%
# [part2/setup] given: fetches the kit where it is missing; running it again does no harm
{{setup}}

# %%
# [part2/imports] given
import numpy as np
import torch
from torch import nn

import score
from pusht import PushTEnv, PushTStateDataset, TrainingRun, WindowLoader, demos, figures, show_video
from pusht.networks import MLP

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seed = 1  # of the network's first weights and of the order of the batches
obs_horizon, pred_horizon, action_horizon = 2, 16, 8
obs_dim, action_dim = 5, 2

# %%
# [part2/dataset] practice
dataset = PushTStateDataset(
    demos.open(), pred_horizon=pred_horizon, obs_horizon=obs_horizon, action_horizon=action_horizon
)
stats = dataset.stats
loader = WindowLoader(dataset, batch_size=256, seed=seed, device=device)
print(len(dataset), "windows from", dataset.demonstrations.num_episodes, "episodes")

# %% [markdown]
# ## 1 · Two ways, and the mean of them
#
# What came next in the demonstrations when the table looked like this, and what would least squares do? (One window,
# the seven nearest to it from other episodes, and the mean of all eight.)

# %%
# [part2/two_ways] practice
figures.two_ways(dataset)

# %% [markdown]
# ## 2 · A latent to choose with
#
# A CVAE ([Sohn et al., 2015](https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html); as a policy:
# [ACT, Zhao et al., 2023](https://arxiv.org/abs/2304.13705)) is two networks:
#
# - the **encoder** $q_\phi(z \mid \mathbf{A}, \mathbf{O})$ looks at the observations *and* at what the demonstrator did, and says
#   which $z$ that was: a normal distribution with mean $\mu$ and variance $\sigma^2$, each of 32 numbers;
# - the **decoder** $\pi_\theta(\mathbf{A} \mid \mathbf{O}, z)$ is the policy: from the observations and $z$ it gives the actions.
#
# For training both are needed, for acting only the decoder: nobody tells it which way to take, so $z = 0$, the likeliest
# value under $\mathcal{N}(0, I)$.

# %%
# [part2/picture] practice
figures.cvae()


# %%
# [part2/networks] given
class Encoder(nn.Module):
    """(B, obs_horizon * obs_dim), (B, pred_horizon * action_dim) -> mu, logvar, each (B, latent_dim)."""

    def __init__(self, dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim):
        super().__init__()
        self.body = MLP([obs_horizon * obs_dim + pred_horizon * action_dim, *dim_list])
        self.mu = nn.Linear(dim_list[-1], latent_dim)
        self.logvar = nn.Linear(dim_list[-1], latent_dim)

    def forward(self, obs, action):
        hidden = self.body(torch.cat([obs, action], dim=1))
        return self.mu(hidden), self.logvar(hidden)


class Decoder(nn.Module):
    """(B, obs_horizon * obs_dim), (B, latent_dim) -> (B, pred_horizon * action_dim)."""

    def __init__(self, dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim):
        super().__init__()
        self.body = MLP([obs_horizon * obs_dim + latent_dim, *dim_list])
        self.out = nn.Linear(dim_list[-1], pred_horizon * action_dim)

    def forward(self, obs, z):
        return self.out(self.body(torch.cat([obs, z], dim=1)))


# %% [markdown]
# ### Q2.1 · The agent (20 min, medium)
#
# A sample $z \sim \mathcal{N}(\mu, \sigma^2)$ has no derivative with respect to $\mu$ and $\sigma$; $z = \mu + \sigma\,\varepsilon$ with
# $\varepsilon \sim \mathcal{N}(0, 1)$ is the same sample and has one. This *reparameterisation*
# ([Kingma & Welling, 2014](https://arxiv.org/abs/1312.6114)) is given. The encoder speaks of $\log \sigma^2$ (`logvar`), which may
# be any number, so that the network need not take care that a variance is positive.
#
# 1. `forward`, for training: ask the encoder, draw $z$ with `reparameterize`, decode; return the actions, `mu` and `logvar`, in this
#    order.
# 2. `sample_action`, for acting: decode with $z = 0$. The encoder is not asked: there are no actions to show it.


# %%
# [part2/agent_class] answer Q2.1
class CVAEAgent(nn.Module):
    def __init__(
        self,
        encoder_dim_list,
        decoder_dim_list,
        obs_dim,
        obs_horizon,
        action_dim,
        pred_horizon,
        latent_dim,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = Encoder(
            encoder_dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim
        )
        self.decoder = Decoder(
            decoder_dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim
        )

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        """mu, logvar (B, latent_dim) -> z (B, latent_dim)"""
        std = torch.exp(0.5 * logvar)
        return mu + std * torch.randn_like(std)

    def sample_action(self, obs: torch.Tensor) -> torch.Tensor:
        """obs (B, obs_horizon * obs_dim) -> action (B, pred_horizon * action_dim), with z = 0"""
        ### BEGIN SOLUTION
        return self.decoder(obs, torch.zeros(len(obs), self.latent_dim, device=obs.device))
        ### END SOLUTION

    def forward(
        self, obs: torch.Tensor, action: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """obs (B, obs_horizon * obs_dim), action (B, pred_horizon * action_dim)
        -> predicted action (B, pred_horizon * action_dim), mu (B, latent_dim), logvar (B, latent_dim)"""
        ### BEGIN SOLUTION
        mu, logvar = self.encoder(obs, action)
        return self.decoder(obs, self.reparameterize(mu, logvar)), mu, logvar
        ### END SOLUTION


# %%
# [part2/q2_1] test
score.check("Q2.1", CVAEAgent).points

# %%
# [part2/agent] given
torch.manual_seed(seed)
cvae_agent = CVAEAgent(
    encoder_dim_list=[256, 512, 1024, 512, 256],
    decoder_dim_list=[256, 512, 1024, 512, 256],
    obs_dim=obs_dim,
    obs_horizon=obs_horizon,
    action_dim=action_dim,
    pred_horizon=pred_horizon,
    latent_dim=32,
)
cvae_agent.to(device)
print(sum(p.numel() for p in cvae_agent.parameters()), "parameters")

# %% [markdown]
# ## 3 · Keeping the latent honest
#
# Left alone, the encoder would write the whole answer into $z$, and a decoder that gets $z = 0$ when acting would be lost. So
# $q_\phi$ is pulled towards $\mathcal{N}(0, I)$ by the *Kullback–Leibler divergence*, which is 0 where two distributions agree and
# grows as they part. Between any two, $P$ and $Q$, with densities $p$ and $q$, and for these two, the encoder's being $P$
# ([Kingma & Welling, 2014](https://arxiv.org/abs/1312.6114), appendix B), it is
#
# $$D_{\mathrm{KL}}(P \,\|\, Q) = \int p(z) \log \frac{p(z)}{q(z)} \, dz, \qquad
# D_{\mathrm{KL}}\big(\mathcal{N}(\mu, \sigma^2) \,\|\, \mathcal{N}(0, I)\big)
# = -\frac12 \sum_{i} \big(1 + \log \sigma_i^2 - \mu_i^2 - \sigma_i^2\big).$$
#
# ### Q2.2 · The KL divergence (15 min, easy)
#
# Return the second formula, summed over latent dimensions **and over the batch** (not averaged): that is how the published
# course counts it, and the reference loss with it.


# %%
# [part2/kl_divergence] answer Q2.2
def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """mu, logvar (B, latent_dim) -> one number, the sum over batch and latent dimensions"""
    ### BEGIN SOLUTION
    return -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())
    ### END SOLUTION


# %%
# [part2/q2_2] test
score.check("Q2.2", kl_divergence).points

# %% [markdown]
# The published check compares with one number, for inputs of 16 samples and 8 dimensions:

# %%
# [part2/published_kl] practice
score.test_kl_divergence(kl_divergence)

# %% [markdown]
# ## 4 · Training
#
# ### Q2.3 · The loss (10 min, easy)
#
# $$\mathcal{L} = \mathcal{L}_{\mathrm{BC}} + \beta\, \mathcal{L}_{\mathrm{KL}}, \qquad \beta = 10,$$
#
# the mean squared error between predicted and demonstrated actions, as in Part I, and the divergence of Q2.2. Flatten
# observations and actions from dimension 1 on before you show them to the agent. The divergence is your own `kl_divergence`.


# %%
# [part2/cvae_loss] answer Q2.3
def cvae_loss(
    agent: nn.Module, nobs: torch.Tensor, naction: torch.Tensor, beta: float = 10.0
) -> torch.Tensor:
    """Loss of a batch.

    agent(obs (B, obs_horizon * obs_dim), action (B, pred_horizon * action_dim)) -> predicted action, mu, logvar
    nobs (B, obs_horizon, obs_dim), naction (B, pred_horizon, action_dim) -> one number
    """
    ### BEGIN SOLUTION
    prediction, mu, logvar = agent(nobs.flatten(start_dim=1), naction.flatten(start_dim=1))
    return nn.functional.mse_loss(prediction.view_as(naction), naction) + beta * kl_divergence(
        mu, logvar
    )
    ### END SOLUTION


# %%
# [part2/q2_3] test
score.check("Q2.3", cvae_loss).points

# %%
# [part2/train] practice
num_epochs = 300
optimizer = torch.optim.AdamW(cvae_agent.parameters(), lr=3e-4)
lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000, eta_min=0.0)
run = TrainingRun(
    "part2_cvae",
    cvae_agent,
    loader,
    optimizer,
    lr_scheduler,
    num_epochs=num_epochs,
    seed=seed,
    reference=score.reference_loss("part2_cvae", dataset.demonstrations),
)

for epoch in run.epochs():
    for batch in loader:
        loss = cvae_loss(cvae_agent, batch["obs"], batch["action"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss)
    lr_scheduler.step()

# %%
# [part2/compare_loss] practice
print(score.compare_losses("part2_cvae", run.losses, dataset.demonstrations))

# %% [markdown]
# A jump in the loss curve now and then is the KL term flaring up: a sum over a batch of 256, times ten, weighs heavily.
#
# ## 5 · What became of the latent?
#
# How much does $z$ say about which way was taken? On the left, each latent dimension's divergence from $\mathcal{N}(0, 1)$,
# averaged over the demonstrations: zero means that the encoder has given that dimension up. On the right, chunks decoded
# from one state with twenty draws of $z$, and with $z = 0$.

# %%
# [part2/latent] practice
figures.latent(cvae_agent, dataset)

# %% [markdown]
# This is *posterior collapse*. Summed over the batch and times ten, the divergence is so dear that it is cheaper for the
# network to say nothing with $z$, and what remains is an MLP with one useless input. With a small weight the latent lives:
# below is the same network after 60 epochs with $\beta = 10^{-6}$. Four dimensions carry seven nats (a nat is 1.44 bits), and
# different $z$ give different ways to go, though not all of them good ones: the decoder now leans on a $z$ that nobody gives it
# when it acts. You can train it yourself with `cvae_loss(..., beta=1e-6)`, in a cell of your own: give network and `TrainingRun`
# other names there, so that what you hand in stays as it is.

# %%
# [part2/latent_small_beta] practice
figures.stored("latent_small_beta")

# %% [markdown]
# ## 6 · Acting
#
# ### Q2.4 · Inference (5 min, easy)
#
# Ask `sample_action` for a whole batch, without recording gradients. Its actions come back flat.


# %%
# [part2/cvae_inference] answer Q2.4
def cvae_inference(
    model: nn.Module, batch_size: int, nobs: torch.Tensor, pred_horizon: int, action_dim: int
) -> torch.Tensor:
    """nobs (batch_size, obs_horizon, obs_dim) -> naction (batch_size, pred_horizon, action_dim), both scaled"""
    ### BEGIN SOLUTION
    with torch.no_grad():
        naction = model.sample_action(nobs.reshape(batch_size, -1))
    return naction.view(batch_size, pred_horizon, action_dim)
    ### END SOLUTION


# %%
# [part2/q2_4] test
score.check("Q2.4", cvae_inference).points

# %% [markdown]
# ## 7 · How well it pushes
#
# The published threshold is 0.70 over ten episodes. The `test` cell at the end of this section runs thirty by the rules of the
# grade, as in Part I, with the weights in `part2_cvae.safetensors`.

# %%
# [part2/practice_score] practice
result = score.score_part2(
    PushTEnv(),
    cvae_inference,
    cvae_agent,
    obs_horizon,
    action_dim,
    pred_horizon,
    action_horizon,
    500,
    stats,
    device,
)
show_video("cvae_combined_vis.mp4", width=640)

# %% [markdown]
# And one by one. Stop where the red cross, the target, changes its side of the T: did the policy have another way in mind?

# %%
# [part2/practice_player] practice
figures.player(result.episodes)

# %%
# [part2/rollouts] test
score.grade_rollouts("part2_cvae", cvae_inference, cvae_agent).points

# %% [markdown]
# ## 8 · Handing in
#
# Where you stand: what each check of this part last said, and how far the training got.

# %%
# [part2/standing] practice
score.show_standing()

# %% [markdown]
# The next cell packs all that is handed in into `hand_in_part2_cvae.zip` and says what is missing in it.
# In Colab your browser saves the zip. Elsewhere, save the notebook first (Ctrl+S), and find the zip in this folder.

# %%
# [part2/hand_in] practice
score.submit()
