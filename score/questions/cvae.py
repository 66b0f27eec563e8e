"""Part II, the CVAE: Q2.1 the agent, Q2.2 KL divergence, Q2.3 loss, Q2.4 inference.

Each entry of `QUESTIONS` is (inputs, call, judge): inputs(rng, challenge) -> dict; call(answer,
given) -> dict of what the student's code gave; judge(given, got) raises AnswerError with the hint
that names the mistake.
"""

import numpy as np
import torch
from torch import nn

from score.questions.base import as_array
from score.questions.mistakes import old_mistake as mistake
from score.verdict import AnswerError, call_answer


class _Probe(nn.Module):
    """Stands for a network: one linear layer with weights of ours over all inputs side by side, so
    that every mix-up shows.

    takes, gives: the inputs' names and widths, and the outputs' widths. ValueError for inputs of
    other shapes, which says what torch's own error would not: which network was given what.
    """

    def __init__(self, name, takes, gives, weight, bias):
        super().__init__()
        self.name, self.takes, self.gives = name, takes, gives
        # skip_init: no draw from the notebook's generator.
        self.linear = nn.utils.skip_init(
            nn.Linear, *weight.shape[::-1], device="cpu", dtype=torch.float32
        )
        self.linear.load_state_dict(
            {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        )

    def forward(self, *args, **kwargs):
        given = {**dict(zip(self.takes, args)), **kwargs}
        shapes = {
            name: tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            for name, x in given.items()
        }
        batch = next(iter(shapes.values()), ())[:1]
        right = {name: (*batch, width) for name, width in self.takes.items()}
        if len(args) + len(kwargs) != len(self.takes) or shapes != right:
            raise ValueError(_misfit(self.name, self.takes, shapes))
        outputs = self.linear(torch.cat([given[name] for name in self.takes], dim=1)).split(
            self.gives, dim=1
        )
        # Clones: torch does not let the parts of a split be changed in place.
        return (
            outputs[0].clone() if len(outputs) == 1 else tuple(output.clone() for output in outputs)
        )


def _misfit(name, takes, shapes):
    widths, got = list(takes.values()), list(shapes.values())
    said = (
        f"the {name} takes {' and '.join(f'{one} (B, {width})' for one, width in takes.items())},"
        " and was given"
        f" {' and '.join(f'{one} {shape}' for one, shape in shapes.items()) or 'nothing'}. Hint: "
    )
    if missing := [one for one in takes if one not in shapes]:
        return f"{said}{missing[0]} is missing"
    if any(isinstance(shape, str) for shape in got):
        return f"{said}tensors are needed"
    if any(len(shape) != 2 for shape in got):
        return f"{said}one flat row per sample: flatten from dimension 1 on"
    if [shape[1] for shape in got] == widths[::-1]:
        return f"{said}they are the wrong way round"
    if len({shape[0] for shape in got}) > 1:
        return f"{said}each needs a row for every sample; take B from what you are given"
    if "z" in takes:
        return f"{said}z is latent_dim wide, an argument of the class"
    return f"{said}one row per sample, all that belongs to it: flatten from dimension 1 on"


class _NotAsked(nn.Module):
    """Stands for a network that the answer has no business with."""

    def __init__(self, why):
        super().__init__()
        self.why = why

    def forward(self, *args, **kwargs):
        raise ValueError(self.why)


def _weights(rng, width_out, width_in, most=0.1):
    """Weights and biases of a `_Probe`; with `most` 0.1 and ten inputs its outputs lie within (-1,
    1).
    """
    return {
        "weight": rng.uniform(-most, most, (width_out, width_in)).astype(np.float32),
        "bias": rng.uniform(-most, most, width_out).astype(np.float32),
    }


def _values(weights, *inputs):
    """What a `_Probe` with these weights gives for these arrays, in one array."""
    arrays = np.concatenate(inputs, axis=1), weights["weight"], weights["bias"]
    return nn.functional.linear(*(torch.from_numpy(array).double() for array in arrays)).numpy()


def _latent(decoder, obs, action):
    """(z, whether it is the latent) with which a `_Probe` of these weights decodes the observations
    to `action`.
    """
    weight = decoder["weight"][:, obs.shape[1] :].astype(float)
    zero = _values(decoder, obs, np.zeros((len(obs), weight.shape[1])))
    if not np.isfinite(action).all():
        return np.full((len(obs), weight.shape[1]), np.nan), False
    z = (action - zero) @ np.linalg.pinv(weight).T
    return z, np.allclose(
        zero + z @ weight.T, action, rtol=1e-5, atol=1e-5 * (1 + np.abs(action).max())
    )


def _gradients(what, value, leaves):
    """Derivatives of a student's number with respect to the leaves, as arrays; None where it
    depends on none of them.
    """
    if not value.requires_grad:
        return None
    found = call_answer(
        f"The gradient of {what}",
        torch.autograd.grad,
        value.sum(),
        leaves,
        retain_graph=True,
        allow_unused=True,
    )
    if all(gradient is None for gradient in found):
        return None
    return [
        np.zeros(leaf.shape) if one is None else as_array(what, one)
        for leaf, one in zip(leaves, found)
    ]


def _number(what, value, leaves):
    """A student's loss: its value and, where it is one number, its gradients."""
    if not isinstance(value, torch.Tensor):
        raise AnswerError(
            f"{what} returned a {type(value).__name__}. Hint: return one tensor; .item() and numpy"
            " cut the path that the gradient takes, and print returns nothing."
        )
    return {
        "value": as_array(what, value),
        "gradients": _gradients(what, value, leaves) if value.numel() == 1 else None,
    }


# Q2.1, the agent.

_OUTPUTS = ("action", "mu", "logvar")
# Bounds that an honest draw oversteps less than once in a million: far away in standard deviations,
# quantiles off, correlated.
_FAR, _OFF, _CORRELATED = 7, 0.2, 0.15
_LEVELS, _QUANTILES = (
    (0.1, 0.25, 0.5, 0.75, 0.9),
    (
        -1.2816,
        -0.6745,
        0,
        0.6745,
        1.2816,
    ),
)  # of N(0, 1)


def _agent_inputs(rng, challenge):
    """A batch that shows how z is distributed, a small one, and one sample with next to no
    variance.

    No two widths are the same, and latent_dim is not the notebook's.
    """
    sizes = {
        "obs_dim": int(rng.integers(4, 7)),
        "obs_horizon": int(rng.integers(2, 4)),
        "action_dim": int(rng.integers(2, 4)),
        "pred_horizon": int(rng.integers(10, 14)),
        "latent_dim": int(rng.integers(4, 8)),
    }
    width_obs, width_action = (
        sizes["obs_dim"] * sizes["obs_horizon"],
        sizes["action_dim"] * sizes["pred_horizon"],
    )
    encoder = _weights(rng, 2 * sizes["latent_dim"], width_obs + width_action, most=0.9)
    if challenge == 2:
        encoder["weight"][sizes["latent_dim"] :] /= 100
        encoder["bias"][sizes["latent_dim"] :] = -20
    batch = (2048, 5, 1)[challenge]
    return {
        "sizes": sizes,
        "encoder": encoder,
        "decoder": _weights(rng, width_action, width_obs + sizes["latent_dim"], most=0.5),
        "obs": rng.uniform(-0.8, 0.8, (batch, width_obs)).astype(np.float32),
        "action": rng.uniform(-0.8, 0.8, (batch, width_action)).astype(np.float32),
        "seed": int(rng.integers(2**31)),
    }


def _agent_call(answer, given):
    if isinstance(answer, nn.Module):
        raise AnswerError(
            'This is an agent. Hint: hand over the class: score.check("Q2.1", CVAEAgent).'
        )
    # The notebook's generator stays as it is, though weights and noise are drawn.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(given["seed"])
        agent = call_answer(
            "CVAEAgent", answer, encoder_dim_list=[8, 6], decoder_dim_list=[6, 8], **given["sizes"]
        )
        if not isinstance(agent, nn.Module):
            raise AnswerError(
                f"CVAEAgent gave a {type(agent).__name__}. Hint: leave the class an nn.Module, as"
                " it was given."
            )
        if not call_answer(
            "CVAEAgent", lambda: hasattr(agent, "encoder") and hasattr(agent, "decoder")
        ):
            raise AnswerError(
                "The agent has no encoder or no decoder. Hint: leave __init__ as it was given."
            )
        return _asked(agent, given)


def _asked(agent, given):
    latent = given["sizes"]["latent_dim"]
    width_obs, width_action = given["obs"].shape[1], given["action"].shape[1]
    encoder = _Probe(
        "encoder", {"obs": width_obs, "action": width_action}, (latent, latent), **given["encoder"]
    )
    agent.decoder = _Probe(
        "decoder", {"obs": width_obs, "z": latent}, (width_action,), **given["decoder"]
    )
    agent.encoder = _NotAsked(
        "the encoder was asked. Hint: when acting there are no actions to show it; decode with"
        " z = 0"
    )
    # Copies: what an answer does to its arguments in place is not to reach the judge.
    acted = call_answer("sample_action", lambda: agent.sample_action(torch.tensor(given["obs"])))
    if isinstance(acted, (tuple, list)):
        raise AnswerError(
            f"sample_action returned {len(acted)} things. Hint: return the actions and nothing"
            " else."
        )
    acted = as_array("sample_action", acted)
    agent.encoder = encoder
    calls = []
    for _ in range(2):
        outputs = call_answer(
            "forward", lambda: agent(torch.tensor(given["obs"]), torch.tensor(given["action"]))
        )
        if not isinstance(outputs, (tuple, list)) or len(outputs) != 3:
            said = (
                f"{len(outputs)} things"
                if isinstance(outputs, (tuple, list))
                else f"a {type(outputs).__name__}"
            )
            raise AnswerError(
                f"forward returned {said}. Hint: return three tensors: the actions, mu and logvar."
            )
        calls.append(
            {name: as_array(f"forward's {name}", output) for name, output in zip(_OUTPUTS, outputs)}
        )
    gradients = {
        name: _gradients(f"forward's {name}", output, [encoder.linear.bias])
        for name, output in zip(_OUTPUTS, outputs)
    }
    return {"acted": acted, "calls": calls, "gradients": gradients}


def _agent_judge(given, got):
    _acting_judge(given, got["acted"])
    mu, logvar = np.split(_values(given["encoder"], given["obs"], given["action"]), 2, axis=1)
    before, z = (_forward_judge(given, outputs, mu, logvar) for outputs in got["calls"])
    _noise_judge(z, before, mu, logvar)
    _path_judge(given, got["gradients"], z - mu)


def _forward_judge(given, outputs, mu, logvar):
    """The latent that forward decoded, when its outputs fit what the encoder said."""
    shapes, right = (
        [outputs[name].shape for name in _OUTPUTS],
        [
            given["action"].shape,
            mu.shape,
            mu.shape,
        ],
    )
    if shapes != right:
        hint = "the order is: actions, mu, logvar."
        if sorted(shapes) != sorted(right):
            hint = (
                f"needed are the decoder's actions, {right[0]}, and the encoder's mu and logvar,"
                f" each {mu.shape}."
            )
        raise AnswerError(
            f"forward returned the shapes {', '.join(map(str, shapes))}. Hint: {hint}"
        )
    z, decoded = _latent(given["decoder"], given["obs"], outputs["action"])
    for name, right in (("mu", mu), ("logvar", logvar)):
        if not np.allclose(outputs[name], right, rtol=1e-4, atol=1e-4):
            named = {
                "mu": mu,
                "logvar": logvar,
                "z": z,
                "sigma": np.exp(logvar / 2),
                "the variance": np.exp(logvar),
            }
            found = [
                what
                for what, value in named.items()
                if np.allclose(outputs[name], value, rtol=1e-3, atol=1e-3)
            ]
            hint = (
                f"this is {found[0]}."
                if found
                else "return it as the encoder gives it for obs and action, unchanged."
            )
            raise AnswerError(f"forward's {name} is not what the encoder gives. Hint: {hint}")
    if not decoded:
        hint = "decode the observations with z, and change nothing."
        if not np.isfinite(outputs["action"]).all():
            hint = "they are not finite: logvar may be negative, and sigma is exp(logvar / 2)."
        raise AnswerError(f"forward's actions are not what the decoder gives. Hint: {hint}")
    return z


def _acting_judge(given, acted):
    if acted.shape != given["action"].shape:
        raise AnswerError(
            f"sample_action returned the shape {acted.shape}, where {given['action'].shape} is"
            " needed. Hint: return what the decoder gives, for the whole batch and flat."
        )
    z, decoded = _latent(given["decoder"], given["obs"], acted)
    if not decoded:
        raise AnswerError(
            "sample_action's actions are not what the decoder gives. Hint: decode the observations"
            " with z = 0, and change nothing."
        )
    if np.abs(z).max() > 1e-4:
        hint = (
            "it is ones: take zeros" if np.allclose(z, 1, atol=1e-4) else "draw nothing when acting"
        )
        raise AnswerError(
            f"sample_action decodes with another latent than zero. Hint: {hint}; z = 0 is the"
            " likeliest under N(0, I)."
        )


def _noise_judge(z, before, mu, logvar):
    """z is to be a draw from N(mu, exp(logvar)), and another one than before."""
    noise, sigma = z - mu, np.exp(logvar / 2)
    if len(z) < 1000:
        # Too few to show a distribution. A sigma that is kept from falling below exp(-5) does no
        # harm.
        if not all(np.all(np.abs(one - mu) < _FAR * sigma + 0.03) for one in (z, before)):
            raise AnswerError(
                "z lies further from mu than its standard deviation allows. Hint: sigma is"
                " exp(logvar / 2), and nothing else is added."
            )
        return
    if _is_standard(noise / sigma, logvar):
        if np.allclose(z, before, atol=1e-3):
            raise AnswerError(
                "Two calls of forward draw the same noise. Hint: set no seed inside the agent."
            )
        if (
            np.abs(np.corrcoef(noise / sigma, rowvar=False) - np.eye(z.shape[1])).max()
            < _CORRELATED
        ):
            return
    raise AnswerError(
        "z is not drawn from a normal distribution with mean mu and variance exp(logvar). Hint: "
        f"{_noise_hint(z, mu, logvar)}"
    )


def _is_standard(noise, logvar):
    """Whether noise is distributed as N(0, 1), where logvar is small, middling and large."""
    thirds = np.array_split(noise.ravel()[np.argsort(logvar, axis=None)], 3)
    return all(np.abs(np.quantile(third, _LEVELS) - _QUANTILES).max() < _OFF for third in thirds)


def _noise_hint(z, mu, logvar):
    sigma = np.exp(logvar / 2)
    noise = (z - mu) / sigma
    fixed = {
        "this is z = mu: add sigma times noise.": mu,
        "this is z = mu + sigma: sigma is to be multiplied by noise.": mu + sigma,
        "z is zero: that is for acting.": np.zeros_like(mu),
    }
    for hint, value in fixed.items():
        if np.allclose(z, value, rtol=1e-3, atol=1e-3):
            return hint
    if noise.std(axis=0).max() < 0.01:
        return "all samples share one noise: draw it in the shape of mu."
    if noise.std(axis=1).max() < 0.01:
        return "all latent dimensions share one noise: draw it in the shape of mu."
    if noise.min() > -1e-3 and noise.max() < 1.001:
        return "the noise lies between 0 and 1: torch.rand is uniform, torch.randn is normal."
    with np.errstate(all="ignore"):
        scaled = {
            "exp(logvar) is the variance: sigma is its root, exp(logvar / 2).": (z - mu) / sigma**2,
            "logvar itself is no spread: sigma is exp(logvar / 2).": (z - mu) / logvar,
            "the noise is not multiplied by sigma.": z - mu,
            "sigma is exp(logvar / 2), with a plus.": (z - mu) * sigma,
            "sigma is exp(logvar / 2); this is a quarter.": (z - mu) / np.exp(logvar / 4),
            "mu is not added.": z / sigma,
            "this is plain noise: multiply it by sigma and add mu.": z,
            "mu and logvar are the wrong way round.": (z - logvar) / np.exp(mu / 2),
        }
        for hint, value in scaled.items():
            if _is_standard(value, logvar):
                return hint
    return "z = mu + exp(logvar / 2) * noise, the noise from torch.randn_like(mu)."


def _path_judge(given, gradients, noise):
    """The derivatives of the sums of forward's outputs by the encoder's two biases, that of mu and
    that of logvar.
    """
    batch, latent = noise.shape
    by_z = given["decoder"]["weight"][:, given["obs"].shape[1] :].sum(axis=0).astype(float)
    none, all_ones = np.zeros(latent), np.full(latent, float(batch))
    right = {
        "action": (batch * by_z, by_z * noise.sum(axis=0) / 2),
        "mu": (all_ones, none),
        "logvar": (none, all_ones),
    }
    for name, parts in right.items():
        if gradients[name] is None:
            hint = "return it as it is: the KL term needs its gradient."
            if name == "action":
                hint = (
                    "nothing between the encoder and the actions may be detached; z = mu + sigma *"
                    " noise (Normal has rsample for it; its sample has no gradient)."
                )
            raise AnswerError(
                f"No gradient reaches the encoder from forward's {name}. Hint: {hint}"
            )
        for part, one, other in zip(("mu", "logvar"), np.split(gradients[name][0], 2), parts):
            if not np.allclose(one, other, rtol=1e-2, atol=1e-4 * batch + 0.03):
                raise AnswerError(
                    f"The values are right, but not the gradient of forward's {name} with respect"
                    f" to {part}. Hint: leave mu and logvar attached on their way into z and out of"
                    " forward."
                )


# Q2.2, the KL divergence.


def _kl_inputs(rng, challenge):
    """In the end N(0, I) itself, whose divergence is nothing. Batch and latent sizes differ, so
    that means over them do.
    """
    batch, latent = ((7, 5), (1, 12), (6, 4))[challenge]
    some = challenge < 2
    return {
        "mu": some * rng.normal(size=(batch, latent)).astype(np.float32),
        "logvar": some * rng.uniform(-2, 2, (batch, latent)).astype(np.float32),
    }


def _kl_call(answer, given):
    leaves = [torch.tensor(given[name], requires_grad=True) for name in ("mu", "logvar")]
    # Clones, as a network gives them: an answer may work in place.
    return _number(
        "kl_divergence",
        call_answer("kl_divergence", answer, *(leaf.clone() for leaf in leaves)),
        leaves,
    )


def _kl_judge(given, got):
    value, (batch, latent) = got["value"], given["mu"].shape
    if value.size != 1:
        dims = {
            (batch, latent): "over both dimensions",
            (batch,): "over the batch too",
            (batch, 1): "over the batch too",
            (latent,): "over the latent dimensions too",
            (1, latent): "over the latent dimensions too",
        }
        raise AnswerError(
            f"The divergence has shape {value.shape}. Hint: one number is needed: sum "
            f"{dims.get(value.shape, 'over everything')}."
        )
    value = float(value.reshape(()))
    mu, logvar = (torch.from_numpy(given[name]).double() for name in ("mu", "logvar"))
    right = _kl(mu, logvar).item()
    if not np.isclose(value, right, rtol=1e-5, atol=1e-5):
        hint = mistake(value, _kl_mistakes(mu, logvar)) or (
            "it is -1/2 times the sum, over batch and latent dimensions, of "
            "1 + logvar - mu² - exp(logvar)."
        )
        if not np.isfinite(value):
            hint = "logvar may be negative and has no logarithm: it is log sigma² already."
        raise AnswerError(f"The divergence is {value:.6g} where {right:.6g} is right. Hint: {hint}")
    if got["gradients"] is None:
        raise AnswerError(
            "The value is right, but no gradient reaches mu and logvar. Hint: leave out"
            " torch.no_grad and .detach() here."
        )
    by_mu, by_logvar = got["gradients"]
    if not np.allclose(by_mu, given["mu"], rtol=1e-3, atol=1e-5) or not np.allclose(
        by_logvar, (np.exp(given["logvar"]) - 1) / 2, rtol=1e-3, atol=1e-5
    ):
        raise AnswerError(
            "The value is right, but its gradient is not that of the divergence. Hint: nothing may"
            " be detached."
        )


def _kl(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()


def _kl_mistakes(mu, logvar):
    """hint -> the divergence with that mistake."""
    right, square, variance, half = _kl(mu, logvar), mu.square(), logvar.exp(), 0.5
    return {
        "the half is missing.": 2 * right,
        "the sign is flipped: a divergence is never negative.": -right,
        "the half is missing and the sign is flipped.": -2 * right,
        "it is averaged over everything: take the sum.": right / mu.numel(),
        "it is averaged over the batch: take the sum.": right / len(mu),
        "it is averaged over the latent dimensions: take the sum.": right / mu.shape[1],
        "logvar is log sigma², and the variance exp(logvar); here the two cancel.": (
            half * (square - 1).sum()
        ),
        "logvar is taken for log sigma: it is log sigma², and the variance exp(logvar).": (
            half * (square + variance.square() - 1 - 2 * logvar).sum()
        ),
        "sigma stands where sigma² should: the variance is exp(logvar).": (
            half * (square + variance.sqrt() - 1 - logvar).sum()
        ),
        "sigma is squared once too often: the variance is exp(logvar).": (
            half * (square + variance.square() - 1 - logvar).sum()
        ),
        "logvar is halved: log sigma² is logvar.": (
            half * (square + variance - 1 - logvar / 2).sum()
        ),
        "mu is not squared.": half * (mu + variance - 1 - logvar).sum(),
        "mu is left out.": half * (variance - 1 - logvar).sum(),
        "mu² has the wrong sign.": half * (variance - square - 1 - logvar).sum(),
        "the 1 is forgotten: the divergence of N(0, I) is zero.": (
            half * (square + variance - logvar).sum()
        ),
        "the 1 has the wrong sign: the divergence of N(0, I) is zero.": (
            half * (square + variance + 1 - logvar).sum()
        ),
        "logvar is left out.": half * (square + variance - 1).sum(),
        "logvar has the wrong sign.": half * (square + variance - 1 + logvar).sum(),
        "exp(logvar) is left out.": half * (square - 1 - logvar).sum(),
        "exp(logvar) has the wrong sign.": half * (square - variance - 1 - logvar).sum(),
        "mu and logvar are the wrong way round.": _kl(logvar, mu),
        "this is the divergence of N(0, I) from N(mu, sigma²): it is the other way round.": (
            half * ((1 + square) / variance - 1 + logvar).sum()
        ),
        "the half belongs before the whole sum.": (half * (square + variance) - 1 - logvar).sum(),
    }


# Q2.3, the loss.


def _loss_inputs(rng, challenge):
    """Part I's errors on both sides of 1, beside a KL term that does not drown them.

    The first is the notebook's own, beta by default: mu is as wide as the actions, and taking one
    for the other shows.
    """
    batch, latent = ((5, 32), (16, 3), (1, 8))[challenge]
    weights = _weights(rng, 32 + 2 * latent, 42)
    weights["weight"][32:] *= 0.3
    return {
        **weights,
        "nobs": rng.uniform(-0.8, 0.8, (batch, 2, 5)).astype(np.float32),
        "naction": 3 * rng.uniform(-0.8, 0.8, (batch, 16, 2)).astype(np.float32),
        "beta": (None, float(rng.uniform(0.3, 0.8)), float(rng.uniform(1.5, 4)))[challenge],
    }


def _probe_agent(given):
    latent = (len(given["bias"]) - 32) // 2
    return _Probe(
        "agent", {"obs": 10, "action": 32}, (32, latent, latent), given["weight"], given["bias"]
    )


def _loss_call(answer, given):
    agent = _probe_agent(given)
    loss = call_answer(
        "cvae_loss",
        answer,
        agent,
        torch.tensor(given["nobs"]),
        torch.tensor(given["naction"]),
        **({} if given["beta"] is None else {"beta": given["beta"]}),
    )
    return _number("cvae_loss", loss, [agent.linear.weight])


def _loss_judge(given, got):
    if got["value"].size != 1:
        raise AnswerError(
            f"The loss has shape {got['value'].shape}. Hint: one number for the whole batch: the"
            " mean of the squares over everything, and beta times the one number that"
            " kl_divergence gives."
        )
    loss, agent = float(got["value"].reshape(())), _probe_agent(given).double()
    nobs, naction = (torch.from_numpy(given[name]).double() for name in ("nobs", "naction"))
    beta = 10.0 if given["beta"] is None else given["beta"]
    prediction, mu, logvar = agent(nobs.flatten(1), naction.flatten(1))
    right = nn.functional.mse_loss(prediction, naction.flatten(1)) + beta * _kl(mu, logvar)
    if not np.isclose(loss, right.item(), rtol=1e-5):
        said = "left at its default" if given["beta"] is None else f"= {beta:.3g}"
        raise AnswerError(
            f"With beta {said} the loss is {loss:.6g} where {right.item():.6g} is right. Hint: "
            f"{_loss_hint(loss, agent, nobs, naction, beta, given['beta'] is None)}"
        )
    if got["gradients"] is None:
        raise AnswerError(
            "The value is right, but no gradient reaches the agent. Hint: leave out torch.no_grad"
            " and .detach() here."
        )
    rows = {"squared error": slice(0, 32), "KL term": slice(32, None)}
    gradient = torch.autograd.grad(right, agent.linear.weight)[0].numpy()
    for name, part in rows.items():
        if not np.allclose(got["gradients"][0][part], gradient[part], rtol=1e-3, atol=1e-5):
            raise AnswerError(
                f"The value is right, but the gradient of its {name} is not. Hint: nothing on the"
                " way from the agent's outputs to the loss may be detached."
            )


@torch.no_grad()
def _loss_hint(loss, agent, nobs, naction, beta, by_default):
    def of(obs, action, target=naction.flatten(1)):
        prediction, mu, logvar = agent(obs, action)
        return nn.functional.mse_loss(prediction, target) + beta * _kl(mu, logvar)

    obs, action = nobs.flatten(1), naction.flatten(1)
    prediction, mu, logvar = agent(obs, action)
    error = prediction - action
    mse, kl = error.square().mean(), _kl(mu, logvar)
    first = " If Q2.2 is not right yet, mend that first."
    candidates = {
        "the KL term is missing.": mse,
        "the squared error is missing.": beta * kl,
        "beta belongs to the KL term, not to the squared error.": beta * mse + kl,
        "beta belongs to the KL term alone.": beta * (mse + kl),
        f"the KL term is subtracted: add it.{first}": mse - beta * kl,
        f"the KL term is averaged over everything: it is a sum.{first}": (
            mse + beta * kl / mu.numel()
        ),
        f"the KL term is averaged over the batch: it is a sum.{first}": mse + beta * kl / len(mu),
        f"the KL term is averaged over the latent dimensions: it is a sum.{first}": (
            mse + beta * kl / mu.shape[1]
        ),
        "the squared error is summed: take its mean, over batch, steps and dimensions.": (
            error.square().sum() + beta * kl
        ),
        "the squared error is summed over each chunk: take its mean over steps and dimensions too.": (
            error.square().sum() / len(error) + beta * kl
        ),
        "the squared error is summed over the two coordinates: take its mean over them too.": (
            2 * mse + beta * kl
        ),
        "the squared error is halved.": mse / 2 + beta * kl,
        "the absolute error is taken: square the differences.": error.abs().mean() + beta * kl,
        "the root of the mean squared error is taken: leave it out.": mse.sqrt() + beta * kl,
        "a smooth L1 (Huber) loss is taken: use the mean squared error.": (
            nn.functional.smooth_l1_loss(prediction, action) + beta * kl
        ),
        "the output is reshaped in the wrong order: view it as (B, pred_horizon, action_dim), without a transpose.": (
            nn.functional.mse_loss(prediction.view(-1, 2, 16).transpose(1, 2), naction) + beta * kl
        ),
        "the observations are flattened in the wrong order: time step by time step, without a transpose.": of(
            nobs.transpose(1, 2).flatten(1), action
        ),
        "the observations are flattened in the wrong order: newest last.": of(
            nobs.flip(1).flatten(1), action
        ),
        "the actions are flattened in the wrong order: time step by time step, without a transpose.": of(
            obs, naction.transpose(1, 2).flatten(1)
        ),
        "the actions are flattened in the wrong order, here and in the comparison: time step by time step.": of(
            obs, naction.transpose(1, 2).flatten(1), naction.transpose(1, 2).flatten(1)
        ),
        "the agent is to see the demonstrated actions.": of(obs, torch.zeros_like(action)),
        "only the executed actions count here: compare all pred_horizon of them.": (
            error.view(-1, 16, 2)[:, 1:9].square().mean() + beta * kl
        ),
        "only the first action_horizon actions count here: compare all pred_horizon of them.": (
            error.view(-1, 16, 2)[:, :8].square().mean() + beta * kl
        ),
    }
    if by_default:
        candidates |= {
            f"beta counts as {other:g}: multiply the KL term by beta, and leave its default at 10.": (
                mse + other * kl
            )
            for other in (1, 0.1, 0.01, 0.001, 1e-4, 1e-5, 100)
        }
        # All three are 32 wide here.
        names, outputs = ("the prediction", "mu", "logvar"), (prediction, mu, logvar)
        candidates |= {
            f"the agent gives prediction, mu and logvar in this order; here these are {names[i]}, {names[j]} and {names[k]}.": (
                (outputs[i] - action).square().mean() + beta * _kl(outputs[j], outputs[k])
            )
            for i, j, k in ((1, 2, 0), (2, 0, 1), (2, 1, 0), (1, 0, 2))
        }
    else:
        candidates |= {
            "beta is an argument: do not fix it at 10.": mse + 10 * kl,
            "beta is left out.": mse + kl,
            "beta is squared.": mse + beta**2 * kl,
            "the KL term is to be multiplied by beta.": mse + kl / beta,
        }
    candidates |= {
        f"the KL term is not right: {hint} If Q2.2 is not right yet, mend that first.": (
            mse + beta * value
        )
        for hint, value in _kl_mistakes(mu, logvar).items()
    }
    candidates |= {
        "kl_divergence takes logvar; here it is given sigma.": (
            mse + beta * _kl(mu, (logvar / 2).exp())
        ),
        "kl_divergence takes logvar; here it is given the variance.": (
            mse + beta * _kl(mu, logvar.exp())
        ),
    }
    # At first narrowly: one of so many may lie near by chance.
    return (
        mistake(loss, candidates, rtol=1e-6)
        or mistake(loss, candidates)
        or (
            "it is the mean squared difference between the agent's prediction and naction, both in"
            f" the same shape, plus beta times kl_divergence(mu, logvar).{first}"
        )
    )


# Q2.4, inference.


class _Actor(nn.Module):
    """Stands for a trained agent, of which only `sample_action` is of use when acting."""

    def __init__(self, given):
        super().__init__()
        width = len(given["bias"])
        self.latent_dim = given["weight"].shape[1] - 10
        self.decoder = _Probe(
            "decoder", {"obs": 10, "z": self.latent_dim}, (width,), given["weight"], given["bias"]
        )
        self.encoder = _NotAsked(
            "the encoder was asked. Hint: there are no actions to show it when acting; ask"
            " sample_action"
        )

    def sample_action(self, obs):
        if not isinstance(obs, torch.Tensor) or obs.ndim != 2 or obs.shape[1] != 10:
            raise ValueError(
                _misfit(
                    "method sample_action", {"obs": 10}, {"obs": tuple(getattr(obs, "shape", ()))}
                )
            )
        return self.decoder(obs, obs.new_zeros(len(obs), self.latent_dim))

    def forward(self, *args, **kwargs):
        raise ValueError(
            "the agent itself was asked. Hint: that is for training; when acting, ask"
            " model.sample_action"
        )


def _inference_inputs(rng, challenge):
    """Another split of the same 32 numbers in between: what was written for 16 actions of 2 gives
    the wrong shape there.
    """
    batch, pred_horizon = ((5, 16), (16, int(rng.choice([4, 8]))), (1, 16))[challenge]
    return {
        **_weights(rng, 32, 10 + 5),
        "nobs": rng.uniform(-0.8, 0.8, (batch, 2, 5)).astype(np.float32),
        "pred_horizon": pred_horizon,
        "action_dim": 32 // pred_horizon,
    }


def _inference_call(answer, given):
    nobs, batch = torch.tensor(given["nobs"]), len(given["nobs"])
    naction = call_answer(
        f"cvae_inference with batch_size {batch}",
        answer,
        model=_Actor(given),
        batch_size=batch,
        nobs=nobs,
        pred_horizon=given["pred_horizon"],
        action_dim=given["action_dim"],
    )
    if not isinstance(naction, torch.Tensor):
        raise AnswerError(
            f"cvae_inference returned a {type(naction).__name__}. Hint: return the tensor naction,"
            " nothing else."
        )
    return {"naction": as_array("cvae_inference", naction), "requires_grad": naction.requires_grad}


def _inference_judge(given, got):
    naction, obs = got["naction"], given["nobs"].reshape(-1, 10)
    shape = (len(obs), given["pred_horizon"], given["action_dim"])
    if naction.shape != shape:
        raise AnswerError(
            f"For {len(obs)} observations the result has shape {naction.shape}; (batch_size,"
            f" pred_horizon, action_dim) = {shape} is needed. Hint:"
            f" {_shape_hint(naction.shape, shape)}"
        )
    output = _values(given, obs, np.zeros((len(obs), given["weight"].shape[1] - 10)))
    right = output.reshape(shape)
    if not np.allclose(naction, right, rtol=1e-5, atol=1e-6):
        if np.allclose(
            naction, output.reshape(shape[0], shape[2], shape[1]).swapaxes(1, 2), atol=1e-6
        ):
            hint = (
                "the output is reshaped in the wrong order: (B, pred_horizon, action_dim), without"
                " a transpose."
            )
        elif len(obs) > 1 and np.allclose(naction[0], right[0], atol=1e-6):
            hint = "only the first of the batch is right: each observation gets its own actions."
        elif _latent(given, obs, naction.reshape(len(obs), -1))[1]:
            hint = (
                "they are decoded with another latent than zero: draw nothing, and ask"
                " model.sample_action."
            )
        else:
            hint = (
                "flatten each observation sequence from dimension 1 on, ask sample_action, reshape;"
                " change nothing else."
            )
        raise AnswerError(f"The actions are not those that sample_action gives. Hint: {hint}")
    if got["requires_grad"]:
        raise AnswerError(
            "The actions are right, but gradients were recorded. Hint: ask the model under"
            " torch.no_grad()."
        )


def _shape_hint(shape, right):
    batch, steps, dims = right
    if shape == (batch, steps * dims):
        return "reshape what sample_action gives."
    if shape == (batch, dims, steps):
        return "the last two are the wrong way round."
    if shape in ((batch, 8, dims), (batch, 9, dims)):
        return "return all pred_horizon actions; the loop picks those to execute."
    if shape == (batch, 16, 2):
        return "the sizes are arguments: use pred_horizon and action_dim."
    if batch > 1 and shape == (1, steps, dims) or shape == (steps, dims):
        return "it has to serve a whole batch, not one observation at a time."
    return "view what sample_action gives as (batch_size, pred_horizon, action_dim)."


QUESTIONS = {
    "Q2.1": (_agent_inputs, _agent_call, _agent_judge),
    "Q2.2": (_kl_inputs, _kl_call, _kl_judge),
    "Q2.3": (_loss_inputs, _loss_call, _loss_judge),
    "Q2.4": (_inference_inputs, _inference_call, _inference_judge),
}
