# %% [markdown]
# # Part II: behavioural cloning with a CVAE
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({{badge}})
#
# From some states the T can be pushed in two ways, and the demonstrations contain both. The MLP of
# Part I has to give one answer. If two such states look the same to it, least squares makes its
# answer the mean of the two ways, which is neither. A *conditional variational autoencoder* (CVAE)
# gives the network a second input, a latent $z$ that tells it which way to take. Whether this helps
# is a question for an experiment, and this part ends with one.
#
# | | exercise | time |
# |---|---|---|
# | Q2.1 | the agent, for training and for acting | 20 min |
# | Q2.2 | the KL divergence | 15 min |
# | Q2.3 | the loss, then training (half an hour on two CPU cores, two minutes on a GPU) | 10 min |
# | Q2.4 | inference | 5 min |
# | | reading, and looking at the pictures and the policy | 30 min |
# | E2.1, E2.2 | optional (section 9) | 45 min |
#
# Run the cells from top to bottom; `answer` cells are yours to write. The task, the demonstrations
# and the kinds of cells are those of Part I.

# %%
# [part2/setup] given: downloads the kit if it is missing; you can run it again
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
seed = 1  # sets the network's first weights and the order of the batches
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
# ## 1 · Two ways, and their mean
#
# What came next in the demonstrations when the table looked like this, and what would least squares
# predict if it could not tell these six windows apart? (The picture shows one window, the five
# nearest to it from other episodes, and the mean of all six.)

# %%
# [part2/two_ways] practice
figures.two_ways(dataset)

# %% [markdown]
# How common is this? We compared {{demonstrations.windows}} windows of the shipped demonstrations,
# each with the five nearest of other episodes. The chunks of {{demonstrations.parted}} of them form
# two groups that are further apart than the windows themselves; these windows lie at
# {{demonstrations.states}} places on the table, and the picture shows the clearest. So two ways are
# rare in these demonstrations. And a few pixels of difference are enough for the network to choose:
# the chunk of the reference MLP is nearer to the mean than to either way at {{ways.between_mlp}} of
# the {{demonstrations.states}} places. Keep this in mind for what the CVAE can win here.

# %% [markdown]
# ## 2 · A latent that chooses
#
# A CVAE ([Sohn et al.,
# 2015](https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html); as a
# policy: [ACT, Zhao et al., 2023](https://arxiv.org/abs/2304.13705)) consists of two networks:
#
# - the **encoder** $q_\phi(z \mid \mathbf{A}, \mathbf{O})$ sees the observations *and* what the
#   demonstrator did, and outputs a distribution over $z$: a normal one with mean $\mu$ and variance
#   $\sigma^2$, each of 32 numbers;
# - the **decoder** $\pi_\theta(\mathbf{A} \mid \mathbf{O}, z)$ is the policy: it maps the
#   observations and $z$ to the actions.
#
# Training needs both, acting only the decoder. When it acts, nobody tells it which way to take, so
# the published course sets $z = 0$, the mean of $\mathcal{N}(0, I)$.

# %%
# [part2/picture] practice
figures.cvae()


# %%
# [part2/networks] given
class Encoder(nn.Module):
    """obs (B, obs_horizon * obs_dim), action (B, pred_horizon * action_dim)
    -> mu, logvar, each (B, latent_dim)
    """

    def __init__(self, dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim):
        super().__init__()
        self.body = MLP([obs_horizon * obs_dim + pred_horizon * action_dim, *dim_list])
        self.mu = nn.Linear(dim_list[-1], latent_dim)
        self.logvar = nn.Linear(dim_list[-1], latent_dim)

    def forward(self, obs, action):
        hidden = self.body(torch.cat([obs, action], dim=1))
        return self.mu(hidden), self.logvar(hidden)


class Decoder(nn.Module):
    """obs (B, obs_horizon * obs_dim), z (B, latent_dim) -> action (B, pred_horizon * action_dim)"""

    def __init__(self, dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim):
        super().__init__()
        self.body = MLP([obs_horizon * obs_dim + latent_dim, *dim_list])
        self.out = nn.Linear(dim_list[-1], pred_horizon * action_dim)

    def forward(self, obs, z):
        return self.out(self.body(torch.cat([obs, z], dim=1)))


# %% [markdown]
# ### Q2.1 · The agent (20 min, medium)
#
# A sample $z \sim \mathcal{N}(\mu, \sigma^2)$ has no derivative with respect to $\mu$ and $\sigma$;
# $z = \mu + \sigma\,\varepsilon$ with $\varepsilon \sim \mathcal{N}(0, 1)$ has the same
# distribution, and has one. This *reparameterisation* ([Kingma & Welling,
# 2014](https://arxiv.org/abs/1312.6114)) is given. The encoder outputs $\log \sigma^2$ (`logvar`),
# which may be any number, so the variance is always positive.
#
# 1. `forward`, for training: call the encoder, draw $z$ with `reparameterize`, decode; return the
#    actions, `mu` and `logvar`, in this order.
# 2. `sample_action`, for acting: decode with $z = 0$. Do not call the encoder: there are no actions
#    to give it.


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
        -> predicted action (B, pred_horizon * action_dim), mu, logvar (B, latent_dim)
        """
        ### BEGIN SOLUTION
        mu, logvar = self.encoder(obs, action)
        return self.decoder(obs, self.reparameterize(mu, logvar)), mu, logvar
        ### END SOLUTION


# %%
# [part2/q2_1] test
import score

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
# ## 3 · Regularising the latent
#
# Without a penalty, the encoder would write the whole answer into $z$, and a decoder that gets
# $z = 0$ when acting could not tell what to do. So $q_\phi$ is pulled towards $\mathcal{N}(0, I)$
# by the *Kullback–Leibler divergence*, which is 0 when two distributions are equal and grows as
# they differ. For any two distributions $P$ and $Q$ with densities $p$ and $q$, and for our two,
# where $P$ is the encoder's ([Kingma & Welling, 2014](https://arxiv.org/abs/1312.6114), appendix
# B), it is
#
# $$D_{\mathrm{KL}}(P \,\|\, Q) = \int p(z) \log \frac{p(z)}{q(z)} \, dz,$$
#
# $$D_{\mathrm{KL}}\big(\mathcal{N}(\mu, \sigma^2) \,\|\, \mathcal{N}(0, I)\big)
# = -\frac12 \sum_{i} \big(1 + \log \sigma_i^2 - \mu_i^2 - \sigma_i^2\big).$$
#
# ### Q2.2 · The KL divergence (15 min, easy)
#
# Return the second formula, summed over the latent dimensions **and over the batch** (not
# averaged): the published course counts it this way, and so does the reference loss.


# %%
# [part2/kl_divergence] answer Q2.2
def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """mu, logvar (B, latent_dim) -> one number, summed over the batch and the latent dimensions"""
    ### BEGIN SOLUTION
    return -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())
    ### END SOLUTION


# %%
# [part2/q2_2] test
import score

score.check("Q2.2", kl_divergence).points

# %% [markdown]
# The published check compares your result with one number, for inputs of 16 samples and 8
# dimensions:

# %%
# [part2/published_kl] practice
score.test_kl_divergence(kl_divergence)

# %% [markdown]
# ### A toy: what the divergence costs
#
# Before the large network, a small one. In this toy an action is one point of the plane. An
# obstacle stands in the middle; half of the demonstrations pass it on the left and half on the
# right. Least squares would answer with their mean: the middle of the obstacle. The next cell
# trains three small CVAEs, which differ only in the weight of the divergence, and takes some
# seconds. "Good" is the share of decoded actions that are where demonstrations are.

# %%
# [part2/toy] practice
figures.toy_latent()

# %% [markdown]
# The divergence is measured in *nats*: one nat is $1 / \ln 2 \approx 1.44$ bits, because the
# logarithm is the natural one. With the large weight, each nat costs more than it helps: the
# encoder sends nothing, and the decoder answers with the mean, whatever $z$ is. With the middle
# weight, $z$ carries little more than $\ln 2 \approx 0.69$ nats, the information in a choice
# between two ways: most of the drawn $z$ decode to one way or the other, but $z = 0$ decodes to the
# middle. With the small weight the encoder says more than which way, and what it sends is no longer
# distributed like $\mathcal{N}(0, I)$. So many drawn $z$ decode to actions that nobody
# demonstrated.

# %% [markdown]
# ## 4 · Training
#
# ### Q2.3 · The loss (10 min, easy)
#
# $$\mathcal{L} = \mathcal{L}_{\mathrm{BC}} + \beta\, \mathcal{L}_{\mathrm{KL}}, \qquad
# \beta = 10.$$
#
# The first term is the mean squared error between predicted and demonstrated actions, as in Part I,
# and the second the divergence of Q2.2. Flatten observations and actions from dimension 1 on before
# you pass them to the agent. Use your own `kl_divergence`.


# %%
# [part2/cvae_loss] answer Q2.3
def cvae_loss(
    agent: nn.Module, nobs: torch.Tensor, naction: torch.Tensor, beta: float = 10.0
) -> torch.Tensor:
    """Return the loss of a batch.

    agent: obs (B, obs_horizon * obs_dim), action (B, pred_horizon * action_dim)
        -> predicted action, mu, logvar
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
import score

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
# Single epochs may jump, because the KL term is summed over a batch of 256 and multiplied by ten: a
# small change of the encoder costs much. So the comparison takes the median of every five epochs.
#
# ## 5 · What became of the latent?
#
# How much does $z$ say about which way was taken? On the left is the divergence of each latent
# dimension from $\mathcal{N}(0, 1)$, averaged over the demonstrations: zero means that the encoder
# does not use that dimension. On the right are chunks decoded from one state with twenty samples of
# $z$, and with $z = 0$.

# %%
# [part2/latent] practice
figures.latent(cvae_agent, dataset)

# %% [markdown]
# This is *posterior collapse*. Summed over the batch and times ten, the divergence costs so much
# that the network does better by ignoring $z$, and what remains is an MLP with noise as a second
# input.
#
# Does a smaller weight help? Each dot below is a network, trained for 240 epochs on the shipped
# demonstrations or for 120 on the human ones; the lines join the means over training seeds. The
# weight is that of the divergence *averaged* over the batch, on which scale the published setting
# is $10 \cdot 256 = 2560$. The score is the mean over 200 episodes.

# %%
# [part2/divergence_weights] practice
figures.divergence_weights()

# %% [markdown]
# Down to 0.01 the latent stays empty. At 0.003 it carries {{weights.nats_shipped_0_003}} nats on
# the shipped demonstrations and {{weights.nats_human_0_003}} on the human ones, and at 0.001
# {{weights.nats_shipped_0_001}} and {{weights.nats_human_0_001}}. A decoder that relies on $z$
# imitates the demonstrations better in training, where the encoder has seen the answer. But what
# the encoder sends is not distributed like $\mathcal{N}(0, I)$, so neither $z = 0$ nor a drawn $z$
# is what the decoder was trained with. On the human demonstrations, 0.003 in place of the published
# weight takes the score with $z = 0$ from {{weights.zero_human_2560}} to
# {{weights.zero_human_0_003}}. With $z$ drawn it hardly changes: {{weights.drawn_human_2560}} and
# {{weights.drawn_human_0_003}}. At 0.001 both fall, to {{weights.zero_human_0_001}} and
# {{weights.drawn_human_0_001}}.
#
# There are known cures. We tried four on the shipped demonstrations (one training seed each, 200
# held-out starts, 95 % intervals of ± 0.05):
#
# - *annealing* ([Bowman et al., 2016](https://arxiv.org/abs/1511.06349)): the weight rises from 0
#   to 0.003 over the first half of the training;
# - *free bits* ([Kingma et al., 2016](https://arxiv.org/abs/1606.04934)): 1.4 nats cost nothing;
# - *a smaller latent*: two dimensions in place of 32, with the weight 0.001;
# - *a learned prior* ([Sohn et al.,
#   2015](https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html)): a
#   small network predicts from the observations which $z$ to draw, with the weight 0.001.
#
# | | nats | $z$ the prior's mean | drawn for each chunk | drawn from what was sent | drawn once |
# |---|---|---|---|---|---|
# | annealing | {{cures.row_annealed}} |
# | free bits | {{cures.row_free_bits}} |
# | two dimensions | {{cures.row_two_dimensions}} |
# | learned prior | {{cures.row_learned_prior}} |
#
# *Drawn from what was sent* is a normal distribution fitted to the encoder's outputs for all
# demonstrations ([Ghosh et al., 2020](https://arxiv.org/abs/1903.12436)); *drawn once* is one $z$
# for a whole episode. So on this task no use of the latent that we found beats an empty one.
#
# The networks with an empty latent score a little better with $z$ drawn than with $z = 0$:
# {{weights.higher}} of the {{weights.empty}} do, and by {{weights.gain}} on average. In 32
# dimensions nearly every sample of $\mathcal{N}(0, I)$ is about $\sqrt{32} \approx 5.7$ long, so in
# training the decoder hardly ever saw a $z$ near 0. And noise of any kind frees an agent that
# stands still, as section 7 of Part I found for the MLP.

# %% [markdown]
# ## 6 · Acting
#
# ### Q2.4 · Inference (5 min, easy)
#
# Call `sample_action` for a whole batch, without recording gradients. It returns flat actions;
# reshape them.


# %%
# [part2/cvae_inference] answer Q2.4
def cvae_inference(
    model: nn.Module, batch_size: int, nobs: torch.Tensor, pred_horizon: int, action_dim: int
) -> torch.Tensor:
    """Predict chunks of actions.

    nobs (batch_size, obs_horizon, obs_dim)
    -> naction (batch_size, pred_horizon, action_dim), both scaled
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        naction = model.sample_action(nobs.reshape(batch_size, -1))
    return naction.view(batch_size, pred_horizon, action_dim)
    ### END SOLUTION


# %%
# [part2/q2_4] test
import score

score.check("Q2.4", cvae_inference).points

# %% [markdown]
# ## 7 · How well the policy pushes
#
# The published threshold is 0.70 over ten episodes. The `test` cell at the end of this section runs
# thirty episodes by the rules of the grade: as in Part I, the kit itself acts, with the weights in
# `part2_cvae.safetensors`.

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
# The same episodes one by one. Stop where the red cross (the target) moves to the other side of the
# T: did the policy change its plan?

# %%
# [part2/practice_player] practice
figures.player(result.episodes)

# %%
# [part2/rollouts] test
import score

score.grade_rollouts("part2_cvae").points

# %% [markdown]
# ## 8 · Handing in
#
# Your status in this part: the last result of every check, and how far training has got.

# %%
# [part2/standing] practice
score.show_standing()

# %% [markdown]
# The next cell packs everything that you hand in into `hand_in_part2_cvae.zip`, tells you if
# something is missing, and rehearses the grading as in Part I. In Colab your browser saves the zip.
# Elsewhere, save the notebook first (Ctrl+S); the zip is then written to the notebook's folder. If
# you fetched the notebook with nbgrader, there is no zip, and the cell says how to submit. After
# this you are done; the rest of the notebook is optional.

# %%
# [part2/hand_in] practice
score.submit()

# %% [markdown]
# ## 9 · Going further
#
# This section is optional: it earns no points and is not part of what you hand in. `extension`
# cells are yours to write, and each is followed by its check and by something to look at.
#
# ### E2.1 · A weight for the divergence (10 min, easy)
#
# With a sum over the batch, the balance of the two terms changes with the batch size. Write the
# divergence of Q2.2 so that it is summed over the latent dimensions and *averaged* over the batch:
#
# $$\frac{1}{B} \sum_{b=1}^{B} D_{\mathrm{KL}}\big(\mathcal{N}(\mu_b, \sigma_b^2) \,\|\,
# \mathcal{N}(0, I)\big).$$
#
# It is the mean number of nats that the encoder may send about a chunk.


# %%
# [part2/mean_kl] extension E2.1
def mean_kl(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """mu, logvar (B, latent_dim) -> one number [nats], averaged over the batch"""
    ### BEGIN SOLUTION
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1).mean()
    ### END SOLUTION


# %%
# [part2/e2_1] practice
score.check("E2.1", mean_kl).right

# %% [markdown]
# Choose a weight in the picture of section 5, and train a second network with it. What you hand in
# stays as it is, because network and run have other names. A hundred epochs take ten minutes on two
# CPU cores; interrupt the cell and run it again as you like.

# %%
# [part2/e2_1_train] practice
weight = 0.003
torch.manual_seed(seed)
weighted_agent = CVAEAgent(
    encoder_dim_list=[256, 512, 1024, 512, 256],
    decoder_dim_list=[256, 512, 1024, 512, 256],
    obs_dim=obs_dim,
    obs_horizon=obs_horizon,
    action_dim=action_dim,
    pred_horizon=pred_horizon,
    latent_dim=32,
).to(device)
weighted_epochs = 100
weighted_optimizer = torch.optim.AdamW(weighted_agent.parameters(), lr=3e-4)
weighted_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(weighted_optimizer, T_max=333)
weighted_run = TrainingRun(
    "e2_1_cvae",
    weighted_agent,
    loader,
    weighted_optimizer,
    weighted_scheduler,
    num_epochs=weighted_epochs,
    seed=seed,
)

for epoch in weighted_run.epochs():
    for batch in loader:
        nobs, naction = batch["obs"].flatten(1), batch["action"].flatten(1)
        prediction, mu, logvar = weighted_agent(nobs, naction)
        loss = nn.functional.mse_loss(prediction, naction) + weight * mean_kl(mu, logvar)
        weighted_optimizer.zero_grad()
        loss.backward()
        weighted_optimizer.step()
        weighted_run.log(loss)
    weighted_scheduler.step()

# %%
# [part2/e2_1_latent] practice
figures.latent(weighted_agent, dataset)

# %%
# [part2/e2_1_table] practice
from pusht import receding_horizon


def chunks_of(agent, z_of):
    """Return a policy that decodes with z = z_of(number of chunks)."""

    @torch.no_grad()
    def infer(nobs):
        chunks = agent.decoder(nobs.flatten(1).to(device), z_of(len(nobs)))
        return chunks.view(-1, pred_horizon, action_dim)

    return receding_horizon(infer, stats)


def zeros(count):
    return torch.zeros(count, 32, device=device)


def drawn(count):
    return torch.randn(count, 32, device=device)


for name, agent in (("published weight", cvae_agent), (f"weight {weight}", weighted_agent)):
    score.try_out(f"{name}, z = 0", chunks_of(agent, zeros))
    score.try_out(f"{name}, z drawn", chunks_of(agent, drawn))

# %% [markdown]
# **To think about.** What would you have to know to draw the right $z$? And what does the policy of
# Part III draw in its place?
#
# <details><summary>One answer</summary>
#
# Which $z$ the encoder sends for the actions that are possible in this state: a distribution that
# depends on the observations, and that nobody has learned. Part III draws noise from a normal
# distribution too, but its network was trained with exactly this noise, so what it meets when it
# acts is what it has learned from.
#
# </details>

# %% [markdown]
# ### E2.2 · Does z choose a way? (35 min, medium)
#
# A policy that answers with a random $z$ could take two ways from one state. Does it? To find out,
# let it plan $n = 40$ chunks in the same state, and count the groups that they form. Groups need a
# rule. Ours looks along the one direction in which the chunks differ most, the first *principal
# direction* ([Pearson, 1901](https://doi.org/10.1080/14786440109462720)):
#
# 1. Write each chunk as a vector of $2 T_p$ numbers and take away the mean vector. With these as
#    rows, the direction $\mathbf{v}$ (a unit vector) is the first row of `Vt` in
#    `U, S, Vt = np.linalg.svd(rows, full_matrices=False)`.
# 2. Chunk $i$, with row $\mathbf{x}_i$, is at the place $\mathbf{x}_i \cdot \mathbf{v} /
#    \sqrt{T_p}$ on this direction. (Divided by the root of the number of actions, this is the
#    distance per action, in pixels.)
# 3. Sort the places. Wherever two neighbours are more than `gap` apart, one group ends and another
#    begins.
# 4. Groups of fewer than `least` chunks do not count.
#
# The gap is 15 px, the radius of the agent.


# %%
# [part2/modes] extension E2.2
def modes(chunks: np.ndarray, gap: float = 15.0, least: int = 4) -> int:
    """Return in how many ways a set of chunks goes.

    chunks (n, pred_horizon, action_dim) [px]; gap [px]; least: number of chunks
    """
    ### BEGIN SOLUTION
    flat = chunks.reshape(len(chunks), -1)
    centred = flat - flat.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = np.sort(centred @ direction) / chunks.shape[1] ** 0.5
    groups = np.split(along, np.flatnonzero(np.diff(along) > gap) + 1)
    return sum(len(group) >= least for group in groups)
    ### END SOLUTION


# %%
# [part2/e2_2] practice
score.check("E2.2", modes).right

# %% [markdown]
# In the shipped demonstrations there are {{latent.places}} places, at least 40 px from each other,
# from which demonstrators went two ways (section 1 says by which test). The next cell finds them
# and counts the ways of the demonstrations (six chunks at each place, `least` = 2), of your network
# with $z = 0$, and with $z$ drawn from $\mathcal{N}(0, I)$. If this folder has the weights of Parts
# I and III, the MLP and the diffusion policy are counted too; the latter takes a minute or two. In
# the picture are the three clearest places.

# %%
# [part2/e2_2_modes] practice
from pusht import normalize_data, unnormalize_data
from pusht.figures.modes import in_pixels, many_crossroads


def decoding(agent, draw):
    """Return a function nobs (B, obs_horizon, obs_dim) -> naction, with z drawn or z = 0."""

    @torch.no_grad()
    def infer(nobs):
        z = (torch.randn if draw else torch.zeros)(len(nobs), agent.latent_dim)
        naction = agent.decoder(nobs.flatten(1).to(device), z.to(device))
        return naction.view(-1, pred_horizon, action_dim)

    return infer


places = many_crossroads(dataset, 50)
place_obs = [in_pixels(dataset, place.windows)[0][0] for place in places]


def plans(infer, stats, count=40):
    """Return what a policy plans at each place: arrays (count, pred_horizon, action_dim) [px]."""
    planned = []
    for obs in place_obs:
        nobs = torch.from_numpy(normalize_data(obs, stats["obs"])).float()
        torch.manual_seed(seed)
        naction = infer(nobs.expand(count, -1, -1)).cpu().numpy()
        planned.append(unnormalize_data(naction, stats["action"]))
    return planned


demonstrated = [in_pixels(dataset, place.windows)[1] for place in places]
policies = {
    "z = 0": (decoding(cvae_agent, draw=False), stats),
    "z drawn": (decoding(cvae_agent, draw=True), stats),
    # "E2.1, z drawn": (decoding(weighted_agent, draw=True), stats),
    "MLP": score.trained("part1_mlp"),
    "diffusion": score.trained("part3_ddpm"),
}
planned = {name: plans(*policy) for name, policy in policies.items() if policy}
counts = {"demonstrations": [modes(six, least=2) for six in demonstrated]}
counts |= {name: [modes(chunks) for chunks in each] for name, each in planned.items()}
for name, found in counts.items():
    print(f"{name:<16} {sum(n > 1 for n in found)} of {len(places)} places with two ways or more")
sets = {"demonstrations": demonstrated, **planned}
figures.chunk_sets(
    np.array([obs[-1] for obs in place_obs[:3]]), {name: sets[name][:3] for name in sets}
)

# %% [markdown]
# Whether $z$ says anything or not, a policy with $z$ drawn plays differently from one with $z = 0$.
# Is it what $z$ says, or would any noise do? As a control, we use noise of the same size that says
# nothing: each chunk decoded with $z = 0$ is moved by a random shift, with the standard deviation
# that drawing $z$ gives to an action. (If the MLP is here, it gets the same shift.)

# %%
# [part2/e2_2_table] practice
from pusht import receding_horizon
from score.rollouts.intervals import paired_interval

apart = [np.square(chunks - chunks.mean(axis=0)).mean() for chunks in planned["z drawn"]]
size = np.sqrt(np.mean(apart))
print(f"Drawing z moves an action by {size:.1f} px in x and in y (one standard deviation).")


def shifted(policy):
    """Return the policy with a random shift of each chunk."""
    rng = np.random.default_rng(seed)

    def act(obs):
        chunks = policy(obs)
        return chunks + size * rng.normal(size=(len(chunks), 1, action_dim))

    return act


acting = {name: receding_horizon(*policies[name]) for name in planned if name != "diffusion"}
acting["z = 0, noise"] = shifted(acting["z = 0"])
if "MLP" in acting:
    acting["MLP, noise"] = shifted(acting["MLP"])
played = {name: score.try_out(name, policy) for name, policy in acting.items()}
for one, other in (("z = 0", "z drawn"), ("z = 0, noise", "z drawn")):
    scores = (played[name].max_rewards for name in (one, other))
    mean, low, high = paired_interval(*scores)
    print(f"{other} against {one}: {mean:+.3f} ({low:+.2f} to {high:+.2f})")

# %% [markdown]
# What we found with the reference weights (shipped demonstrations, one training seed). Two ways or
# more, at the {{latent.places}} places: the demonstrations {{latent.parted_demos}}, the CVAE with
# $z$ drawn {{latent.parted_cvae}}, the diffusion policy of Part III {{latent.parted_ddpm}}, the
# flow policy of Part IV {{latent.parted_flow}}; a policy that always gives the same answer can have
# no more than one. So by this rule hardly any policy takes two ways. The CVAE's chunks have a
# standard deviation of only {{latent.px}} px, because its $z$ has collapsed. Those of diffusion
# (in the picture) and flow spread much wider, but from one way to the other without a gap.
#
# And over 200 held-out starts, with *at a standstill* as in section 7 of Part I:
#
# | | score | solved | final reward | roughness | at a standstill |
# |---|---|---|---|---|---|
# | CVAE, $z = 0$ | {{latent.row_zero}} |
# | CVAE, $z$ drawn | {{latent.row_drawn}} |
# | CVAE, $z = 0$, noise of {{latent.px}} px | {{latent.row_noise}} |
# | MLP | {{latent.row_mlp}} |
# | MLP, noise of {{latent.px}} px | {{latent.row_mlp_noise}} |
#
# Drawn $z$ minus $z = 0$ is {{latent.mean_by_z}} ({{latent.low_by_z}} to {{latent.high_by_z}}),
# noise minus none {{latent.mean_by_noise}} ({{latent.low_by_noise}} to {{latent.high_by_noise}}),
# and drawn $z$ minus noise {{latent.mean_z_or_noise}} ({{latent.low_z_or_noise}} to
# {{latent.high_z_or_noise}}; the intervals are those of Part I's E1.3, over common starts). Drawn
# $z$ and noise both free the agent: hardly any episode ends at a standstill. But what $z$ says is
# no better than noise that says nothing, which solved {{latent.solved_noise}} of the episodes where
# drawn $z$ solved {{latent.solved_drawn}}.
#
# **To think about.** The rule counts groups along one direction only, with gaps of 15 px, among
# forty chunks. Which two ways would it miss? And what does a random shift do for a policy that
# stands still, which a better plan would not do?
#
# <details><summary>One answer</summary>
#
# It misses ways that are joined by a few chunks in between (a single one every 15 px is enough),
# ways that differ by less than 15 px per action, such as waiting and going, and a rare second way
# that fewer than four of forty chunks take. It also needs the ways to be apart along the direction
# of the largest variance; if all chunks differ more in speed, it looks along that.
#
# A policy that stands still has found a state for which its plan is to stay. A better plan is no
# help if the next observation shows the same state and gives the same plan. A shift moves the agent
# somewhere else, where the network may know how to go on; in which direction hardly matters.
#
# </details>
