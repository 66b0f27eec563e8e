"""Part III, the diffusion policy: how Q3.2 judges a DDPM's steps forth and back."""

from typing import NamedTuple

import numpy as np

from score.questions.base import Array, Arrays, require, wrong
from score.questions.mistakes import diffusion_noise_hint, hint_of, nearest_hint

_VIEW = "alpha_k_cumprod[k].view(-1, 1, 1)"


class Tables(NamedTuple):
    """What a DDPM has for each of its K steps, each (K,)."""

    beta: Array
    alpha: Array
    bar: Array  # the cumulative products of alpha
    previous: Array  # those of the step before, 1 at k = 0
    variance: Array  # of the noise that `denoise` adds


def judge_diffuse(case: Arrays, a_k: Array, tables: Tables) -> None:
    """`diffuse` has to mix chunk and noise (B, steps, coordinates), each sample at its own step."""
    a, noise, k = case["a_start"].astype(np.float64), case["noise"].astype(np.float64), case["k"]
    hint = f"the coefficients are broadcast over steps and coordinates: {_VIEW}."
    require(a_k.shape == a.shape, f"diffuse turns {a.shape} into {a_k.shape}.", hint)
    left = tables.bar[k].reshape(-1, 1, 1)
    right = np.sqrt(left) * a + np.sqrt(1 - left) * noise
    if not np.allclose(a_k, right, rtol=1e-5, atol=1e-5):  # a chunk's numbers are of the order of 1
        given = f"the noise that is given, with alpha_bar_k = {_VIEW}."
        hint = f"sqrt(alpha_bar_k) times the chunk plus sqrt(1 - alpha_bar_k) times {given}"
        hint = nearest_hint(a_k, _mixtures_mistaken(a, noise, k, tables)) or hint
        named = k.tolist() if len(k) < 9 else "every step"
        raise wrong(f"diffuse gives the wrong A_k for k = {named}.", hint)


def _mixtures_mistaken(a, noise, k, tables):
    def mix(of_chunk, of_noise, hint):
        return of_chunk * a + of_noise * noise, hint

    def mix_at(left, hint):
        return mix(np.sqrt(left), np.sqrt(1 - left), hint)

    def column(table):
        return table[k].reshape(-1, 1, 1)

    left, alpha = column(tables.bar), column(tables.alpha)
    root, rest = np.sqrt(left), np.sqrt(1 - left)
    yield mix_at(alpha, "alpha_k stands where its cumulative product (alpha_k_cumprod) is needed.")
    hint = "alpha_k stands before the chunk where alpha_k_cumprod is needed."
    yield mix(np.sqrt(alpha), rest, hint)
    hint = "beta_k stands before the noise where 1 - alpha_k_cumprod is needed."
    yield mix(root, np.sqrt(1 - alpha), hint)
    roots = "sqrt(alpha_bar) before the chunk, sqrt(1 - alpha_bar) before the noise."
    yield mix(left, 1 - left, f"the roots are missing: {roots}")
    yield mix(root, 1 - left, "the root before the noise is missing.")
    yield mix(left, rest, "the root before the chunk is missing.")
    yield mix(rest, root, "the two coefficients are swapped: little noise at k = 0.")
    hint = "the second coefficient is sqrt(1 - alpha_bar), not 1 - sqrt(alpha_bar)."
    yield mix(root, 1 - root, hint)
    yield mix(root, -rest, "the noise is subtracted: add it.")
    yield mix(root, 1, "the noise comes undamped: multiply it by sqrt(1 - alpha_bar).")
    yield mix(1, rest, "the chunk comes undamped: multiply it by sqrt(alpha_bar).")
    yield mix(root, 0, "the noise is left out.")
    yield mix(0, rest, "the chunk is left out.")
    yield mix_at(column(tables.previous), "it is off by one: this is step k - 1.")
    following = np.append(tables.bar[1:], tables.bar[-1])
    yield mix_at(column(following), "it is off by one: this is step k + 1.")
    yield mix_at(left[:1], "all samples get the step of the first: each has its own k.")
    if len(a) > 1 and a.shape[0] == a.shape[1] == a.shape[2]:
        own = f"{_VIEW} gives each sample of the batch its own, one for the whole chunk"
        hint = f"the coefficients are broadcast over the wrong axis: {own}"
        yield mix_at(left.reshape(1, 1, -1), f"{hint} (not coordinates).")
        yield mix_at(left.reshape(1, -1, 1), f"{hint} (not steps).")


def judge_mean(case: Arrays, outputs: dict[str, Array], tables: Tables) -> None:
    """The mean of `denoise` at a step k has to be that of the posterior.

    outputs: "plus" and "minus", from inputs of opposite signs with the same noise; "again", with
    other noise.
    """
    k, (epsilon, a_k) = case["k"], (case[name].astype(np.float64) for name in ("epsilon", "a_k"))
    hint = "k is one number for the whole batch, and so are the coefficients."
    for a in outputs.values():
        require(a.shape == a_k.shape, f"denoise turns {a_k.shape} into {a.shape} at k = {k}.", hint)
    mean = (outputs["plus"] - outputs["minus"]) / 2
    said = f"denoise gives numbers that are not finite at k = {k}."
    hint = "is the square root of a negative number taken, or something divided by zero?"
    require(np.isfinite(mean).all(), said, hint)
    inside, front = tables.beta[k] / np.sqrt(1 - tables.bar[k]), 1 / np.sqrt(tables.alpha[k])
    if not np.allclose(mean, front * (a_k - inside * epsilon), rtol=1e-4, atol=1e-5):
        mu = "mu = 1/sqrt(alpha_k) · (a_k - beta_k / sqrt(1 - alpha_bar_k) · pred_epsilon)"
        hint = f"{mu}; to it the noise is added, whatever a_k is."
        if np.abs(outputs["plus"]).max() == 1:
            hint = "nothing is to be cut off on the way when clip_denoised is off."
        hint = nearest_hint(mean, _means_mistaken(k, epsilon, a_k, tables)) or hint
        raise wrong(f"denoise has the wrong mean at k = {k}.", hint)


def _means_mistaken(k, epsilon, a_k, tables):
    beta, alpha, bar, rest = tables.beta, tables.alpha, tables.bar, 1 - tables.bar
    share, factor = beta / np.sqrt(rest), 1 / np.sqrt(alpha)
    inside, front = share[k], factor[k]

    def mean(inside, front, hint):
        return front * (a_k - inside * epsilon), hint

    hint = "in front stands 1/sqrt(alpha_k), without the bar."
    yield mean(inside, 1 / np.sqrt(bar[k]), hint)
    hint = "inside stands sqrt(1 - alpha_bar_k), with the bar: alpha_k_cumprod, not alpha_k."
    yield mean(np.sqrt(beta[k]), front, hint)
    yield mean(-inside, front, "the predicted noise is added: subtract it.")
    yield mean(inside, 1, "the factor 1/sqrt(alpha_k) in front is missing.")
    yield mean(inside, 1 / alpha[k], "the factor in front is 1/sqrt(alpha_k): the root is missing.")
    yield mean(inside, 1 / front, "divide by sqrt(alpha_k) instead of multiplying.")
    hint = "the predicted noise is multiplied by beta_k / sqrt(1 - alpha_bar_k):"
    yield mean(beta[k] / rest[k], front, f"{hint} the root is missing.")
    yield mean(beta[k], front, f"{hint} the division is missing.")
    yield mean(1 / np.sqrt(rest[k]), front, f"{hint} beta_k is missing.")
    hint = "the root is taken of 1 - alpha_bar_k only, not of beta_k."
    yield mean(np.sqrt(beta[k] / rest[k]), front, hint)
    hint = "the predicted noise comes undamped: multiply it by beta_k / sqrt(1 - alpha_bar_k)."
    yield mean(1, front, hint)
    hint = "under the root stands 1 - alpha_bar_k, not alpha_bar_k."
    yield mean(beta[k] / np.sqrt(bar[k]), front, hint)
    hint = "1/sqrt(alpha_k) multiplies the whole difference"
    yield front * a_k - inside * epsilon, f"{hint}: mind the parentheses."
    hint += ", a_k included: mind the parentheses."
    yield a_k - front * inside * epsilon, hint
    yield mean(0, front, "the predicted noise is left out.")
    yield a_k, "the chunk is given back as it came."
    hint = "this is the clean chunk, predicted in one leap: go one step only."
    yield mean(np.sqrt(rest[k]), 1 / np.sqrt(bar[k]), hint)
    hint = "a_k and pred_epsilon are swapped: denoise(pred_epsilon, k, a_k)."
    yield front * (epsilon - inside * a_k), hint
    above = min(k + 1, len(beta) - 1)
    yield mean(share[above], factor[above], "it is off by one: this is step k + 1.")
    yield mean(share[k - 1], factor[k - 1], "it is off by one: this is step k - 1.")
    if k > 0:
        hint = "inside stands alpha_bar_k: alpha_k_cumprod, not alpha_k_cumprod_prev."
        yield mean(beta[k] / np.sqrt(1 - tables.previous[k]), front, hint)


def judge_noise(outputs: dict[int, dict[str, Array]], tables: Tables) -> None:
    """The noise of `denoise` has to be normal, of the posterior's variance, and none at k = 0.

    outputs: for each step what `judge_mean` takes.
    """
    noise = {k: (at["plus"] + at["minus"]) / 2 for k, at in outputs.items()}
    none = "the last step adds none: its variance has 1 - alpha_bar_{k-1} = 0."
    require(np.abs(noise.pop(0)).max() <= 1e-6, "denoise adds noise at k = 0.", none)
    deviations = np.array([z.std() for z in noise.values()])
    draws = "it draws from the normal distribution around mu, for every k > 0."
    for k, z in noise.items():
        require(np.abs(z).max() >= 1e-9, f"denoise adds no noise at k = {k}.", draws)
        right = np.sqrt(tables.variance[k])
        if problem := diffusion_noise_hint(z / right):
            known = _deviations_mistaken(list(noise), tables)
            hint = hint_of(deviations, known, rtol=0.04)
            said = f"its standard deviation {z.std():.4g} where {right:.4g} is right."
            said = f"The noise that denoise adds at k = {k} is wrong, {said}"
            raise wrong(said, hint or f"divided by that deviation, {problem}")
    anew = "draw it anew (torch.randn_like) and seed nothing in here."
    for k, z in noise.items():
        mean = (outputs[k]["plus"] - outputs[k]["minus"]) / 2
        same = np.allclose(z, outputs[k]["again"] - mean, atol=1e-5)
        require(not same, "denoise adds the same noise every time.", anew)


def _deviations_mistaken(steps, tables):
    """Yield the standard deviations that mistakes lead to at these steps."""
    names = ("beta", "bar", "alpha", "previous", "variance")
    beta, bar, alpha, previous, variance = (getattr(tables, name)[steps] for name in names)
    alpha_before = np.append(1, tables.alpha[:-1])[steps]
    fraction, bars = variance / beta, "(1 - alpha_bar_{k-1}) / (1 - alpha_bar_k)"
    yield variance, "the variance stands where its root is needed: mu + sqrt(var_k) · noise."
    hint = f"this is beta_k as the variance: the fraction {bars} in front has k - 1 above,"
    yield np.sqrt(beta), f"{hint} alpha_k_cumprod_prev[k]."
    yield beta, "the noise is multiplied by beta_k: take the root of the variance."
    yield np.ones(len(steps)), "the noise comes undamped: multiply it by the root of the variance."
    yield np.sqrt(fraction), "beta_k is missing in the variance."
    yield beta / np.sqrt(variance), "the fraction is upside down: 1 - alpha_bar_{k-1} stands above."
    hint = "the variance has alpha_bar, the cumulative products: this is alpha_k."
    yield np.sqrt((1 - alpha_before) / (1 - alpha) * beta), hint
    yield np.sqrt(1 - bar), f"this is the noise of diffuse: the variance is {bars} · beta_k."
    yield np.sqrt(previous / bar * beta), f"the bars are there, but 1 minus is missing: {bars}."
    over = "it goes over the whole variance."
    yield np.sqrt(fraction) * beta, f"the root is missing over beta_k: {over}"
    yield fraction * np.sqrt(beta), f"the root is missing over the fraction: {over}"
    hint = "the noise is divided by sqrt(alpha_k) as well: only the mean is."
    yield np.sqrt(variance / alpha), hint
