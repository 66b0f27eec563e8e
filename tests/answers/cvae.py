"""Right and wrong answers to the questions of Part II, with what the hints must say.

Each table is a list of `Row`s; RIGHT and WRONG hold the tables by question.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from answers import bounded, table, unanswered
from pusht.networks import MLP

not_answered = unanswered("Q2.1")


# Q2.1, the agent.


class Encoder(nn.Module):
    def __init__(self, dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim):
        super().__init__()
        self.body = MLP([obs_horizon * obs_dim + pred_horizon * action_dim, *dim_list])
        self.mu, self.logvar = (
            nn.Linear(dim_list[-1], latent_dim),
            nn.Linear(dim_list[-1], latent_dim),
        )

    def forward(self, obs, action):
        hidden = self.body(torch.cat([obs, action], dim=1))
        return self.mu(hidden), self.logvar(hidden)


class Decoder(nn.Module):
    def __init__(self, dim_list, obs_dim, obs_horizon, action_dim, pred_horizon, latent_dim):
        super().__init__()
        self.body = MLP([obs_horizon * obs_dim + latent_dim, *dim_list])
        self.out = nn.Linear(dim_list[-1], pred_horizon * action_dim)

    def forward(self, obs, z):
        return self.out(self.body(torch.cat([obs, z], dim=1)))


class Agent(nn.Module):
    """The notebook's, answered."""

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

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + std * torch.randn_like(std)

    def sample_action(self, obs):
        return self.decoder(obs, torch.zeros(len(obs), self.latent_dim, device=obs.device))

    def forward(self, obs, action):
        mu, logvar = self.encoder(obs, action)
        return self.decoder(obs, self.reparameterize(mu, logvar)), mu, logvar


def draws(z_of):
    """The answer that draws its latent so: z_of(mu, logvar)."""
    return type(
        "CVAEAgent", (Agent,), {"reparameterize": lambda self, mu, logvar: z_of(mu, logvar)}
    )


def acts(sample_action):
    return type("CVAEAgent", (Agent,), {"sample_action": sample_action})


def goes(forward):
    """The answer with this forward."""
    return type("CVAEAgent", (Agent,), {"forward": forward})


def returns(of_outputs):
    """The answer whose forward makes something else of (action, mu, logvar)."""
    return goes(lambda self, obs, action: of_outputs(*Agent.forward(self, obs, action)))


def zeros(self, obs):
    return torch.zeros(len(obs), self.latent_dim)


def seeded(mu, logvar):
    torch.manual_seed(0)
    return mu + torch.exp(logvar / 2) * torch.randn_like(mu)


def strays_for_few(mu, logvar):
    scale = 1 if len(mu) > 9 else 99
    return mu + scale * torch.exp(0.5 * logvar) * torch.randn_like(mu)


def halves_in_place(self, obs, action):
    mu, logvar = self.encoder(obs, action)
    z = mu + logvar.mul_(0.5).exp_() * torch.randn_like(mu)
    return self.decoder(obs, z), mu, logvar


def decodes_mean_of(self, obs):
    mu, logvar = self.encoder(obs, torch.zeros(len(obs), 32))
    return self.decoder(obs, mu)


def second_call_other(self, obs, action):
    self.calls = getattr(self, "calls", 0) + 1
    outputs = Agent.forward(self, obs, action)
    return outputs if self.calls == 1 else (outputs[0][:1], *outputs[1:])


class OtherArguments(Agent):
    def __init__(self, dims, latent_dim):
        nn.Module.__init__(self)


class NoNetworks(Agent):
    def __init__(self, **sizes):
        nn.Module.__init__(self)


class NoModule:
    def __init__(self, **sizes):
        pass


class ForwardOnly(Agent):
    sample_action = not_answered


class ActingOnly(Agent):
    forward = not_answered


class Misspelt(Agent):
    sample_action = property(lambda self: self.sample_actions)


SMALL = {"obs_dim": 5, "obs_horizon": 2, "action_dim": 2, "pred_horizon": 16, "latent_dim": 4}
NOT_ZERO = "another latent than zero"
NOT_NORMAL = "z is not drawn from a normal"

WRONG_AGENTS = table(
    # how z is drawn
    ("z is mu", draws(lambda mu, logvar: mu), "this is z = mu"),
    (
        "nothing random",
        draws(lambda mu, logvar: mu + torch.exp(0.5 * logvar)),
        "this is z = mu + sigma",
    ),
    ("z zero in training", draws(lambda mu, logvar: 0 * mu), "that is for acting"),
    (
        "variance for spread",
        draws(lambda mu, logvar: mu + logvar.exp() * torch.randn_like(mu)),
        "exp(logvar) is the variance",
    ),
    (
        "logvar for spread",
        draws(lambda mu, logvar: mu + logvar * torch.randn_like(mu)),
        "logvar itself is no spread",
    ),
    (
        "Normal's scale is the variance",
        draws(lambda mu, logvar: Normal(mu, logvar.exp()).rsample()),
        "exp(logvar) is the variance",
    ),
    (
        "noise not scaled",
        draws(lambda mu, logvar: mu + torch.randn_like(mu)),
        "not multiplied by sigma",
    ),
    (
        "sign of logvar",
        draws(lambda mu, logvar: mu + torch.exp(-0.5 * logvar) * torch.randn_like(mu)),
        "with a plus",
    ),
    (
        "a quarter",
        draws(lambda mu, logvar: mu + torch.exp(0.25 * logvar) * torch.randn_like(mu)),
        "this is a quarter",
    ),
    (
        "twice the spread",
        draws(lambda mu, logvar: mu + 2 * torch.exp(0.5 * logvar) * torch.randn_like(mu)),
        "z = mu + exp(logvar / 2)",
    ),
    (
        "mu not added",
        draws(lambda mu, logvar: torch.exp(0.5 * logvar) * torch.randn_like(mu)),
        "mu is not added",
    ),
    ("plain noise", draws(lambda mu, logvar: torch.randn_like(mu)), "this is plain noise"),
    (
        "uniform noise",
        draws(lambda mu, logvar: mu + torch.exp(0.5 * logvar) * torch.rand_like(mu)),
        "torch.rand is uniform",
    ),
    (
        "one noise for the batch",
        draws(lambda mu, logvar: mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape[1])),
        "all samples share",
    ),
    (
        "one noise for the dimensions",
        draws(lambda mu, logvar: mu + torch.exp(0.5 * logvar) * torch.randn(len(mu), 1)),
        "all latent dimensions share",
    ),
    (
        "mu and logvar swapped",
        draws(lambda mu, logvar: logvar + torch.exp(0.5 * mu) * torch.randn_like(mu)),
        "the wrong way round",
    ),
    (
        "root of logvar",
        draws(lambda mu, logvar: mu + logvar.sqrt() * torch.randn_like(mu)),
        "logvar may be negative",
    ),
    ("the same noise every time", draws(seeded), "set no seed"),
    (
        "sample for rsample",
        draws(lambda mu, logvar: Normal(mu, torch.exp(0.5 * logvar)).sample()),
        "Normal has rsample",
    ),
    ("z detached", draws(lambda mu, logvar: seeded(mu, logvar).detach()), "set no seed"),
    (
        "noise floor",
        draws(lambda mu, logvar: mu + (torch.exp(0.5 * logvar) + 0.3) * torch.randn_like(mu)),
        NOT_NORMAL,
    ),
    (
        "small sigmas left out",
        draws(lambda mu, logvar: mu + torch.exp(0.5 * logvar.clamp(min=-6)) * torch.randn_like(mu)),
        "further from mu than its standard deviation",
    ),
    ("large sigmas for few", draws(strays_for_few), "further from mu than its standard deviation"),
    (
        "sigma detached",
        draws(lambda mu, logvar: mu + torch.exp(0.5 * logvar).detach() * torch.randn_like(mu)),
        "gradient of forward's action with respect to logvar",
    ),
    (
        "mu detached",
        draws(lambda mu, logvar: mu.detach() + torch.exp(0.5 * logvar) * torch.randn_like(mu)),
        "gradient of forward's action with respect to mu",
    ),
    # forward
    (
        "decoder's inputs swapped",
        goes(lambda self, obs, action: (self.decoder(self.encoder(obs, action)[0], obs), 0, 0)),
        "wrong way round",
    ),
    (
        "encoder's inputs swapped",
        goes(lambda self, obs, action: self.encoder(action, obs)),
        "wrong way round",
    ),
    (
        "encoder not given the action",
        goes(lambda self, obs, action: self.encoder(obs)),
        "the encoder takes obs",
    ),
    (
        "encoder given one tensor",
        goes(lambda self, obs, action: self.encoder(torch.cat([obs, action], 1))),
        "action is missing",
    ),
    (
        "encoder given the observations twice",
        goes(lambda self, obs, action: self.encoder(obs, obs)),
        "the encoder takes obs",
    ),
    (
        "encoder given no actions",
        goes(lambda self, obs, action: Agent.forward(self, obs, 0 * action)),
        "mu is not what the encoder",
    ),
    (
        "decoder given mu and logvar",
        goes(lambda self, obs, action: self.decoder(obs, self.encoder(obs, action))),
        "tensors are needed",
    ),
    (
        "decoder given z alone",
        goes(lambda self, obs, action: self.decoder(self.encoder(obs, action)[0])),
        "z is missing",
    ),
    (
        "decoder given three",
        goes(lambda self, obs, action: self.decoder(obs, *self.encoder(obs, action))),
        "the decoder takes obs",
    ),
    ("only the action", returns(lambda action, mu, logvar: action), "return three tensors"),
    (
        "the action and z",
        returns(lambda action, mu, logvar: (action, mu)),
        "forward returned 2 things",
    ),
    ("nothing", returns(lambda action, mu, logvar: None), "forward returned a NoneType"),
    ("mu first", returns(lambda action, mu, logvar: (mu, logvar, action)), "the order is"),
    (
        "logvar before mu",
        returns(lambda action, mu, logvar: (action, logvar, mu)),
        "this is logvar",
    ),
    (
        "sigma for logvar",
        returns(lambda action, mu, logvar: (action, mu, torch.exp(0.5 * logvar))),
        "this is sigma",
    ),
    (
        "variance for logvar",
        returns(lambda action, mu, logvar: (action, mu, logvar.exp())),
        "this is the variance",
    ),
    (
        "z for mu",
        goes(
            lambda self, obs, action: (
                lambda mu, logvar, noise: (self.decoder(obs, mu + noise), mu + noise, logvar)
            )(*self.encoder(obs, action), 0.3)
        ),
        "this is z",
    ),
    ("logvar halved in place", goes(halves_in_place), "this is sigma"),
    (
        "numbers for tensors",
        returns(lambda action, mu, logvar: (action, 0.0, 0.0)),
        "returned a float where a tensor",
    ),
    (
        "averages",
        returns(lambda action, mu, logvar: (action, mu.mean(), logvar.mean())),
        "each (2048, ",
    ),
    (
        "chunk not flat",
        returns(lambda action, mu, logvar: (action.unflatten(1, (-1, 1)), mu, logvar)),
        "needed are the decoder's",
    ),
    (
        "squashed",
        returns(lambda action, mu, logvar: (action.tanh(), mu, logvar)),
        "actions are not what the decoder gives",
    ),
    ("another number of rows next time", goes(second_call_other), "needed are the decoder's"),
    (
        "actions detached",
        returns(lambda action, mu, logvar: (action.detach(), mu, logvar)),
        "nothing between the encoder",
    ),
    (
        "mu returned detached",
        returns(lambda action, mu, logvar: (action, mu.detach(), logvar)),
        "the KL term needs its gradient",
    ),
    (
        "logvar returned detached",
        returns(lambda action, mu, logvar: (action, mu, logvar.detach())),
        "the KL term needs its",
    ),
    ("forward under no_grad", goes(torch.no_grad()(Agent.forward)), "No gradient reaches"),
    ("forward not answered", ActingOnly, "ot answered yet"),
    # sample_action
    (
        "z drawn when acting",
        acts(lambda self, obs: self.decoder(obs, torch.randn(len(obs), self.latent_dim))),
        "draw nothing when",
    ),
    (
        "a little noise when acting",
        acts(lambda self, obs: self.decoder(obs, zeros(self, obs) + 0.01 * torch.rand(1))),
        NOT_ZERO,
    ),
    (
        "ones when acting",
        acts(lambda self, obs: self.decoder(obs, 1 + zeros(self, obs))),
        "it is ones",
    ),
    ("mean of the encoder when acting", acts(decodes_mean_of), "no actions to show it"),
    (
        "forward when acting",
        acts(lambda self, obs: self(obs, torch.zeros(len(obs), 32))[0]),
        "no actions to show it",
    ),
    (
        "encoder asked with nothing",
        acts(lambda self, obs: self.decoder(obs, self.encoder(obs)[0])),
        "no actions to show it",
    ),
    (
        "latent hard-coded",
        acts(lambda self, obs: self.decoder(obs, torch.zeros(len(obs), 32))),
        "z is latent_dim wide",
    ),
    (
        "batch hard-coded",
        acts(lambda self, obs: self.decoder(obs, torch.zeros(1, self.latent_dim))),
        "a row for every sample",
    ),
    (
        "one latent",
        acts(lambda self, obs: self.decoder(obs, torch.zeros(self.latent_dim))),
        "one flat row per sample",
    ),
    ("a number for the latent", acts(lambda self, obs: self.decoder(obs, 0)), "tensors are needed"),
    ("no latent", acts(lambda self, obs: self.decoder(obs)), "z is missing"),
    (
        "swapped when acting",
        acts(lambda self, obs: self.decoder(zeros(self, obs), obs)),
        "wrong way round",
    ),
    (
        "numpy's doubles",
        acts(
            lambda self, obs: self.decoder(
                obs, torch.from_numpy(np.zeros((len(obs), self.latent_dim)))
            )
        ),
        "dtype",
    ),
    (
        "actions and latent",
        acts(lambda self, obs: (self.decoder(obs, zeros(self, obs)), zeros(self, obs))),
        "returned 2 things",
    ),
    ("nothing when acting", acts(lambda self, obs: None), "sample_action returned a NoneType"),
    (
        "one sample when acting",
        acts(lambda self, obs: Agent.sample_action(self, obs)[:1]),
        "for the whole batch",
    ),
    (
        "last sample for all",
        acts(lambda self, obs: self.decoder(obs[-1:].expand_as(obs), zeros(self, obs))),
        "sample_action's actions",
    ),
    (
        "squashed when acting",
        acts(lambda self, obs: Agent.sample_action(self, obs).tanh()),
        "sample_action's actions are not",
    ),
    (
        "not finite when acting",
        acts(lambda self, obs: Agent.sample_action(self, obs) / 0),
        "sample_action's actions are not",
    ),
    (
        "observations cleared in place",
        acts(lambda self, obs: Agent.sample_action(self, obs.zero_())),
        "sample_action's actions",
    ),
    ("sample_action not answered", ForwardOnly, "ot answered yet"),
    ("sample_action misspelt", Misspelt, "AttributeError"),
    # the class
    ("an agent, not the class", Agent([8], [8], **SMALL), "hand over the class"),
    ("other arguments", OtherArguments, "leave the function's name and arguments"),
    ("no networks", NoNetworks, "no encoder or no decoder"),
    ("no Module", NoModule, "leave the class an nn.Module"),
    ("a function", lambda **sizes: None, "gave a NoneType"),
    ("not answered", not_answered, "ot answered yet"),
)


class WithNewZeros(Agent):
    def sample_action(self, obs):
        batch_size = obs.shape[0]
        z = obs.new_zeros((batch_size, self.latent_dim))
        action = self.decoder(obs, z)
        return action


class WithDistribution(Agent):
    @torch.no_grad()
    def sample_action(self, obs):
        return self.decoder(obs=obs, z=torch.zeros((obs.size(0), self.latent_dim)).to(obs.device))

    def forward(self, obs, action):
        mu, logvar = self.encoder(obs=obs, action=action)
        z = Normal(mu, logvar.exp().sqrt()).rsample()
        return self.decoder(z=z, obs=obs), mu, logvar


class OnItsOwn(Agent):
    def forward(self, obs, action):
        mu, logvar = self.encoder(obs, action)
        batch_size, latent_dim = mu.shape
        epsilon = torch.randn(batch_size, latent_dim)
        sigma = (logvar / 2).exp()
        prediction = self.decoder(obs, epsilon * sigma + mu)
        return prediction, mu, logvar


class OneAfterAnother(Agent):
    def sample_action(self, obs):
        return torch.cat([self.decoder(row[None], torch.zeros(1, self.latent_dim)) for row in obs])


class InPlace(Agent):
    def sample_action(self, obs):
        action = Agent.sample_action(self, obs)
        obs.zero_()
        return action

    def forward(self, obs, action):
        mu, logvar = self.encoder(obs, action)
        z = torch.randn_like(mu).mul_(torch.exp(0.5 * logvar)).add_(mu)
        prediction = self.decoder(obs, z)
        action.zero_()
        return [prediction, mu, logvar]


RIGHT_AGENTS = table(
    ("the notebook's", Agent),
    ("new_zeros", WithNewZeros),
    ("Normal and keywords", WithDistribution),
    ("own reparameterisation", OnItsOwn),
    ("one after another", OneAfterAnother),
    ("in place, a list", InPlace),
    (
        "zeros of integers",
        acts(
            lambda self, obs: self.decoder(
                obs, torch.zeros(len(obs), self.latent_dim, dtype=torch.long)
            )
        ),
    ),
    (
        "zeros expanded",
        acts(
            lambda self, obs: self.decoder(
                obs, torch.zeros(1, self.latent_dim).expand(len(obs), -1)
            )
        ),
    ),
    (
        "noise subtracted",
        draws(lambda mu, logvar: mu - logvar.exp().sqrt() * torch.randn(mu.size())),
    ),
    (
        "torch.normal",
        draws(lambda mu, logvar: mu + torch.exp(logvar / 2) * torch.normal(0.0, 1.0, mu.shape)),
    ),
    (
        "standard Normal",
        draws(lambda mu, logvar: mu + torch.exp(logvar / 2) * Normal(0, 1).sample(mu.shape)),
    ),
    (
        "numpy's noise",
        draws(
            lambda mu, logvar: (
                mu + torch.exp(logvar / 2) * torch.from_numpy(np.random.randn(*mu.shape)).float()
            )
        ),
    ),
    (
        "a little added to sigma",
        draws(lambda mu, logvar: mu + (torch.exp(logvar / 2) + 1e-6) * torch.randn_like(mu)),
    ),
    (
        "smallest sigmas left out",
        draws(
            lambda mu, logvar: mu + torch.exp(0.5 * logvar.clamp(-10, 10)) * torch.randn_like(mu)
        ),
    ),
    ("built by a function", lambda **sizes: Agent(**sizes)),
)


# Q2.2, the KL divergence.


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())


def terms(of):
    """The answer that sums of(mu, logvar) up."""
    return lambda mu, logvar: of(mu, logvar).sum()


def half(of):
    return lambda mu, logvar: 0.5 * of(mu, logvar).sum()


def per_entry(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def kl_without_gradient(mu, logvar):
    with torch.no_grad():
        return kl(mu, logvar)


def switches_gradients_off(*args):
    torch.set_grad_enabled(False)
    return (kl if len(args) == 2 else loss)(*args)


def prints(mu, logvar):
    print(kl(mu, logvar))


def clears_first(mu, logvar):
    return kl(mu.data.zero_(), logvar.data.zero_())


WRONG_KLS = table(
    ("without the half", lambda mu, logvar: 2 * kl(mu, logvar), "the half is missing."),
    ("sign flipped", lambda mu, logvar: -kl(mu, logvar), "the sign is flipped: a divergence"),
    (
        "neither half nor sign",
        lambda mu, logvar: (1 + logvar - mu**2 - logvar.exp()).sum(),
        "half is missing and the sign is",
    ),
    ("mean", lambda mu, logvar: per_entry(mu, logvar).mean(), "averaged over everything"),
    (
        "mean over the batch",
        lambda mu, logvar: per_entry(mu, logvar).sum(dim=1).mean(),
        "averaged over the batch",
    ),
    (
        "mean over the dimensions",
        lambda mu, logvar: per_entry(mu, logvar).mean(dim=1).sum(),
        "averaged over the latent dimensions",
    ),
    ("per sample", lambda mu, logvar: per_entry(mu, logvar).sum(dim=1), "sum over the batch too"),
    (
        "per sample, kept",
        lambda mu, logvar: per_entry(mu, logvar).sum(dim=1, keepdim=True),
        "sum over the batch too",
    ),
    (
        "per dimension",
        lambda mu, logvar: per_entry(mu, logvar).sum(dim=0),
        "sum over the latent dimensions too",
    ),
    ("no sum", per_entry, "sum over both dimensions"),
    (
        "logvar for the variance",
        half(lambda mu, logvar: mu**2 + logvar - 1 - logvar),
        "the two cancel",
    ),
    (
        "variance for its logarithm",
        half(lambda mu, logvar: mu**2 + logvar.exp() - 1 - logvar.exp()),
        "the two cancel",
    ),
    (
        "logvar as a variance",
        half(lambda mu, logvar: mu**2 + logvar - 1 - logvar.log()),
        "has no logarithm",
    ),
    (
        "logvar as log sigma",
        half(lambda mu, logvar: mu**2 + (2 * logvar).exp() - 1 - 2 * logvar),
        "taken for log sigma",
    ),
    (
        "sigma for sigma squared",
        half(lambda mu, logvar: mu**2 + (logvar / 2).exp() - 1 - logvar),
        "sigma stands where sigma²",
    ),
    (
        "variance squared",
        half(lambda mu, logvar: mu**2 + logvar.exp() ** 2 - 1 - logvar),
        "squared once too often",
    ),
    (
        "logvar halved",
        half(lambda mu, logvar: mu**2 + logvar.exp() - 1 - logvar / 2),
        "logvar is halved",
    ),
    (
        "Normal of the variance",
        lambda mu, logvar: torch.distributions.kl_divergence(
            Normal(mu, logvar.exp()), Normal(0, 1)
        ).sum(),
        "taken for log sigma",
    ),
    (
        "mu not squared",
        half(lambda mu, logvar: mu + logvar.exp() - 1 - logvar),
        "mu is not squared",
    ),
    ("mu left out", half(lambda mu, logvar: logvar.exp() - 1 - logvar), "mu is left out"),
    (
        "sign of mu",
        half(lambda mu, logvar: logvar.exp() - mu**2 - 1 - logvar),
        "mu² has the wrong sign",
    ),
    ("one forgotten", half(lambda mu, logvar: mu**2 + logvar.exp() - logvar), "the 1 is forgotten"),
    (
        "one added",
        half(lambda mu, logvar: mu**2 + logvar.exp() + 1 - logvar),
        "the 1 has the wrong sign",
    ),
    ("logvar left out", half(lambda mu, logvar: mu**2 + logvar.exp() - 1), "logvar is left out"),
    (
        "sign of logvar",
        half(lambda mu, logvar: mu**2 + logvar.exp() - 1 + logvar),
        "logvar has the wrong sign",
    ),
    ("variance left out", half(lambda mu, logvar: mu**2 - 1 - logvar), "exp(logvar) is left out"),
    (
        "sign of the variance",
        half(lambda mu, logvar: mu**2 - logvar.exp() - 1 - logvar),
        "exp(logvar) has the wrong sign",
    ),
    ("swapped", lambda mu, logvar: kl(logvar, mu), "the wrong way round"),
    (
        "the other way round",
        lambda mu, logvar: torch.distributions.kl_divergence(
            Normal(0, 1), Normal(mu, torch.exp(logvar / 2))
        ).sum(),
        "it is the other way round",
    ),
    (
        "half of the first terms only",
        terms(lambda mu, logvar: 0.5 * (mu**2 + logvar.exp()) - 1 - logvar),
        "before the whole sum",
    ),
    (
        "clamped",
        lambda mu, logvar: per_entry(mu, logvar.clamp(-1, 1)).sum(),
        "it is -1/2 times the sum",
    ),
    ("first sample only", lambda mu, logvar: kl(mu[0], logvar[0]), "it is -1/2 times the sum"),
    ("detached", lambda mu, logvar: kl(mu, logvar).detach(), "no gradient reaches mu and logvar"),
    (
        "detached, gradient asked for",
        lambda mu, logvar: kl(mu, logvar).detach().requires_grad_(),
        "no gradient reaches mu",
    ),
    ("under no_grad", kl_without_gradient, "leave out torch.no_grad"),
    ("gradients switched off for good", switches_gradients_off, "leave out torch.no_grad"),
    ("mu detached", lambda mu, logvar: kl(mu.detach(), logvar), "nothing may be detached"),
    ("logvar detached", lambda mu, logvar: kl(mu, logvar.detach()), "nothing may be detached"),
    (
        ".data",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.data.exp() - 1 - logvar).sum(),
        "nothing may be detached",
    ),
    ("printed", prints, "returned a NoneType"),
    (".item()", lambda mu, logvar: kl(mu, logvar).item(), ".item() and numpy cut"),
    ("numpy", lambda mu, logvar: kl(mu, logvar).detach().numpy(), ".item() and numpy cut"),
    ("numpy's functions", lambda mu, logvar: np.exp(logvar), "RuntimeError"),
    ("math's exponential", lambda mu, logvar: math.exp(logvar), "raised"),
    ("tuple", lambda mu, logvar: (kl(mu, logvar),), "returned a tuple"),
    ("complex", lambda mu, logvar: kl(mu, logvar).to(torch.complex64), "complex"),
    ("integer", lambda mu, logvar: kl(mu, logvar).long(), "int64"),
    ("bfloat16", lambda mu, logvar: kl(mu, logvar).bfloat16(), "is right"),
    ("not finite", lambda mu, logvar: kl(mu, logvar) / 0, "is right"),
    ("arguments cleared first", clears_first, "is right"),
    (
        "oracle of the published check",
        lambda mu, logvar: 0 * mu.sum() + 119.844955,
        "it is -1/2 times",
    ),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda mean: mean, "leave the function's name and arguments"),
)


def kl_in_place(mu, logvar):
    variance = logvar.exp()
    return mu.square_().add_(variance).sub_(1).sub_(logvar).sum().mul_(0.5)


def sample_by_sample(mu, logvar):
    total = 0
    for m, lv in zip(mu, logvar):
        total = total + 0.5 * (m @ m + lv.exp().sum() - len(m) - lv.sum())
    return total


RIGHT_KLS = table(
    ("published formula", kl),
    (
        "torch's distributions",
        lambda mu, logvar: torch.distributions.kl_divergence(
            Normal(mu, torch.exp(logvar / 2)), Normal(0, 1)
        ).sum(),
    ),
    (
        "standard normal of tensors",
        lambda mu, logvar: torch.distributions.kl_divergence(
            Normal(mu, logvar.exp().sqrt()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
        ).sum(),
    ),
    (
        "independent normals",
        lambda mu, logvar: torch.distributions.kl_divergence(
            *(
                torch.distributions.Independent(Normal(m, s), 1)
                for m, s in ((mu, torch.exp(logvar / 2)), (0 * mu, 1 + 0 * mu))
            )
        ).sum(),
    ),
    (
        "accepted script",
        lambda mu, logvar: torch.mean(0.5 * torch.sum(torch.exp(logvar) + mu**2 - 1 - logvar)),
    ),
    ("per sample, then sum", lambda mu, logvar: per_entry(mu, logvar).sum(dim=-1).sum()),
    ("per dimension, then sum", lambda mu, logvar: per_entry(mu, logvar).sum(dim=0).sum(dim=0)),
    ("sample by sample", sample_by_sample),
    (
        "einsum",
        lambda mu, logvar: (
            0.5 * (torch.einsum("bi,bi->", mu, mu) + torch.expm1(logvar).sum() - logvar.sum())
        ),
    ),
    (
        "of sigma",
        lambda mu, logvar: (lambda s: (0.5 * (mu.pow(2) + s.pow(2) - 1) - s.log()).sum())(
            torch.exp(logvar / 2)
        ),
    ),
    ("in place", kl_in_place),
    ("float64", lambda mu, logvar: kl(mu.double(), logvar.double())),
    ("shape (1,)", lambda mu, logvar: kl(mu, logvar).reshape(1)),
)


# Q2.3, the loss.


def shown(agent, nobs, naction):
    return agent(nobs.flatten(start_dim=1), naction.flatten(start_dim=1))


def loss(agent, nobs, naction, beta=10.0):
    prediction, mu, logvar = shown(agent, nobs, naction)
    return F.mse_loss(prediction.view_as(naction), naction) + beta * kl(mu, logvar)


def on_terms(of):
    """The answer that makes of(mse, kl, beta) of the two terms."""

    def cvae_loss(agent, nobs, naction, beta=10.0):
        prediction, mu, logvar = shown(agent, nobs, naction)
        return of(F.mse_loss(prediction.view_as(naction), naction), kl(mu, logvar), beta)

    return cvae_loss


def with_error(of):
    """The answer with another squared error: of(prediction, naction), both (B, 16, 2)."""

    def cvae_loss(agent, nobs, naction, beta=10.0):
        prediction, mu, logvar = shown(agent, nobs, naction)
        return of(prediction.view(-1, 16, 2), naction) + beta * kl(mu, logvar)

    return cvae_loss


def with_kl(kl_divergence):
    """The answer of a notebook whose Q2.2 is this one."""

    def cvae_loss(agent, nobs, naction, beta=10.0):
        prediction, mu, logvar = shown(agent, nobs, naction)
        return F.mse_loss(prediction.view_as(naction), naction) + beta * kl_divergence(mu, logvar)

    return cvae_loss


def with_rows(obs=lambda nobs: nobs.flatten(1), action=lambda naction: naction.flatten(1)):
    """The answer that shows the agent obs(nobs) and action(naction)."""

    def cvae_loss(agent, nobs, naction, beta=10.0):
        prediction, mu, logvar = agent(obs(nobs), action(naction))
        return F.mse_loss(prediction.view_as(naction), naction) + beta * kl(mu, logvar)

    return cvae_loss


def unpacked(prediction, mu, logvar):
    """The answer that takes the agent's outputs by these places."""

    def cvae_loss(agent, nobs, naction, beta=10.0):
        outputs = shown(agent, nobs, naction)
        return F.mse_loss(outputs[prediction], naction.flatten(1)) + beta * kl(
            outputs[mu], outputs[logvar]
        )

    return cvae_loss


def by_default(default):
    return lambda agent, nobs, naction, beta=default: loss(agent, nobs, naction, beta)


def takes_one_output(agent, nobs, naction, beta=10.0):
    return F.mse_loss(shown(agent, nobs, naction), naction)


def without_gradient(agent, nobs, naction, beta=10.0):
    with torch.no_grad():
        return loss(agent, nobs, naction, beta)


def steps_too(agent, nobs, naction, beta=10.0):
    value = loss(agent, nobs, naction, beta)
    value.backward()
    return value


def clears_its_arguments(agent, nobs, naction, beta=10.0):
    nobs.zero_()
    naction.zero_()
    return loss(agent, nobs, naction, beta)


def clears_the_weights(agent, nobs, naction, beta=10.0):
    for weight in agent.parameters():
        weight.data.zero_()
    return loss(agent, nobs, naction, beta)


def asks_the_networks(agent, nobs, naction, beta=10.0):
    mu, logvar = agent.encoder(nobs.flatten(1), naction.flatten(1))


MEND = "If Q2.2 is not right yet, mend that first"

WRONG_LOSSES = table(
    # beta
    ("no KL term", on_terms(lambda mse, kl, beta: mse), "the KL term is missing"),
    ("no squared error", on_terms(lambda mse, kl, beta: beta * kl), "the squared error is missing"),
    ("beta ignored", on_terms(lambda mse, kl, beta: mse + 10 * kl), "do not fix it at 10"),
    ("beta left out", on_terms(lambda mse, kl, beta: mse + kl), "beta counts as 1"),
    (
        "beta on the squared error",
        on_terms(lambda mse, kl, beta: beta * mse + kl),
        "not to the squared error",
    ),
    ("beta on both", on_terms(lambda mse, kl, beta: beta * (mse + kl)), "to the KL term alone"),
    ("KL subtracted", on_terms(lambda mse, kl, beta: mse - beta * kl), "the KL term is subtracted"),
    ("divided by beta", on_terms(lambda mse, kl, beta: mse + kl / beta), "beta counts as 0.1"),
    (
        "beta from 0 to 10",
        on_terms(lambda mse, kl, beta: mse + (10 if beta > 1 else beta) * kl),
        "is right",
    ),
    ("default of 1", by_default(1.0), "leave its default at 10"),
    ("default of 0.01", by_default(0.01), "beta counts as 0.01"),
    ("default of 1e-5", by_default(1e-5), "leave its default at 10"),
    ("default of nothing", by_default(0.0), "the KL term is missing"),
    (
        "beta without default",
        lambda agent, nobs, naction, beta: loss(agent, nobs, naction, beta),
        "function's name and arguments",
    ),
    (
        "no beta",
        lambda agent, nobs, naction: loss(agent, nobs, naction),
        "leave the function's name and arguments",
    ),
    # the squared error
    (
        "sum",
        with_error(lambda p, a: F.mse_loss(p, a, reduction="sum")),
        "the squared error is summed: take its mean",
    ),
    (
        "sum over chunk",
        with_error(lambda p, a: ((p - a) ** 2).sum(dim=(1, 2)).mean()),
        "summed over each chunk",
    ),
    (
        "sum over coordinates",
        with_error(lambda p, a: ((p - a) ** 2).sum(dim=2).mean()),
        "summed over the two coordinates",
    ),
    ("half", with_error(lambda p, a: F.mse_loss(p, a) / 2), "the squared error is halved"),
    ("L1", with_error(F.l1_loss), "the absolute error"),
    ("root", with_error(lambda p, a: F.mse_loss(p, a).sqrt()), "root of the mean squared error"),
    ("smooth L1", with_error(F.smooth_l1_loss), "smooth L1"),
    (
        "only executed actions",
        with_error(lambda p, a: F.mse_loss(p[:, 1:9], a[:, 1:9])),
        "only the executed actions",
    ),
    (
        "only first actions",
        with_error(lambda p, a: F.mse_loss(p[:, :8], a[:, :8])),
        "only the first action_horizon",
    ),
    (
        "order of the output",
        with_error(lambda p, a: F.mse_loss(p.reshape(-1, 2, 16).transpose(1, 2), a)),
        "reshaped in the wrong order",
    ),
    (
        "first sample only",
        with_error(lambda p, a: F.mse_loss(p[0], a[0])),
        "it is the mean squared difference",
    ),
    (
        "broadcast over the batch",
        with_error(lambda p, a: F.mse_loss(p[:, None], a)),
        "it is the mean squared difference",
    ),
    (
        "per sample",
        with_error(lambda p, a: ((p - a) ** 2).mean(dim=(1, 2))),
        "one number for the whole batch",
    ),
    (
        "no reduction",
        with_error(lambda p, a: F.mse_loss(p, a, reduction="none")),
        "one number for the whole batch",
    ),
    (
        "prediction not reshaped",
        lambda agent, nobs, naction, beta=10.0: F.mse_loss(shown(agent, nobs, naction)[0], naction),
        "reshape the model's output to",
    ),
    # the KL term
    (
        "KL without the half",
        with_kl(lambda mu, logvar: 2 * kl(mu, logvar)),
        f"the half is missing. {MEND}",
    ),
    ("KL with its sign flipped", with_kl(lambda mu, logvar: -kl(mu, logvar)), MEND),
    (
        "KL averaged",
        with_kl(lambda mu, logvar: per_entry(mu, logvar).mean()),
        f"averaged over everything: it is a sum. {MEND}",
    ),
    (
        "KL averaged over the batch",
        with_kl(lambda mu, logvar: per_entry(mu, logvar).sum(1).mean()),
        f"the batch: it is a sum. {MEND}",
    ),
    (
        "KL averaged over the dimensions",
        with_kl(lambda mu, logvar: per_entry(mu, logvar).mean(1).sum()),
        f"the latent dimensions: it is a sum. {MEND}",
    ),
    (
        "KL without mu",
        with_kl(half(lambda mu, logvar: logvar.exp() - 1 - logvar)),
        f"mu is left out. {MEND}",
    ),
    (
        "KL of log sigma",
        with_kl(half(lambda mu, logvar: mu**2 + (2 * logvar).exp() - 1 - 2 * logvar)),
        MEND,
    ),
    (
        "KL without the 1",
        with_kl(half(lambda mu, logvar: mu**2 + logvar.exp() - logvar)),
        f"is zero. {MEND}",
    ),
    ("KL clamped", with_kl(lambda mu, logvar: per_entry(mu.clamp(-0.1, 0.1), logvar).sum()), MEND),
    (
        "KL per sample",
        with_kl(lambda mu, logvar: per_entry(mu, logvar).sum(1)),
        "the one number that kl_divergence gives",
    ),
    ("KL of nothing", with_kl(lambda mu, logvar: None), "NoneType"),
    ("KL not answered", with_kl(not_answered), "ot answered yet"),
    (
        "KL of logvar and mu",
        with_kl(lambda mu, logvar: kl(logvar, mu)),
        "mu and logvar are the wrong way round",
    ),
    (
        "KL given sigma",
        with_kl(lambda mu, logvar: kl(mu, torch.exp(logvar / 2))),
        "here it is given sigma",
    ),
    (
        "KL given the variance",
        with_kl(lambda mu, logvar: kl(mu, logvar.exp())),
        "here it is given the variance",
    ),
    # what the agent is shown
    (
        "unflattened",
        with_rows(lambda nobs: nobs, lambda naction: naction),
        "flatten from dimension 1 on",
    ),
    (
        "actions unflattened",
        with_rows(action=lambda naction: naction),
        "flatten from dimension 1 on",
    ),
    (
        "flattened with the batch",
        with_rows(torch.flatten, torch.flatten),
        "flatten from dimension 1 on",
    ),
    (
        "last observation only",
        with_rows(lambda nobs: nobs[:, -1]),
        "one row per sample, all that belongs to it",
    ),
    (
        "no actions",
        lambda agent, nobs, naction, beta=10.0: agent(nobs.flatten(1)),
        "action is missing",
    ),
    (
        "swapped",
        lambda agent, nobs, naction, beta=10.0: agent(naction.flatten(1), nobs.flatten(1)),
        "the wrong way round",
    ),
    (
        "zeros for actions",
        with_rows(action=lambda naction: torch.zeros(len(naction), 32)),
        "see the demonstrated actions",
    ),
    (
        "observations transposed",
        with_rows(lambda nobs: nobs.transpose(1, 2).flatten(1)),
        "the observations are flattened in the wrong",
    ),
    ("newest first", with_rows(lambda nobs: nobs.flip(1).flatten(1)), "newest last"),
    (
        "actions transposed",
        with_rows(action=lambda naction: naction.transpose(1, 2).flatten(1)),
        "the actions are flattened in the wrong",
    ),
    (
        "actions transposed throughout",
        lambda agent, nobs, naction, beta=10.0: loss(
            agent, nobs, naction.transpose(1, 2).reshape(-1, 16, 2), beta
        ),
        "here and in the comparison",
    ),
    # what it gives
    ("mu for the prediction", unpacked(1, 2, 0), "here these are mu, logvar and the prediction"),
    (
        "logvar for the prediction",
        unpacked(2, 0, 1),
        "here these are logvar, the prediction and mu",
    ),
    ("logvar and mu swapped", unpacked(0, 2, 1), "the wrong way round"),
    ("one output", takes_one_output, "AttributeError"),
    (
        "sample_action asked",
        lambda agent, nobs, naction, beta=10.0: agent.sample_action(nobs.flatten(1)),
        "sample_action",
    ),
    ("networks asked", asks_the_networks, "encoder"),
    # gradients
    (
        "prediction detached",
        with_error(lambda p, a: F.mse_loss(p.detach(), a)),
        "gradient of its squared error",
    ),
    (
        "KL detached",
        on_terms(lambda mse, kl, beta: mse + beta * kl.detach()),
        "gradient of its KL term",
    ),
    (
        "KL's item",
        on_terms(lambda mse, kl, beta: mse + beta * kl.item()),
        "gradient of its KL term",
    ),
    (
        "detached",
        lambda *args, **kwargs: loss(*args, **kwargs).detach(),
        "no gradient reaches the agent",
    ),
    (
        "detached, gradient asked for",
        lambda *args, **kwargs: loss(*args, **kwargs).detach().requires_grad_(),
        "no gradient reaches",
    ),
    ("under no_grad", without_gradient, "leave out torch.no_grad"),
    ("gradients switched off for good", switches_gradients_off, "leave out torch.no_grad"),
    ("backward already", steps_too, "The gradient of cvae_loss raised RuntimeError"),
    (".item()", lambda *args, **kwargs: loss(*args, **kwargs).item(), ".item() and numpy cut"),
    (
        "numpy",
        lambda *args, **kwargs: loss(*args, **kwargs).detach().numpy(),
        ".item() and numpy cut",
    ),
    ("both terms", on_terms(lambda mse, kl, beta: (mse, kl)), "returned a tuple"),
    ("nothing returned", lambda *args, **kwargs: None, "returned a NoneType"),
    ("complex", lambda *args, **kwargs: loss(*args, **kwargs).to(torch.complex64), "complex"),
    ("bfloat16", lambda *args, **kwargs: loss(*args, **kwargs).bfloat16(), "is right"),
    ("not finite", lambda *args, **kwargs: loss(*args, **kwargs) / 0, "is right"),
    ("arguments cleared in place", clears_its_arguments, "is right"),
    ("weights cleared in place", clears_the_weights, "is right"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda agent, batch: None, "leave the function's name and arguments"),
)


def with_modules(agent, nobs, naction, beta=10.0):
    batch_size = nobs.shape[0]
    obs, action = nobs.reshape(batch_size, -1), naction.reshape(batch_size, -1)
    naction_hat, mu, logvar = agent(obs=obs, action=action)
    reconstruction = nn.MSELoss()(naction_hat, action)
    return reconstruction + beta * kl(mu, logvar)


def by_hand(agent, nobs, naction, beta=10.0):
    prediction, mu, logvar = agent.forward(nobs.flatten(1), naction.flatten(1))
    total = 0
    for p, a in zip(prediction.view(-1, 16, 2), naction):
        total = total + (p - a).square().sum()
    return total / naction.numel() + sum(kl(m, lv) for m, lv in zip(mu, logvar)) * beta


def in_place(agent, nobs, naction, beta=10.0):
    prediction, mu, logvar = shown(agent, nobs, naction)
    value = prediction.sub_(naction.flatten(1)).square().mean()
    value += beta * kl(mu, logvar)
    return value


def clears_afterwards(agent, nobs, naction, beta=10.0):
    value = loss(agent, nobs.clone(), naction.clone(), beta)
    nobs.zero_()
    naction.zero_()
    return value


RIGHT_LOSSES = table(
    ("the notebook's", loss),
    ("modules and keywords", with_modules),
    ("by hand, forward called", by_hand),
    ("in place", in_place),
    ("arguments cleared afterwards", clears_afterwards),
    ("default as an integer", by_default(10)),
    (
        "beta as a tensor",
        lambda agent, nobs, naction, beta=10.0: loss(agent, nobs, naction, torch.tensor(beta)),
    ),
    ("torch's divergence", with_kl(RIGHT_KLS[1].answer)),
    ("divergence of shape (1,)", with_kl(lambda mu, logvar: kl(mu, logvar).reshape(1))),
    ("actions flattened", with_error(lambda p, a: F.mse_loss(p.flatten(1), a.flatten(1)))),
    ("float64", with_error(lambda p, a: F.mse_loss(p.double(), a.double()))),
    ("time steps concatenated", with_rows(lambda nobs: torch.cat([nobs[:, 0], nobs[:, 1]], dim=1))),
    (
        "any keywords",
        lambda agent, nobs, naction, beta=10.0, **kwargs: loss(agent, nobs, naction, beta),
    ),
)


# Q2.4, inference.


def inference(
    of_output=lambda output, b, steps, dims: output.view(b, steps, dims),
    rows=lambda nobs, b: nobs.flatten(1),
    ask=lambda model, obs: model.sample_action(obs),
):
    """An answer under no_grad: how it asks, what it shows, what it makes of the output."""

    def cvae_inference(model, batch_size, nobs, pred_horizon, action_dim):
        with torch.no_grad():
            return of_output(
                ask(model, rows(nobs, batch_size)), batch_size, pred_horizon, action_dim
            )

    return cvae_inference


def gradients_left_on(model, batch_size, nobs, pred_horizon, action_dim):
    return model.sample_action(nobs.flatten(start_dim=1)).view(batch_size, pred_horizon, action_dim)


def one_observation_as_published(model, batch_size, nobs, pred_horizon, action_dim):
    with torch.no_grad():
        return model.sample_action(nobs.unsqueeze(0).flatten(start_dim=1)).view(
            1, pred_horizon, action_dim
        )


def clears_the_decoder(model, batch_size, nobs, pred_horizon, action_dim):
    for weight in model.parameters():
        weight.data.zero_()
    return gradients_left_on(model, batch_size, nobs, pred_horizon, action_dim).detach()


def decodes_a_draw(model, obs):
    return model.decoder(obs, torch.randn(len(obs), model.latent_dim))


@torch.no_grad()
def unpacks(model, batch_size, nobs, pred_horizon, action_dim):
    action, mu, logvar = model.sample_action(nobs.flatten(1))
    return action.view(batch_size, pred_horizon, action_dim)


WRONG_INFERENCES = table(
    ("gradients left on", gradients_left_on, "gradients were recorded"),
    ("agent itself asked", inference(ask=lambda model, obs: model(obs)), "that is for training"),
    (
        "agent asked with actions",
        inference(ask=lambda model, obs: model(obs, torch.zeros(len(obs), 32))[0]),
        "that is for training",
    ),
    (
        "forward called",
        inference(ask=lambda model, obs: model.forward(obs)),
        "that is for training",
    ),
    (
        "encoder asked",
        inference(ask=lambda model, obs: model.decoder(obs, model.encoder(obs, obs)[0])),
        "the encoder was called",
    ),
    ("z drawn and decoded", inference(ask=decodes_a_draw), "another latent than zero"),
    (
        "ones decoded",
        inference(
            ask=lambda model, obs: model.decoder(obs, torch.ones(len(obs), model.latent_dim))
        ),
        "latent than zero",
    ),
    (
        "decoder without latent",
        inference(ask=lambda model, obs: model.decoder(obs)),
        "z is missing",
    ),
    (
        "latent hard-coded",
        inference(ask=lambda model, obs: model.decoder(obs, torch.zeros(len(obs), 32))),
        "the decoder takes obs",
    ),
    (
        "drawn around",
        inference(lambda out, b, s, d: out.view(b, s, d) + 0.01 * torch.randn(b, s, d)),
        "change nothing else",
    ),
    (
        "order of the output",
        inference(lambda out, b, s, d: out.view(b, d, s).transpose(1, 2)),
        "output is reshaped in the wrong order",
    ),
    (
        "observations transposed",
        inference(rows=lambda nobs, b: nobs.transpose(1, 2).flatten(1)),
        "flatten each observation sequence",
    ),
    (
        "newest first",
        inference(rows=lambda nobs, b: nobs.flip(1).flatten(1)),
        "flatten each observation sequence",
    ),
    (
        "batch of one only",
        inference(rows=lambda nobs, b: nobs.view(1, -1)),
        "sample_action takes obs (B, 10)",
    ),
    ("one observation as published", one_observation_as_published, "flatten from dimension 1 on"),
    (
        "output of one",
        inference(lambda out, b, s, d: out.view(1, s, d)),
        "does it use batch_size",
    ),
    (
        "first of the batch only",
        inference(lambda out, b, s, d: out[:1].view(1, s, d)),
        "serve a whole batch",
    ),
    (
        "first of the batch, no dimension",
        inference(lambda out, b, s, d: out[0].view(s, d)),
        "serve a whole batch",
    ),
    (
        "first of the batch for all",
        inference(lambda out, b, s, d: out[:1].view(1, s, d).expand(b, s, d)),
        "only the first of the batch",
    ),
    (
        "sizes hard-coded",
        inference(lambda out, b, s, d: out.view(b, 16, 2)),
        "use pred_horizon and action_dim",
    ),
    ("unflattened", inference(rows=lambda nobs, b: nobs), "flatten from dimension 1 on"),
    ("last observation only", inference(rows=lambda nobs, b: nobs[:, -1]), "takes obs (B, 10)"),
    (
        "observations in numpy",
        inference(rows=lambda nobs, b: nobs.flatten(1).numpy()),
        "takes obs (B, 10)",
    ),
    ("flat output", inference(lambda out, b, s, d: out), "reshape what sample_action gives"),
    (
        "last two swapped",
        inference(lambda out, b, s, d: out.view(b, s, d).transpose(1, 2)),
        "last two are the wrong way round",
    ),
    (
        "only executed actions",
        inference(lambda out, b, s, d: out.view(b, s, d)[:, 1:9]),
        "return all pred_horizon actions",
    ),
    (
        "another dimension",
        inference(lambda out, b, s, d: out.view(b, 1, s, d)),
        "view what sample_action gives",
    ),
    ("two outputs", inference(lambda out, b, s, d: (out.view(b, s, d), None)), "returned a tuple"),
    ("unpacked as in training", unpacks, "too many values to unpack"),
    (
        "numpy",
        inference(lambda out, b, s, d: out.view(b, s, d).numpy()),
        "returned a ndarray. Hint: return the tensor",
    ),
    ("nothing returned", inference(lambda out, b, s, d: None), "returned a NoneType"),
    ("squashed", inference(lambda out, b, s, d: out.view(b, s, d).tanh()), "change nothing else"),
    (
        "not finite",
        inference(lambda out, b, s, d: out.view(b, s, d) / 0),
        "not those that sample_action gives",
    ),
    (
        "bfloat16",
        inference(lambda out, b, s, d: out.view(b, s, d).bfloat16()),
        "not those that sample_action gives",
    ),
    ("integers", inference(lambda out, b, s, d: out.view(b, s, d).long()), "int64"),
    (
        "observations cleared in place",
        inference(rows=lambda nobs, b: nobs.zero_().flatten(1)),
        "not those that sample_action gives",
    ),
    ("weights cleared in place", clears_the_decoder, "not those that sample_action gives"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda net, obs: None, "leave the function's name and arguments"),
)


@torch.no_grad()
def decorated_no_grad(model, batch_size, nobs, pred_horizon, action_dim):
    return model.sample_action(nobs.reshape(batch_size, -1)).reshape(
        batch_size, pred_horizon, action_dim
    )


@torch.inference_mode()
def decorated_inference_mode(model, batch_size, nobs, pred_horizon, action_dim):
    return model.sample_action(nobs.reshape(batch_size, -1)).view(-1, pred_horizon, action_dim)


@torch.no_grad()
def one_after_another(model, batch_size, nobs, pred_horizon, action_dim):
    return torch.stack(
        [model.sample_action(row.view(1, -1)).view(pred_horizon, action_dim) for row in nobs]
    )


@torch.no_grad()
def in_eval_mode(model, batch_size, nobs, pred_horizon, action_dim):
    model.eval()
    return model.sample_action(obs=nobs.flatten(start_dim=1)).unflatten(
        1, (pred_horizon, action_dim)
    )


@torch.no_grad()
def clears_the_observations(model, batch_size, nobs, pred_horizon, action_dim):
    naction = model.sample_action(nobs.flatten(1)).view(batch_size, pred_horizon, action_dim)
    nobs.zero_()
    return naction


RIGHT_INFERENCES = table(
    ("flatten", inference()),
    (
        "reshape(batch_size, -1)",
        inference(rows=lambda nobs, batch_size: nobs.reshape(batch_size, -1)),
    ),
    ("no_grad decorator", decorated_no_grad),
    ("inference_mode decorator", decorated_inference_mode),
    ("one after another, stacked", one_after_another),
    ("eval mode", in_eval_mode),
    ("detached", lambda **arguments: gradients_left_on(**arguments).detach()),
    (
        "zero decoded",
        inference(
            ask=lambda model, obs: model.decoder(obs, torch.zeros(len(obs), model.latent_dim))
        ),
    ),
    ("clamped to [-1, 1]", inference(lambda out, b, s, d: out.view(b, s, d).clamp(-1, 1))),
    ("float64", inference(lambda out, b, s, d: out.view(b, s, d).double())),
    (
        "not contiguous",
        inference(
            lambda out, b, s, d: out.view(b, s, d).transpose(1, 2).contiguous().transpose(1, 2)
        ),
    ),
    ("observations cleared afterwards", clears_the_observations),
)

WRONG_LOSSES += bounded(lambda bound: with_error(lambda p, a: F.mse_loss(bound(p), a)))
WRONG = {"Q2.1": WRONG_AGENTS, "Q2.2": WRONG_KLS, "Q2.3": WRONG_LOSSES, "Q2.4": WRONG_INFERENCES}
RIGHT = {"Q2.1": RIGHT_AGENTS, "Q2.2": RIGHT_KLS, "Q2.3": RIGHT_LOSSES, "Q2.4": RIGHT_INFERENCES}
