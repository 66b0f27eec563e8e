"""Part II, the CVAE: Q2.1 the agent, a class whose networks are replaced by stand-ins."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from score.questions.base import Arrays, Question, Rng, as_array, gradients, wrong
from score.questions.mistakes import Mistake, hint_of
from score.questions.networks import (
    NotCalled,
    Probe,
    decoded_latent,
    linear_output,
    random_weights,
)
from score.verdict import call_answer

_OUTPUTS = ("action", "mu", "logvar")
# Bounds that an honest draw oversteps less than once in a million: far away in standard deviations,
# quantiles off, correlated.
_FAR, _OFF, _CORRELATED = 7, 0.2, 0.15
_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
_QUANTILES = (-1.2816, -0.6745, 0, 0.6745, 1.2816)  # of N(0, 1)


class CVAEAgent(Question):
    """The class `CVAEAgent`: what its methods make of outputs of encoder and decoder."""

    name = "Q2.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """A batch that shows how z is distributed, a small one, and one sample with next to no
        variance. No two widths are the same, and latent_dim is not the notebook's.
        """
        bounds = {
            "obs_dim": (4, 7),
            "obs_horizon": (2, 4),
            "action_dim": (2, 4),
            "pred_horizon": (10, 14),
            "latent_dim": (4, 8),
        }
        sizes = {name: int(rng.integers(*bound)) for name, bound in bounds.items()}
        width_obs = sizes["obs_dim"] * sizes["obs_horizon"]
        width_action = sizes["action_dim"] * sizes["pred_horizon"]
        latent, batch = sizes["latent_dim"], (2048, 5, 1)[trial]
        encoder = random_weights(rng, 2 * latent, width_obs + width_action, most=0.9)
        if trial == 2:
            encoder["weight"][latent:] /= 100
            encoder["bias"][latent:] = -20
        return {
            "sizes": sizes,
            "encoder": encoder,
            "decoder": random_weights(rng, width_action, width_obs + latent, most=0.5),
            "obs": rng.uniform(-0.8, 0.8, (batch, width_obs)).astype(np.float32),
            "action": rng.uniform(-0.8, 0.8, (batch, width_action)).astype(np.float32),
            "seed": int(rng.integers(2**31)),
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        if isinstance(answer, nn.Module):
            raise wrong("This is an agent.", 'hand over the class: score.check("Q2.1", CVAEAgent).')
        # The notebook's generator stays as it is, though weights and noise are drawn.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(inputs["seed"])
            layers = {"encoder_dim_list": [8, 6], "decoder_dim_list": [6, 8]}
            agent = call_answer("CVAEAgent", answer, **layers, **inputs["sizes"])
            if not isinstance(agent, nn.Module):
                hint = "leave the class an nn.Module, as it was given."
                raise wrong(f"CVAEAgent gave a {type(agent).__name__}.", hint)
            networks = ("encoder", "decoder")
            if not call_answer("CVAEAgent", lambda: all(hasattr(agent, n) for n in networks)):
                hint = "leave __init__ as it was given."
                raise wrong("The agent has no encoder or no decoder.", hint)
            return self.outputs(agent, inputs)

    def outputs(self, agent: Any, inputs: Arrays) -> Arrays:
        """Return what the agent's methods give with stand-ins for its networks."""
        latent = inputs["sizes"]["latent_dim"]
        obs, action = {"obs": inputs["obs"].shape[1]}, {"action": inputs["action"].shape[1]}
        encoder = Probe("encoder", obs | action, (latent, latent), inputs["encoder"])
        gives = tuple(action.values())
        agent.decoder = Probe("decoder", obs | {"z": latent}, gives, inputs["decoder"])
        agent.encoder = NotCalled(
            "the encoder was asked. Hint: when acting there are no actions to show it; decode with"
            " z = 0"
        )
        seen = torch.tensor(inputs["obs"])
        acted = call_answer("sample_action", lambda: agent.sample_action(seen))
        if isinstance(acted, (tuple, list)):
            hint = "return the actions and nothing else."
            raise wrong(f"sample_action returned {len(acted)} things.", hint)
        acted = as_array("sample_action", acted)
        agent.encoder = encoder
        calls = []
        for _ in range(2):
            tensors = self.forward(agent, inputs)
            calls.append({name: as_array(f"forward's {name}", x) for name, x in tensors.items()})
        by_bias = {
            name: gradients(f"forward's {name}", x, [encoder.linear.bias])
            for name, x in tensors.items()
        }
        return {"acted": acted, "calls": calls, "gradients": by_bias}

    def forward(self, agent: Any, inputs: Arrays) -> dict[str, torch.Tensor]:
        """Return what the agent's forward gives, by name."""
        obs, action = torch.tensor(inputs["obs"]), torch.tensor(inputs["action"])
        outputs = call_answer("forward", lambda: agent(obs, action))
        if isinstance(outputs, (tuple, list)) and len(outputs) == 3:
            return dict(zip(_OUTPUTS, outputs, strict=True))
        several = isinstance(outputs, (tuple, list))
        said = f"{len(outputs)} things" if several else f"a {type(outputs).__name__}"
        hint = "return three tensors: the actions, mu and logvar."
        raise wrong(f"forward returned {said}.", hint)

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        judge_acting(inputs, outputs["acted"])
        encoded = linear_output(inputs["encoder"], inputs["obs"], inputs["action"])
        mu, logvar = np.split(encoded, 2, axis=1)
        before, z = (judge_forward(inputs, call, mu, logvar) for call in outputs["calls"])
        judge_noise(z, before, mu, logvar)
        judge_gradients(inputs, outputs["gradients"], z - mu)


def judge_acting(inputs: Arrays, acted: np.ndarray) -> None:
    """sample_action has to decode with z = 0."""
    if acted.shape != inputs["action"].shape:
        raise wrong(
            f"sample_action returned the shape {acted.shape}, where {inputs['action'].shape} is"
            " needed.",
            "return what the decoder gives, for the whole batch and flat.",
        )
    z, decoded = decoded_latent(inputs["decoder"], inputs["obs"], acted)
    if not decoded:
        hint = "decode the observations with z = 0, and change nothing."
        raise wrong("sample_action's actions are not what the decoder gives.", hint)
    if np.abs(z).max() > 1e-4:
        ones = np.allclose(z, 1, atol=1e-4)
        hint = "it is ones: take zeros" if ones else "draw nothing when acting"
        hint += "; z = 0 is the likeliest under N(0, I)."
        raise wrong("sample_action decodes with another latent than zero.", hint)


def judge_forward(
    inputs: Arrays, outputs: Arrays, mu: np.ndarray, logvar: np.ndarray
) -> np.ndarray:
    """Return the latent that forward decoded; its outputs have to fit what the encoder said."""
    shapes = [outputs[name].shape for name in _OUTPUTS]
    right = [inputs["action"].shape, mu.shape, mu.shape]
    if shapes != right:
        hint = "the order is: actions, mu, logvar."
        if sorted(shapes) != sorted(right):
            hint = (
                f"needed are the decoder's actions, {right[0]}, and the encoder's mu and logvar,"
                f" each {mu.shape}."
            )
        raise wrong(f"forward returned the shapes {', '.join(map(str, shapes))}.", hint)
    z, decoded = decoded_latent(inputs["decoder"], inputs["obs"], outputs["action"])
    known = [
        Mistake(mu, "this is mu."),
        Mistake(logvar, "this is logvar."),
        Mistake(z, "this is z."),
        Mistake(np.exp(logvar / 2), "this is sigma."),
        Mistake(np.exp(logvar), "this is the variance."),
    ]
    for name, expected in (("mu", mu), ("logvar", logvar)):
        if not np.allclose(outputs[name], expected, rtol=1e-4, atol=1e-4):
            hint = "return it as the encoder gives it for obs and action, unchanged."
            hint = hint_of(outputs[name], known, rtol=1e-3, atol=1e-3) or hint
            raise wrong(f"forward's {name} is not what the encoder gives.", hint)
    if not decoded:
        hint = "decode the observations with z, and change nothing."
        if not np.isfinite(outputs["action"]).all():
            hint = "they are not finite: logvar may be negative, and sigma is exp(logvar / 2)."
        raise wrong("forward's actions are not what the decoder gives.", hint)
    return z


def judge_noise(z: np.ndarray, before: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> None:
    """z has to be a draw from N(mu, exp(logvar)), and another one than before."""
    noise, sigma = z - mu, np.exp(logvar / 2)
    if len(z) < 1000:
        # Too few to show a distribution. A sigma that is kept from falling below exp(-5) does no
        # harm.
        if not all(np.all(np.abs(one - mu) < _FAR * sigma + 0.03) for one in (z, before)):
            hint = "sigma is exp(logvar / 2), and nothing else is added."
            raise wrong("z lies further from mu than its standard deviation allows.", hint)
        return
    if _is_standard(noise / sigma, logvar):
        if np.allclose(z, before, atol=1e-3):
            hint = "set no seed inside the agent."
            raise wrong("Two calls of forward draw the same noise.", hint)
        together = np.corrcoef(noise / sigma, rowvar=False) - np.eye(z.shape[1])
        if np.abs(together).max() < _CORRELATED:
            return
    raise wrong(
        "z is not drawn from a normal distribution with mean mu and variance exp(logvar).",
        _noise_hint(z, mu, logvar),
    )


def _is_standard(noise: np.ndarray, logvar: np.ndarray) -> bool:
    """Whether noise is distributed as N(0, 1), where logvar is small, middling and large."""
    thirds = np.array_split(noise.ravel()[np.argsort(logvar, axis=None)], 3)
    return all(np.abs(np.quantile(third, _LEVELS) - _QUANTILES).max() < _OFF for third in thirds)


def _noise_hint(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> str:
    sigma = np.exp(logvar / 2)
    noise = (z - mu) / sigma
    fixed = [
        Mistake(mu, "this is z = mu: add sigma times noise."),
        Mistake(mu + sigma, "this is z = mu + sigma: sigma is to be multiplied by noise."),
        Mistake(np.zeros_like(mu), "z is zero: that is for acting."),
    ]
    if hint := hint_of(z, fixed, rtol=1e-3, atol=1e-3):
        return hint
    if noise.std(axis=0).max() < 0.01:
        return "all samples share one noise: draw it in the shape of mu."
    if noise.std(axis=1).max() < 0.01:
        return "all latent dimensions share one noise: draw it in the shape of mu."
    if noise.min() > -1e-3 and noise.max() < 1.001:
        return "the noise lies between 0 and 1: torch.rand is uniform, torch.randn is normal."
    with np.errstate(all="ignore"):
        for mistake in _scaled_noises(z, mu, logvar):
            if _is_standard(mistake.value, logvar):
                return mistake.hint
    return "z = mu + exp(logvar / 2) * noise, the noise from torch.randn_like(mu)."


def _scaled_noises(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Iterator[Mistake]:
    """Yield what is N(0, 1) where noise was scaled or shifted by mistake."""
    noise, sigma = z - mu, np.exp(logvar / 2)
    hint = "exp(logvar) is the variance: sigma is its root, exp(logvar / 2)."
    yield Mistake(noise / sigma**2, hint)
    yield Mistake(noise / logvar, "logvar itself is no spread: sigma is exp(logvar / 2).")
    yield Mistake(noise, "the noise is not multiplied by sigma.")
    yield Mistake(noise * sigma, "sigma is exp(logvar / 2), with a plus.")
    yield Mistake(noise / np.exp(logvar / 4), "sigma is exp(logvar / 2); this is a quarter.")
    yield Mistake(z / sigma, "mu is not added.")
    yield Mistake(z, "this is plain noise: multiply it by sigma and add mu.")
    yield Mistake((z - logvar) / np.exp(mu / 2), "mu and logvar are the wrong way round.")


def judge_gradients(inputs: Arrays, found: Arrays, noise: np.ndarray) -> None:
    """Judge the derivatives of the sums of forward's outputs with respect to the encoder's two
    biases, that of mu and that of logvar.
    """
    batch, latent = noise.shape
    by_z = inputs["decoder"]["weight"][:, inputs["obs"].shape[1] :].sum(axis=0).astype(float)
    none, all_ones = np.zeros(latent), np.full(latent, float(batch))
    right = {
        "action": (batch * by_z, by_z * noise.sum(axis=0) / 2),
        "mu": (all_ones, none),
        "logvar": (none, all_ones),
    }
    for name, parts in right.items():
        if found[name] is None:
            hint = "return it as it is: the KL term needs its gradient."
            if name == "action":
                hint = (
                    "nothing between the encoder and the actions may be detached; z = mu + sigma *"
                    " noise (Normal has rsample for it; its sample has no gradient)."
                )
            raise wrong(f"No gradient reaches the encoder from forward's {name}.", hint)
        halves = np.split(found[name][0], 2)
        for part, half, expected in zip(("mu", "logvar"), halves, parts, strict=True):
            if not np.allclose(half, expected, rtol=1e-2, atol=1e-4 * batch + 0.03):
                raise wrong(
                    f"The values are right, but not the gradient of forward's {name} with respect"
                    f" to {part}.",
                    "leave mu and logvar attached on their way into z and out of forward.",
                )


QUESTIONS = (CVAEAgent(),)
