"""More right answers, written as other courses, libraries and habits have it.

Each question's table is for `RIGHT`; no answer here is wrong.
"""

import collections
import functools
import itertools
import math
import statistics

import numpy as np
import scipy.stats
import torch
from scipy import special
from torch import distributions, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from answers import table
from answers.cvae import Agent
from answers.flow import MSE, Flow, changed, euler, mse, of_self
from pusht import BasePolicy, evaluate_policy

# Part I.


def widths_by_steps(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    widths = np.empty(len(hidden_dims) + 2, dtype=np.int64)
    widths[0], widths[-1] = obs_horizon * obs_dim, pred_horizon * action_dim
    widths[1:-1] = hidden_dims
    return widths


def widths_chained(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    ends = torch.Size((obs_horizon, obs_dim)), torch.Size((pred_horizon, action_dim))
    return itertools.chain([ends[0].numel()], hidden_dims, [ends[1].numel()])


def bc_by_samples(model, nobs, naction):
    total = 0.0
    for obs, action in zip(nobs, naction):
        total = total + F.mse_loss(model(obs.reshape(1, -1)).reshape(action.shape), action)
    return total / len(nobs)


def bc_by_einsum(model, nobs, naction):
    error = model(torch.cat([nobs[:, i] for i in range(nobs.shape[1])], -1)) - naction.flatten(1)
    return torch.einsum("bi,bi->", error, error) / error.numel()


def bc_in_float64(model, nobs, naction):
    prediction = model(nobs.view(nobs.size(0), -1)).double().unflatten(1, naction.shape[1:])
    return (prediction - naction.double()).pow(2).mean(dim=(1, 2)).mean()


def bc_in_place(model, nobs, naction):
    error = model(nobs.flatten(1)).clone().view_as(naction)
    error -= naction
    return nn.MSELoss(reduction="sum")(error, torch.zeros_like(error)).div(error.numel())


def bc_by_vmap(model, nobs, naction):
    def one(obs, action):
        return (model(obs.flatten()) - action.flatten()).square().mean()

    return torch.func.vmap(one)(nobs, naction).mean()


def bc_by_likelihood(model, nobs, naction):
    """Twice the negative log-likelihood of N(prediction, 1), without its constant."""
    prediction = model(nobs.flatten(1)).reshape(naction.shape)
    nll = F.gaussian_nll_loss(prediction, naction, torch.ones_like(naction))
    return 2 * nll


def bc_by_norm(model, nobs, naction):
    return torch.dist(model(nobs.flatten(1)), naction.flatten(1)).square() / naction.numel()


@torch.inference_mode()
def acts_in_inference_mode(model, batch_size, nobs, pred_horizon, action_dim):
    return model(nobs.view(batch_size, -1)).unflatten(-1, (pred_horizon, action_dim))


def acts_one_by_one(model, batch_size, nobs, pred_horizon, action_dim):
    rows = [model(nobs[i].reshape(1, -1)).detach()[0] for i in range(batch_size)]
    return torch.stack(rows).reshape(-1, pred_horizon, action_dim)


def acts_through_numpy(model, batch_size, nobs, pred_horizon, action_dim):
    flat = model(nobs.flatten(1)).detach().cpu().numpy()
    return torch.from_numpy(flat.reshape(batch_size, pred_horizon, action_dim).copy())


def acts_and_clips(model, batch_size, nobs, pred_horizon, action_dim):
    with torch.set_grad_enabled(False):
        return torch.clip(model(nobs.flatten(1)), -1, 1).view(-1, pred_horizon, action_dim)


def angle_by_complex(obs):
    turned = np.exp(1j * obs[..., 4])
    return np.dstack([obs[None, ..., :4].reshape(1, -1, 4), _pair(turned)])[0].reshape(
        *obs.shape[:-1], 6
    )


def _pair(turned):
    return np.stack([turned.imag, turned.real], axis=-1).reshape(1, -1, 2)


def angle_in_place(obs):
    out = np.empty((*obs.shape[:-1], 6), dtype=obs.dtype)
    out[..., :4], out[..., 4], out[..., 5] = obs[..., :4], np.sin(obs[..., 4]), np.cos(obs[..., 4])
    return out


def ensemble_by_softmax(predictions, m):
    weights = torch.softmax(-m * torch.arange(len(predictions), dtype=torch.float64), dim=0)
    return torch.einsum("n,nd->d", weights, predictions.double())


def ensemble_by_steps(predictions, m):
    total, weights = torch.zeros_like(predictions[0]), 0.0
    for i, prediction in enumerate(predictions):
        total += math.exp(-m * i) * prediction
        weights += math.exp(-m * i)
    return total / weights


def ensemble_by_average(predictions, m):
    weights = np.exp(-m * np.arange(len(predictions)))
    return torch.as_tensor(np.average(predictions.numpy(), axis=0, weights=weights))


# Part II.


class DistributionAgent(Agent):
    def forward(self, obs, action):
        mu, logvar = self.encoder(obs, action)
        z = distributions.Independent(distributions.Normal(mu, (0.5 * logvar).exp()), 1).rsample()
        return self.decoder(obs, z), mu, logvar


class InPlaceAgent(Agent):
    def reparameterize(self, mu, logvar):
        std = logvar.mul(0.5).exp_()
        return torch.empty_like(std).normal_().mul(std).add_(mu)

    def sample_action(self, obs):
        return self.decoder(obs, torch.zeros(self.latent_dim).expand(len(obs), -1))


class FusedAgent(Agent):
    def reparameterize(self, mu, logvar):
        return torch.addcmul(mu, torch.sqrt(torch.exp(logvar)), torch.randn(mu.shape))

    def forward(self, obs, action):
        both = self.encoder(obs, action)
        return [self.decoder(obs, self.reparameterize(*both)), *both]


def kl_by_torch(mu, logvar):
    one = distributions.Normal(mu, torch.exp(logvar / 2))
    return distributions.kl_divergence(one, distributions.Normal(0.0, 1.0)).sum()


def kl_by_latents(mu, logvar):
    total = mu.new_zeros(())
    for i in range(mu.shape[1]):
        total = total + (mu[:, i] ** 2 + logvar[:, i].exp() - logvar[:, i] - 1).sum() / 2
    return total


def kl_by_einsum(mu, logvar):
    rest = torch.expm1(logvar) - logvar
    return 0.5 * (torch.einsum("bi,bi->", mu, mu) + rest.sum(dim=-1).sum())


def kl_in_float64(mu, logvar):
    mu, logvar = mu.double(), logvar.double()
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()


def kl_by_covariance(mu, logvar):
    def one(m, v):
        return (v.exp().sum() + m @ m - m.numel() - v.sum()) / 2

    return torch.stack([one(m, v) for m, v in zip(mu, logvar)]).sum()


def cvae_loss_with(kl, error=F.mse_loss):
    def cvae_loss(agent, nobs, naction, beta=10.0):
        batch = nobs.shape[0]
        prediction, mu, logvar = agent(nobs.reshape(batch, -1), naction.reshape(batch, -1))
        return error(prediction, naction.reshape(batch, -1)) + beta * kl(mu, logvar)

    return cvae_loss


def sampled_one_by_one(model, batch_size, nobs, pred_horizon, action_dim):
    with torch.inference_mode():
        rows = [model.sample_action(obs.flatten()[None]) for obs in nobs]
        return torch.cat(rows).view(batch_size, pred_horizon, action_dim)


def sampled_detached(model, batch_size, nobs, pred_horizon, action_dim):
    flat = model.sample_action(nobs.flatten(start_dim=-2)).detach().clamp(-1.0, 1.0)
    return flat.reshape(batch_size, pred_horizon, action_dim)


# Part III.


def schedule_by_steps(timesteps, s=0.008, dtype=torch.float32):
    def f(t):
        return math.cos((t / timesteps + s) / (1 + s) * math.pi / 2) ** 2

    return torch.tensor([min(1 - f(k + 1) / f(k), 0.999) for k in range(timesteps)], dtype=dtype)


def schedule_by_bars(timesteps, s=0.008, dtype=torch.float32):
    x = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64)
    bar = torch.cos(((x / timesteps) + s) / (1 + s) * torch.pi * 0.5).pow(2)
    bar = bar / bar[0]
    return torch.clip(1 - bar[1:] / bar[:-1], 0.0001 * 0, 0.999).to(dtype)


def schedule_by_double_angle(timesteps, s=0.008, dtype=torch.float32):
    x = np.pi * (np.linspace(0, 1, timesteps + 1) + s) / (1 + s)
    f = (1 + np.cos(x)) / 2
    return torch.from_numpy(np.minimum((f[:-1] - f[1:]) / f[:-1], 0.999)).to(dtype)


class Buffers(nn.Module):
    """The tables as buffers; steps looked up by `gather`."""

    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__()
        self.num_timesteps, self.clip_denoised = num_timesteps, clip_denoised
        self.output_bound = output_bound
        beta = schedule_by_steps(num_timesteps).to(device)
        self.register_buffer("beta_k", beta)
        self.register_buffer("alpha_k", torch.ones_like(beta) - beta)
        self.register_buffer("alpha_k_cumprod", self.products())
        before = F.pad(self.alpha_k_cumprod[:-1], (1, 0), value=1.0)
        self.register_buffer("alpha_k_cumprod_prev", before)

    def products(self):
        return self.alpha_k.cumprod(-1)

    def diffuse(self, a_start, k, noise):
        bar = self.alpha_k_cumprod.gather(0, k)[:, None, None]
        return torch.sqrt(bar) * a_start + torch.sqrt(1.0 - bar) * noise

    def mean(self, pred_epsilon, k, a_k):
        factor = self.beta_k[k] / torch.sqrt(1 - self.alpha_k_cumprod[k])
        return torch.rsqrt(self.alpha_k[k]) * (a_k - factor * pred_epsilon)

    def denoise(self, pred_epsilon, k, a_k):
        mean = self.mean(pred_epsilon, k, a_k)
        if k == 0:
            bound = self.output_bound if self.clip_denoised else math.inf
            return mean.clip(-bound, bound)
        share = (1 - self.alpha_k_cumprod_prev[k]) / (1 - self.alpha_k_cumprod[k])
        return mean + torch.randn(a_k.shape) * (share * self.beta_k[k]) ** 0.5


class LogProducts(Buffers):
    """Products by logarithms; chunks mixed in place."""

    def products(self):
        return self.alpha_k.double().log().cumsum(0).exp().float()

    def diffuse(self, a_start, k, noise):
        bar = self.alpha_k_cumprod[k].reshape(len(k), 1, 1)
        return a_start.clone().mul_(bar.sqrt()).addcmul_(noise, (1 - bar).sqrt())


class ByCleanChunk(Buffers):
    """The mean of the posterior from the clean chunk, which is cut off as the finished one is."""

    def diffuse(self, a_start, k, noise):
        return torch.stack(
            [
                self.alpha_k_cumprod[i].sqrt() * a + (1 - self.alpha_k_cumprod[i]).sqrt() * z
                for a, i, z in zip(a_start, k, noise)
            ]
        )

    def mean(self, pred_epsilon, k, a_k):
        bar, before = self.alpha_k_cumprod[k].double(), self.alpha_k_cumprod_prev[k].double()
        clean = (a_k - (1 - bar).sqrt() * pred_epsilon) / bar.sqrt()
        of_clean = before.sqrt() * self.beta_k[k] / (1 - bar)
        of_noisy = self.alpha_k[k].double().sqrt() * (1 - before) / (1 - bar)
        return (of_clean * clean + of_noisy * a_k).float()


def noise_loss(noise_like, error=F.mse_loss, steps=None):
    def ddpm_loss(model, scheduler, nobs, naction):
        batch, count = naction.shape[0], scheduler.num_timesteps
        k = steps(batch, count) if steps else torch.randint(high=count, size=(batch,))
        noise = noise_like(naction)
        noisy = scheduler.diffuse(naction, k, noise)
        return error(model(noisy, k, nobs.view(batch, -1)), noise)

    return ddpm_loss


def chain(steps, mode=torch.no_grad, start=torch.randn):
    def ddpm_inference(
        ema_model,
        ddpm_scheduler,
        batch_size,
        nobs,
        num_diffusion_iters,
        pred_horizon,
        action_dim,
        device,
    ):
        with mode():
            condition = nobs.flatten(1).to(device)
            chunk = start((batch_size, pred_horizon, action_dim))
            for k in steps(num_diffusion_iters):
                epsilon = ema_model(chunk, k, global_cond=condition)
                chunk = ddpm_scheduler.denoise(pred_epsilon=epsilon, k=k, a_k=chunk)
            return chunk

    return ddpm_inference


def ddim_from_ratio(pred_epsilon, k, k_prev, a_k, alpha_bar):
    bar = torch.cat([alpha_bar, alpha_bar.new_ones(1)]).double()  # bar[-1] is 1
    ratio = (bar[k_prev] / bar[k]).sqrt()
    noise = (1 - bar[k_prev]).sqrt() - ratio * (1 - bar[k]).sqrt()
    return ratio * a_k + noise * pred_epsilon


def ddim_by_floats(pred_epsilon, k, k_prev, a_k, alpha_bar):
    now, then = float(alpha_bar[k]), float(alpha_bar[k_prev]) if k_prev != -1 else 1.0
    clean = a_k.clone().sub_(pred_epsilon, alpha=math.sqrt(1 - now)).div_(math.sqrt(now))
    return clean.mul_(math.sqrt(then)).add_(pred_epsilon, alpha=math.sqrt(1 - then))


# Part IV: the architecture is the student's own.


def with_layers(make):
    """The class whose network is make(state_dim, action_dim * chunk_size, hidden_dims)."""
    return mse(net=lambda s, a, k, hidden: make(s, a * k, hidden))


def wide(s, out, activation, last=()):
    return nn.Sequential(
        nn.Linear(s, 40), activation, nn.Linear(40, 40), activation, *last, nn.Linear(40, out)
    )


class Recurrent(MSE):
    """A GRU that speaks one action after the other."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.read = nn.Linear(state_dim, 32)
        self.cell, self.head = nn.GRU(32, 32, batch_first=True), nn.Linear(32, action_dim)

    def sample_actions(self, state, *, num_steps=10):
        steps = self.read(state)[:, None].expand(-1, self.chunk_size, -1)
        return self.head(self.cell(steps)[0])


class Attention(MSE):
    """A learned query for each action, with one layer of attention."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.query = nn.Parameter(torch.randn(chunk_size, 16))
        self.read = nn.Linear(1, 16)
        self.place = nn.Parameter(torch.randn(state_dim, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, action_dim))

    def sample_actions(self, state, *, num_steps=10):
        seen = self.read(state[..., None]) + self.place
        query = self.query.expand(len(state), -1, -1)
        return self.head(query + self.attention(query, seen, seen)[0])


class Convolved(MSE):
    """A convolution over the chunk's steps."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.read = nn.Linear(state_dim, 16 * chunk_size)
        self.smooth = nn.Sequential(nn.SiLU(), nn.Conv1d(16, action_dim, 3, padding=1))

    def sample_actions(self, state, *, num_steps=10):
        return self.smooth(self.read(state).view(-1, 16, self.chunk_size)).transpose(1, 2)


class HeadForEachStep(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.trunk = nn.Sequential(nn.Linear(state_dim, 48), nn.ELU())
        self.heads = nn.ModuleList(nn.Linear(48, action_dim) for _ in range(chunk_size))

    def sample_actions(self, state, *, num_steps=10):
        trunk = self.trunk(state)
        return torch.stack([head(trunk) for head in self.heads], dim=1)


class ScaledTanh(MSE):
    """Bounded, but by far more than demonstrated chunks have."""

    def sample_actions(self, state, *, num_steps=10):
        return 10 * torch.tanh(super().sample_actions(state) / 10)


class ResidualBlocks(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.first = nn.Linear(state_dim, 32)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
            for _ in range(6)
        )
        self.last = nn.Linear(32, chunk_size * action_dim)

    def net(self, state):
        return self.last(
            functools.reduce(lambda x, block: x + block(x), self.blocks, self.first(state))
        )


def deep(s, out, hidden):
    layers = [nn.Linear(s, 64)]
    for _ in range(12):
        layers += [nn.ReLU(), nn.Linear(64, 64)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(64, out))


def normed(norm):
    def net(s, out, hidden):
        return nn.Sequential(norm(nn.Linear(s, 32)), nn.ReLU(), norm(nn.Linear(32, out)))

    return net


class TimeModulated(Flow):
    """The time scales and shifts the hidden layers (FiLM)."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        width = chunk_size * action_dim
        self.first, self.last = nn.Linear(state_dim + width, 64), nn.Linear(64, width)
        self.film = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 128))

    def velocity(self, state, a_tau, tau):
        scale, shift = self.film(tau.reshape(-1, 1)).chunk(2, dim=1)
        hidden = self.first(torch.hstack([state, a_tau.flatten(1)]))
        return self.last(F.silu(hidden * (1 + scale) + shift)).view_as(a_tau)


class SkippingVelocity(Flow):
    """What the network gives is added to the chunk; the loss is written out."""

    def velocity(self, state, a_tau, tau):
        return super().velocity(state, a_tau, tau) - a_tau

    def compute_loss(self, state, action_chunk):
        start = torch.empty(action_chunk.size()).normal_()
        tau = torch.zeros(len(state)).uniform_()
        mixed = torch.einsum("b,bka->bka", tau, action_chunk) + torch.einsum(
            "b,bka->bka", 1 - tau, start
        )
        error = (self.velocity(state, mixed, tau) + start - action_chunk).flatten(1)
        return torch.einsum("bi,bi->b", error, error).mean()


class SampleBySample(Flow):
    def compute_loss(self, state, action_chunk):
        noise = torch.stack([torch.randn_like(chunk) for chunk in action_chunk])
        tau = torch.rand_like(state[:, 0])
        mixed = torch.stack([t * a + (1 - t) * z for t, a, z in zip(tau, action_chunk, noise)])
        found = self.velocity(state, mixed, tau)
        return sum(F.mse_loss(v, a - z) for v, a, z in zip(found, action_chunk, noise)) / len(tau)


def by_closure(policy, loader, normalizer, logger, config):
    """An optimizer that calls a closure, steps counted by itertools, lists of due steps."""
    adam, counted = torch.optim.Adam(policy.parameters(), config.lr), itertools.count(1)
    total = config.num_epochs * len(loader)
    due = {*range(config.eval_interval, total + 1, config.eval_interval), total}
    for _epoch, (state, chunk) in itertools.product(range(config.num_epochs), list(loader)):

        def closure():
            adam.zero_grad()
            closure.loss = policy.compute_loss(state, chunk)
            closure.loss.backward()
            return closure.loss

        adam.step(closure)
        step = next(counted)
        if not step % config.log_interval:
            logger.log({"train/loss": closure.loss.item()}, step)
        if step in due:
            evaluated(policy, normalizer, logger, config, step)
    logger.dump_for_grading()


def by_autograd(policy, loader, normalizer, logger, config):
    """Gradients that autograd.grad returns, a mean of the last losses."""
    weights, step, losses = list(policy.parameters()), 0, []
    adam = torch.optim.Adam(weights, lr=config.lr, betas=(0.9, 0.999), eps=1e-8)
    while step < config.num_epochs * len(loader):
        for state, chunk in loader:
            loss = policy.compute_loss(state, chunk)
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
                weight.grad = gradient
            adam.step()
            step, losses = step + 1, [*losses, loss.detach()][-config.log_interval :]
            if step % config.log_interval == 0:
                mean = torch.stack(losses).mean().item()
                logger.log({"train/loss": mean}, step=step)
            if step % config.eval_interval == 0 and step < config.num_epochs * len(loader):
                evaluated(policy, normalizer, logger, config, step)
    evaluated(policy, normalizer, logger, config, step)
    logger.dump_for_grading()


def evaluated(policy, normalizer, logger, config, step):
    names = "device", "chunk_size", "video_size", "num_video_episodes", "flow_num_steps"
    settings = {name: getattr(config, name) for name in names}
    policy.eval()
    with torch.no_grad():
        evaluate_policy(policy, normalizer, step=step, logger=logger, **settings)
    policy.train()


def integrated_by_reduce(self, state, *, num_steps=10):
    def step(a, i):
        tau = torch.zeros(len(state)).fill_(i / num_steps)
        return a + self.velocity(state, a, tau).div(num_steps)

    start = torch.randn(state.shape[0], self.chunk_size, self.action_dim)
    return functools.reduce(step, range(num_steps), start)


def integrated_with_a_clock(self, state, *, num_steps=10):
    a = torch.empty(len(state), self.chunk_size, self.action_dim).normal_()
    tau, h = torch.zeros(len(state), dtype=torch.float64), 1 / num_steps
    for _ in range(num_steps):
        a = torch.add(a, self.velocity(state, a, tau.float()), alpha=h)
        tau += h
    return a


def midpoint_in_words(velocity, state, a_tau, tau, h):
    first = velocity(state, a_tau, tau)
    half_way = torch.add(a_tau, first, alpha=h / 2)
    return torch.lerp(a_tau, a_tau + velocity(state, half_way, tau + 0.5 * h), h)


def midpoint_in_float64(velocity, state, a_tau, tau, h):
    half = a_tau.double() + 0.5 * h * velocity(state, a_tau, tau).double()
    moved = a_tau.double() + h * velocity(state, half.to(a_tau.dtype), tau.add(h / 2)).double()
    return moved.to(a_tau.dtype)


# The optional experiments.


def paired_by_sums(a, b):
    n, total = len(a), np.sum(b) - np.sum(a)
    squares = np.dot(b - a, b - a) - total**2 / n
    either = -special.stdtrit(n - 1, 0.025) * np.sqrt(squares / (n * (n - 1)))
    return [total / n, total / n - either, total / n + either]


def paired_by_statistics(a, b):
    d = (b - a).tolist()
    mean, error = statistics.fmean(d), statistics.stdev(d) / math.sqrt(len(d))
    t = scipy.stats.t.isf(0.05 / 2, df=len(d) - 1)
    return mean, mean - t * error, mean + t * error


def paired_by_quantiles(a, b):
    d = np.subtract(b, a)
    quantiles = scipy.stats.t(d.size - 1).ppf(np.array([0.5, 0.025, 0.975]))
    return tuple(np.mean(d) + quantiles * scipy.stats.sem(d))


def modes_by_power(chunks, gap=15.0, least=4):
    rows = chunks.reshape(len(chunks), -1) - chunks.mean(axis=0).reshape(-1)
    v = rows[np.argmax(np.linalg.norm(rows, axis=1))]
    for _ in range(300):
        v = rows.T @ (rows @ v)
        v = v / (np.linalg.norm(v) or 1.0)
    along = sorted((rows @ v / math.sqrt(chunks.shape[1])).tolist())

    def ways(start):
        end = start + 1
        while end < len(along) and along[end] - along[end - 1] <= gap:
            end += 1
        return (end - start >= least) + (ways(end) if end < len(along) else 0)

    return ways(0)


def modes_by_counter(chunks, gap=15.0, least=4):
    n, steps, dims = chunks.shape
    rows = chunks.reshape(n, steps * dims)
    covariance = np.cov(rows, rowvar=False, bias=True)
    along = np.sort((rows - rows.mean(0)) @ np.linalg.eigh(covariance).eigenvectors[:, -1])
    group = collections.Counter(np.insert(np.cumsum(np.ediff1d(along) > gap * steps**0.5), 0, 0))
    return sum(1 for size in group.values() if size >= least)


def executed_by_mask(chunk, action_horizon, obs_horizon=1):
    steps = np.arange(chunk.shape[1])
    mask = (steps >= obs_horizon - 1) & (steps < obs_horizon - 1 + action_horizon)
    if mask.sum() < action_horizon:
        raise ValueError(f"{mask.sum()} actions are left of {action_horizon}.")
    return chunk[:, mask]


def executed_by_split(chunk, action_horizon, obs_horizon=1):
    start = obs_horizon - 1
    _, middle, rest = np.split(chunk, [start, start + action_horizon], axis=1)
    if len(middle[0]) != action_horizon:
        raise ValueError("too few")
    return middle


# The later extensions of Parts I and IV.


def distance_by_complex(states, demonstrated, radius):
    around = np.exp(1j * states[:, None, 4]) / np.exp(1j * demonstrated[None, :, 4])
    moved = states[:, None, :4] - demonstrated[None, :, :4]
    squares = np.einsum("tni,tni->tn", moved, moved) + (radius * np.angle(around)) ** 2
    return np.sqrt(np.sort(squares, axis=1)[:, 0])


def distance_by_turns(states, demonstrated, radius):
    turns = 2 * np.pi * np.arange(-4, 5)[:, None, None]
    turn = np.abs(states[:, 4][:, None] - demonstrated[:, 4] + turns).min(axis=0)
    places = ((states[:, None] - demonstrated[None])[..., :-1] ** 2).sum(axis=2)
    return ((places + (radius * turn) ** 2) ** 0.5).min(axis=1)


def relabelled_by_take(states, actions, times, expert):
    seen = states.take(times[:, None] + [-1, 0], axis=0)
    chunks = np.empty((len(times), 16, 2))
    chunks[:, 0] = actions.take(times - 1, axis=0)
    chunks[:, 1:] = expert(seen)
    return seen, chunks


def relabelled_by_windows(states, actions, times, expert):
    pairs = np.lib.stride_tricks.sliding_window_view(states, 2, axis=0).transpose(0, 2, 1)
    seen = np.array(pairs[times - 1])
    return seen, np.hstack([np.expand_dims(actions[times - 1], 1), expert(seen)])


def split_by_sets(episode_ends, count, generator):
    starts = [0, *episode_ends[:-1].tolist()]
    chosen = {int(i) for i in generator.permutation(len(episode_ends))[:count]}
    sides = [[], []]
    for i, (start, end) in enumerate(zip(starts, episode_ends.tolist(), strict=True)):
        sides[i not in chosen] += range(start, end)
    return tuple(np.array(side, dtype=int) for side in sides)


def split_by_digitize(episode_ends, count, generator):
    steps = np.arange(episode_ends[-1])
    order = generator.permutation(len(episode_ends))
    place = np.argsort(order)[np.digitize(steps, episode_ends)]
    return steps[place < count], steps[place >= count]


RIGHT = {
    "Q1.1": table(
        ("filled into an array", widths_by_steps),
        ("chained", widths_chained),
    ),
    "Q1.2": table(
        ("sample by sample, summed", bc_by_samples),
        ("einsum, joined by steps", bc_by_einsum),
        ("float64 inside", bc_in_float64),
        ("in place", bc_in_place),
        ("vmap", bc_by_vmap),
        ("Gaussian likelihood", bc_by_likelihood),
        ("torch.dist", bc_by_norm),
    ),
    "Q1.3": table(
        ("inference mode, unflatten", acts_in_inference_mode),
        ("one by one", acts_one_by_one),
        ("through numpy", acts_through_numpy),
        ("clipped to [-1, 1]", acts_and_clips),
    ),
    "E1.1": table(("complex numbers, stacked", angle_by_complex), ("filled in", angle_in_place)),
    "E1.2": table(
        ("softmax and einsum", ensemble_by_softmax),
        ("prediction by prediction", ensemble_by_steps),
        ("np.average", ensemble_by_average),
    ),
    "E1.3": table(
        ("sums, a list", paired_by_sums),
        ("statistics module", paired_by_statistics),
        ("quantile of both sides, a tuple of arrays", paired_by_quantiles),
    ),
    "E1.4": table(("complex numbers, sorted", distance_by_complex), ("turns", distance_by_turns)),
    "E1.5": table(("take, filled in", relabelled_by_take), ("windows", relabelled_by_windows)),
    "Q2.1": table(
        ("Independent Normal", DistributionAgent),
        ("noise in place, expanded zeros", InPlaceAgent),
        ("addcmul, a list", FusedAgent),
    ),
    "Q2.2": table(
        ("torch.distributions", kl_by_torch),
        ("latent by latent", kl_by_latents),
        ("einsum and expm1", kl_by_einsum),
        ("float64 inside", kl_in_float64),
        ("trace and determinant", kl_by_covariance),
    ),
    "Q2.3": table(
        ("torch.distributions", cvae_loss_with(kl_by_torch)),
        ("float64 divergence", cvae_loss_with(kl_in_float64)),
        ("mean of squares", cvae_loss_with(kl_by_einsum, lambda p, a: ((p - a) ** 2).mean())),
        (
            "mean of means",
            cvae_loss_with(kl_by_latents, lambda p, a: (a - p).square().mean(1).mean()),
        ),
    ),
    "Q2.4": table(
        ("one by one, inference mode", sampled_one_by_one),
        ("detached and clipped", sampled_detached),
    ),
    "E2.1": table(
        ("Q2.2 over the batch", lambda mu, logvar: kl_by_torch(mu, logvar) / len(mu)),
        (
            "logsumexp of nothing, float64",
            lambda mu, logvar: kl_in_float64(mu, logvar) / mu.size(0),
        ),
    ),
    "E2.2": table(
        ("power iteration, recursion", modes_by_power),
        ("np.cov, Counter", modes_by_counter),
    ),
    "Q3.1": table(
        ("step by step", schedule_by_steps),
        ("alpha-bars in torch", schedule_by_bars),
        ("double angle", schedule_by_double_angle),
    ),
    "Q3.2": table(
        ("buffers and gather", Buffers),
        ("products by logarithms", LogProducts),
        ("from the clean chunk, float64", ByCleanChunk),
    ),
    "Q3.3": table(
        ("positional arguments", noise_loss(torch.randn_like)),
        ("noise in place", noise_loss(lambda a: torch.empty_like(a).normal_())),
        (
            "numpy's noise and steps",
            noise_loss(
                lambda a: torch.tensor(np.random.randn(*a.shape), dtype=a.dtype),
                steps=lambda b, n: torch.from_numpy(np.random.randint(0, n, b)),
            ),
        ),
        (
            "steps by multinomial",
            noise_loss(
                torch.randn_like, steps=lambda b, n: torch.ones(n).multinomial(b, replacement=True)
            ),
        ),
        (
            "squares by hand",
            noise_loss(lambda a: torch.randn(a.shape), lambda p, z: torch.mean((z - p) ** 2)),
        ),
    ),
    "Q3.4": table(
        ("range downwards", chain(lambda n: range(n - 1, -1, -1))),
        ("inference mode, flipped", chain(lambda n: range(n)[::-1], torch.inference_mode)),
        ("steps as tensors", chain(lambda n: torch.arange(n).flip(0))),
        (
            "start in place",
            chain(lambda n: reversed(range(n)), start=lambda shape: torch.empty(shape).normal_()),
        ),
    ),
    "E3.1": table(("from the ratio", ddim_from_ratio), ("numbers, in place", ddim_by_floats)),
    "Q4.1": table(
        ("GELU, hidden_dims ignored", with_layers(lambda s, out, h: wide(s, out, nn.GELU()))),
        (
            "SELU and dropout",
            with_layers(lambda s, out, h: wide(s, out, nn.SELU(), [nn.Dropout()])),
        ),
        ("leaky ReLU", with_layers(lambda s, out, h: wide(s, out, nn.LeakyReLU()))),
        ("softplus", with_layers(lambda s, out, h: wide(s, out, nn.Softplus()))),
        (
            "Mish behind a norm of the state",
            with_layers(
                lambda s, out, h: nn.Sequential(nn.BatchNorm1d(s), *wide(s, out, nn.Mish()))
            ),
        ),
        (
            "a norm behind the last layer",
            with_layers(
                lambda s, out, h: nn.Sequential(*wide(s, out, nn.ReLU()), nn.BatchNorm1d(out))
            ),
        ),
        ("fourteen layers", with_layers(deep)),
        ("weight norm", with_layers(normed(parametrizations.weight_norm))),
        ("spectral norm", with_layers(normed(parametrizations.spectral_norm))),
        ("a GRU", Recurrent),
        ("attention", Attention),
        ("a convolution", Convolved),
        ("a head for each step", HeadForEachStep),
        ("tanh of wide bounds", ScaledTanh),
        ("residual blocks", ResidualBlocks),
        (
            "einsum",
            mse(
                lambda self, state, a: (lambda e: torch.einsum("bka,bka->", e, e) / e.numel())(
                    self.sample_actions(state) - a
                )
            ),
        ),
        (
            "Huber with a wide middle",
            mse(
                lambda self, state, a: 2 * F.huber_loss(self.sample_actions(state), a, delta=100.0)
            ),
        ),
    ),
    "Q4.2": table(("a closure", by_closure), ("autograd.grad, mean of losses", by_autograd)),
    "Q4.3": table(
        ("time modulates", TimeModulated),
        ("chunk subtracted, einsum", SkippingVelocity),
        ("sample by sample", SampleBySample),
        ("nn.MSELoss", changed(loss=nn.MSELoss())),
        ("lerp", changed(mix=lambda a, n, t: torch.lerp(n, a, t))),
    ),
    "Q4.4": table(
        ("reduce", of_self(sample_actions=integrated_by_reduce)),
        ("a clock in float64", of_self(sample_actions=integrated_with_a_clock)),
        ("numpy's times", euler(taus=lambda n: np.arange(0, n) / n)),
        ("time modulates", TimeModulated),
    ),
    "E4.1": table(("in words", midpoint_in_words), ("float64 inside", midpoint_in_float64)),
    "E4.2": table(("a mask", executed_by_mask), ("np.split", executed_by_split)),
    "E4.3": table(("sets of numbers", split_by_sets), ("digitize, places", split_by_digitize)),
}
WRONG = {}
