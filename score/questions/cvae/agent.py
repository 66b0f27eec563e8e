"""Part II, the CVAE: Q2.1 the agent, whose networks are replaced by stand-ins; Q2.4 inference."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from score.questions.base import (
    Array,
    Arrays,
    Question,
    Rng,
    as_array,
    as_sent,
    gradients,
    require,
    wrong,
)
from score.questions.kinds import InferenceQuestion
from score.questions.mistakes import hint_of, hint_where
from score.questions.networks import (
    NotCalled,
    Probe,
    linear_output,
    random_weights,
    require_rows,
    small,
)
from score.verdict import call_answer

_OUTPUTS = ("action", "mu", "logvar")
# Bounds that an honest draw oversteps less than once in a million: on its distance from the mean in
# standard deviations, on its quantiles, on correlations.
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
        bounds = {"obs_dim": (4, 7), "obs_horizon": (2, 4), "action_dim": (2, 4)}
        bounds |= {"pred_horizon": (10, 14), "latent_dim": (4, 8)}
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
            "obs": small(rng, batch, width_obs),
            "action": small(rng, batch, width_action),
            "seed": int(rng.integers(2**31)),
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        hint = 'hand over the class: score.check("Q2.1", CVAEAgent).'
        require(not isinstance(answer, nn.Module), "This is an agent.", hint)
        # The notebook's generator stays as it is, though weights and noise are drawn.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(inputs["seed"])
            layers = {"encoder_dim_list": [8, 6], "decoder_dim_list": [6, 8]}
            agent = call_answer("CVAEAgent", answer, **layers, **inputs["sizes"])
            hint = "leave the class an nn.Module, as it was given."
            require(isinstance(agent, nn.Module), f"CVAEAgent gave a {type(agent).__name__}.", hint)
            networks = ("encoder", "decoder")
            both = call_answer("CVAEAgent", lambda: all(hasattr(agent, n) for n in networks))
            hint = "leave __init__ as it was given."
            require(both, "The agent has no encoder or no decoder.", hint)
            return self.outputs(agent, inputs)

    def outputs(self, agent: Any, inputs: Arrays) -> Arrays:
        """Return what the agent's methods give with stand-ins for its networks."""
        latent, seen = inputs["sizes"]["latent_dim"], torch.tensor(inputs["obs"])
        obs, action = {"obs": inputs["obs"].shape[1]}, {"action": inputs["action"].shape[1]}
        encoder = Probe("encoder", obs | action, (latent, latent), inputs["encoder"])
        gives = tuple(action.values())
        agent.decoder = Probe("decoder", obs | {"z": latent}, gives, inputs["decoder"])
        hint = "when acting there are no actions to show it; decode with z = 0"
        agent.encoder = NotCalled(f"the encoder was called. Hint: {hint}")
        acted = call_answer("sample_action", lambda: agent.sample_action(seen))
        if isinstance(acted, (tuple, list)):
            hint = "return the actions and nothing else."
            raise wrong(f"sample_action returned {len(acted)} things.", hint)
        acted = as_array("sample_action", acted)
        agent.encoder, calls = encoder, []
        for _ in range(2):
            tensors = self.forward(agent, inputs)
            calls.append({name: as_array(f"forward's {name}", x) for name, x in tensors.items()})
        bias: list[Tensor] = [encoder.linear.bias]
        by_bias = {name: gradients(f"forward's {name}", x, bias) for name, x in tensors.items()}
        return {"acted": acted, "calls": calls, "gradients": by_bias}

    def forward(self, agent: Any, inputs: Arrays) -> dict[str, Tensor]:
        """Return what the agent's forward gives, by name."""
        obs, action = torch.tensor(inputs["obs"]), torch.tensor(inputs["action"])
        outputs = call_answer("forward", lambda: agent(obs, action))
        several = isinstance(outputs, (tuple, list))
        said = f"{len(outputs)} things" if several else f"a {type(outputs).__name__}"
        hint = "return three tensors: the actions, mu and logvar."
        require(several and len(outputs) == 3, f"forward returned {said}.", hint)
        return dict(zip(_OUTPUTS, outputs))

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        obs, acted, needed = inputs["obs"], outputs["acted"], inputs["action"].shape
        said = f"sample_action returned the shape {acted.shape}, where {needed} is needed."
        hint = "return what the decoder gives, for the whole batch and flat."
        require(acted.shape == needed, said, hint)
        z, decoded = decoded_latent(inputs["decoder"], obs, acted)
        hint = "decode the observations with z = 0, and change nothing."
        require(decoded, "sample_action's actions are not what the decoder gives.", hint)
        ones = np.allclose(z, 1, atol=1e-4)
        hint = "it is ones: take zeros" if ones else "draw nothing when acting"
        said = "sample_action decodes with another latent than zero."
        require(np.abs(z).max() <= 1e-4, said, f"{hint}; z = 0 is the likeliest under N(0, I).")
        encoded = linear_output(inputs["encoder"], obs, inputs["action"])
        mu, logvar = np.split(encoded, 2, axis=1)
        before, z = (judge_forward(inputs, call, mu, logvar) for call in outputs["calls"])
        judge_noise(z, before, mu, logvar)
        judge_gradients(inputs, outputs["gradients"], z - mu)


def decoded_latent(decoder: Arrays, obs: Array, action: Array) -> tuple[Array, bool]:
    """Return the z (B, latent) that decodes obs to action most nearly, and whether it does."""
    weight = decoder["weight"][:, obs.shape[1] :].astype(float)
    zero = linear_output(decoder, obs, np.zeros((len(obs), weight.shape[1])))
    if not np.isfinite(action).all():
        return np.full((len(obs), weight.shape[1]), np.nan), False
    z = (action - zero) @ np.linalg.pinv(weight).T
    atol = 1e-5 * (1 + np.abs(action).max())
    return z, np.allclose(zero + z @ weight.T, action, rtol=1e-5, atol=atol)


def judge_forward(inputs: Arrays, outputs: Arrays, mu: Array, logvar: Array) -> Array:
    """Return the latent that forward decoded; its outputs have to fit what the encoder said."""
    shapes = [outputs[name].shape for name in _OUTPUTS]
    right = [inputs["action"].shape, mu.shape, mu.shape]
    hint = "the order is: actions, mu, logvar."
    if sorted(shapes) != sorted(right):
        encoded = f"the encoder's mu and logvar, each {mu.shape}."
        hint = f"needed are the decoder's actions, {right[0]}, and {encoded}"
    require(shapes == right, f"forward returned the shapes {', '.join(map(str, shapes))}.", hint)
    z, decoded = decoded_latent(inputs["decoder"], inputs["obs"], outputs["action"])
    known = [
        (mu, "this is mu."),
        (logvar, "this is logvar."),
        (z, "this is z."),
        (np.exp(logvar / 2), "this is sigma."),
        (np.exp(logvar), "this is the variance."),
    ]
    unchanged = "return it as the encoder gives it for obs and action, unchanged."
    for name, expected in (("mu", mu), ("logvar", logvar)):
        same = np.allclose(outputs[name], expected, rtol=1e-4, atol=1e-4)
        hint = hint_of(outputs[name], known, rtol=1e-3, atol=1e-3) or unchanged
        require(same, f"forward's {name} is not what the encoder gives.", hint)
    hint = "decode the observations with z, and change nothing."
    if not np.isfinite(outputs["action"]).all():
        hint = "they are not finite: logvar may be negative, and sigma is exp(logvar / 2)."
    require(decoded, "forward's actions are not what the decoder gives.", hint)
    return z


def judge_noise(z: Array, before: Array, mu: Array, logvar: Array) -> None:
    """z has to be a draw from N(mu, exp(logvar)), and another one than before."""
    sigma = np.exp(logvar / 2)
    if len(z) < 1000:
        # Too few to show a distribution. A sigma that is kept above exp(-5) does no harm.
        near = all(np.all(np.abs(one - mu) < _FAR * sigma + 0.03) for one in (z, before))
        hint = "sigma is exp(logvar / 2), and nothing else is added."
        require(near, "z lies further from mu than its standard deviation allows.", hint)
        return
    noise = (z - mu) / sigma
    if _is_standard(noise, logvar):
        hint, again = "set no seed inside the agent.", np.allclose(z, before, atol=1e-3)
        require(not again, "Two calls of forward draw the same noise.", hint)
        together = np.corrcoef(noise, rowvar=False) - np.eye(z.shape[1])
        if np.abs(together).max() < _CORRELATED:
            return
    said = "z is not drawn from a normal distribution with mean mu and variance exp(logvar)."
    raise wrong(said, _noise_hint(z, noise, mu, logvar))


def _is_standard(noise, logvar):
    """Whether noise is distributed as N(0, 1), where logvar is small, middling and large."""
    thirds = np.array_split(noise.ravel()[np.argsort(logvar, axis=None)], 3)
    return all(np.abs(np.quantile(third, _LEVELS) - _QUANTILES).max() < _OFF for third in thirds)


def _noise_hint(z, noise, mu, logvar):
    sigma = np.exp(logvar / 2)
    fixed = [
        (mu, "this is z = mu: add sigma times noise."),
        (mu + sigma, "this is z = mu + sigma: sigma is to be multiplied by noise."),
        (np.zeros_like(mu), "z is zero: that is for acting."),
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
        scaled = hint_where(_scaled_noises(z, mu, logvar), lambda x: _is_standard(x, logvar))
    return scaled or "z = mu + exp(logvar / 2) * noise, the noise from torch.randn_like(mu)."


def _scaled_noises(z, mu, logvar):
    """Yield what is N(0, 1) where noise was scaled or shifted by mistake."""
    noise, sigma = z - mu, np.exp(logvar / 2)
    yield noise / sigma**2, "exp(logvar) is the variance: sigma is its root, exp(logvar / 2)."
    yield noise / logvar, "logvar itself is no spread: sigma is exp(logvar / 2)."
    yield noise, "the noise is not multiplied by sigma."
    yield noise * sigma, "sigma is exp(logvar / 2), with a plus."
    yield noise / np.exp(logvar / 4), "sigma is exp(logvar / 2); this is a quarter."
    yield z / sigma, "mu is not added."
    yield z, "this is plain noise: multiply it by sigma and add mu."
    yield (z - logvar) / np.exp(mu / 2), "mu and logvar are the wrong way round."


def judge_gradients(inputs: Arrays, found: Arrays, noise: Array) -> None:
    """Judge the derivatives of forward's outputs, summed, by the encoder's biases of mu, logvar."""
    batch, latent = noise.shape
    by_z = inputs["decoder"]["weight"][:, inputs["obs"].shape[1] :].sum(axis=0).astype(float)
    by_mu, by_logvar = np.repeat([[batch, 0], [0, batch]], latent, axis=1)
    by_action = np.concatenate([batch * by_z, by_z * noise.sum(axis=0) / 2])
    rsample = "z = mu + sigma * noise (Normal has rsample for it; its sample has no gradient)."
    hints = dict.fromkeys(_OUTPUTS, "return it as it is: the KL term needs its gradient.")
    hints["action"] = f"nothing between the encoder and the actions may be detached; {rsample}"
    hint = "leave mu and logvar attached on their way into z and out of forward."
    for name, right in zip(_OUTPUTS, (by_action, by_mu, by_logvar)):
        said = f"No gradient reaches the encoder from forward's {name}."
        require(found[name] is not None, said, hints[name])
        by_bias = as_sent(found[name][0], 2 * latent)
        same = np.isclose(by_bias, right, rtol=1e-2, atol=1e-4 * batch + 0.1)
        part = "mu" if not same[:latent].all() else "logvar"
        said = f"not the gradient of forward's {name} with respect to {part}."
        require(same.all(), f"The values are right, but {said}", hint)


class Actor(NotCalled):
    """Stands for a trained agent, of which only `sample_action` is of use when acting."""

    def __init__(self, inputs: Arrays):
        hint = "that is for training; when acting, call model.sample_action"
        super().__init__(f"the agent itself was called. Hint: {hint}")
        width, self.latent_dim = len(inputs["bias"]), inputs["weight"].shape[1] - 10
        self.decoder = Probe("decoder", {"obs": 10, "z": self.latent_dim}, (width,), inputs)
        hint = "there are no actions to show it when acting; call sample_action"
        self.encoder = NotCalled(f"the encoder was called. Hint: {hint}")

    def sample_action(self, obs: Tensor) -> Tensor:
        require_rows("method sample_action", {"obs": 10}, {"obs": obs}, 1)
        return self.decoder(obs, obs.new_zeros(len(obs), self.latent_dim))


class CVAEInference(InferenceQuestion):
    """The chunks that an agent's `sample_action` gives for a batch of observations."""

    name, function, source = "Q2.4", "cvae_inference", "sample_action"
    output = flat = "what sample_action gives"
    tensor_hint = "return the tensor naction, nothing else."

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The second splits 32 numbers otherwise: what is written for 16 actions fails there."""
        batch, horizon = ((5, 16), (16, int(rng.choice([4, 8]))), (1, 16))[trial]
        inputs = {**random_weights(rng, 32, 10 + 5), "nobs": small(rng, batch, 2, 5)}
        return inputs | {"pred_horizon": horizon, "action_dim": 32 // horizon}

    def sizes(self, inputs: Arrays) -> dict[str, int]:
        return {name: inputs[name] for name in ("pred_horizon", "action_dim")}

    def model(self, inputs: Arrays) -> nn.Module:
        return Actor(inputs)

    def expected(self, inputs: Arrays) -> Array:
        obs = inputs["nobs"].reshape(-1, 10)
        return linear_output(inputs, obs, np.zeros((len(obs), inputs["weight"].shape[1] - 10)))

    def actions_hint(self, inputs: Arrays, naction: Array, right: Array) -> str:
        obs = inputs["nobs"].reshape(-1, 10)
        if decoded_latent(inputs, obs, naction.reshape(len(obs), -1))[1]:
            other = "another latent than zero: draw nothing, and call model.sample_action."
            return f"they are decoded with {other}"
        return super().actions_hint(inputs, naction, right)
