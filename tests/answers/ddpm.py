"""Right and wrong answers to the questions of Part III, with what the hints must say.

Each table is a list of `Row`s; RIGHT and WRONG hold the tables by question.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from answers import bounded, table, unanswered

not_answered = unanswered("Q3.1")


# Q3.1, the schedule.


def schedule(timesteps, s=0.008, dtype=torch.float32):
    f = np.cos((np.arange(timesteps + 1) / timesteps + s) / (1 + s) * np.pi / 2) ** 2
    return torch.tensor(np.clip(1 - f[1:] / f[:-1], 0, 0.999), dtype=dtype)


def with_f(f, clip=True, places=lambda K: np.arange(K + 1)):
    """The answer whose betas come from f(k, K, s)."""

    def cosine_beta_schedule(timesteps, s=0.008, dtype=torch.float32):
        values = f(places(timesteps), timesteps, s)
        betas = 1 - values[1:] / values[:-1]
        return torch.tensor(np.clip(betas, 0, 0.999) if clip else betas, dtype=dtype)

    return cosine_beta_schedule


def f_of(k, K, s):
    return np.cos((k / K + s) / (1 + s) * np.pi / 2) ** 2


def of_betas(change):
    """The answer that makes something else of the right betas."""

    def cosine_beta_schedule(timesteps, s=0.008, dtype=torch.float32):
        return change(schedule(timesteps, s, torch.float64)).to(dtype)

    return cosine_beta_schedule


def returns_alpha_bar(timesteps, s=0.008, dtype=torch.float32):
    f = f_of(np.arange(timesteps + 1), timesteps, s)
    return torch.tensor((f / f[0])[1:], dtype=dtype)


def differences_of_alpha_bar(timesteps, s=0.008, dtype=torch.float32):
    f = f_of(np.arange(timesteps + 1), timesteps, s)
    return torch.tensor(-np.diff(f / f[0]), dtype=dtype)


WRONG_SCHEDULES = table(
    ("s left out", with_f(lambda k, K, s: np.cos(k / K * np.pi / 2) ** 2), "s is left out"),
    (
        "s only in the numerator",
        with_f(lambda k, K, s: np.cos((k / K + s) * np.pi / 2) ** 2),
        "s is missing in the denominator",
    ),
    (
        "s only in the denominator",
        with_f(lambda k, K, s: np.cos(k / K / (1 + s) * np.pi / 2) ** 2),
        "s is missing in the numerator",
    ),
    (
        "s outside the fraction",
        with_f(lambda k, K, s: np.cos((k / K / (1 + s) + s) * np.pi / 2) ** 2),
        "parentheses",
    ),
    (
        "s as steps",
        with_f(lambda k, K, s: np.cos((k + s) / K / (1 + s) * np.pi / 2) ** 2),
        "added to k/K, not to k",
    ),
    ("k from 1", with_f(f_of, places=lambda K: np.arange(1, K + 2)), "one step early"),
    ("k from -1", with_f(f_of, places=lambda K: np.arange(-1, K)), "one step late: f starts"),
    (
        "first beta 0",
        of_betas(lambda b: torch.cat([torch.zeros(1, dtype=b.dtype), b[:-1]])),
        "one step late: the first",
    ),
    (
        "one beta too many",
        with_f(f_of, places=lambda K: np.arange(K + 2)),
        "one beta between each two",
    ),
    (
        "one beta too few",
        with_f(f_of, places=lambda K: np.arange(K)),
        "need f at timesteps + 1 places",
    ),
    ("over K + 1", with_f(lambda k, K, s: f_of(k, K + 1, s)), "k is divided by K + 1"),
    ("over K - 1", with_f(lambda k, K, s: f_of(k, K - 1, s)), "k is divided by K - 1"),
    ("reversed", of_betas(lambda b: b.flip(0)), "they stand in reverse"),
    ("cumulative from the wrong end", with_f(lambda k, K, s: f_of(k, K, s)[::-1]), "all are 0"),
    (
        "ratio upside down",
        with_f(lambda k, K, s: 1 / np.maximum(f_of(k, K, s), 1e-30)),
        "all are 0",
    ),
    ("no clipping", with_f(f_of, clip=False), "not cut off at 0.999"),
    (
        "clipped elsewhere",
        lambda t, s=0.008, dtype=torch.float32: schedule(t, s, dtype).clamp(max=0.99),
        "only the last is wrong",
    ),
    ("no square", with_f(lambda k, K, s: np.sqrt(f_of(k, K, s))), "cosine is not squared"),
    ("square of the square", with_f(lambda k, K, s: f_of(k, K, s) ** 2), "squared twice"),
    (
        "pi for pi/2",
        with_f(lambda k, K, s: np.cos((k / K + s) / (1 + s) * np.pi) ** 2),
        "not times pi.",
    ),
    ("no pi", with_f(lambda k, K, s: np.cos((k / K + s) / (1 + s)) ** 2), "factor pi/2 is missing"),
    (
        "sine",
        with_f(lambda k, K, s: np.sin((k / K + s) / (1 + s) * np.pi / 2) ** 2),
        "cosine, k = 0 first",
    ),
    ("alphas", of_betas(lambda b: 1 - b), "these are the alphas"),
    ("alpha_bar", returns_alpha_bar, "this is alpha_bar"),
    ("1 - alpha_bar", of_betas(lambda b: 1 - torch.cumprod(1 - b, 0)), "Hint: "),
    ("differences", differences_of_alpha_bar, "divide it by alpha_bar_k"),
    ("root", of_betas(torch.sqrt), "root of beta"),
    (
        "root of the ratio",
        with_f(lambda k, K, s: np.abs(np.cos((k / K + s) / (1 + s) * np.pi / 2))),
        "not squared",
    ),
    (
        "linear",
        lambda t, s=0.008, dtype=torch.float32: torch.linspace(1e-4, 0.02, t, dtype=dtype),
        "linear schedule",
    ),
    ("all zero", of_betas(torch.zeros_like), "all are 0"),
    (
        "numpy",
        lambda *args, **kwargs: schedule(*args, **kwargs).numpy(),
        "returned a ndarray. Hint: return torch.tensor",
    ),
    ("list", lambda *args, **kwargs: schedule(*args, **kwargs).tolist(), "returned a list"),
    ("nothing", lambda *args, **kwargs: None, "returned a NoneType"),
    (
        "s ignored",
        lambda timesteps, s=0.008, dtype=torch.float32: schedule(timesteps, 0.008, dtype),
        "from the argument s",
    ),
    (
        "timesteps ignored",
        lambda timesteps, s=0.008, dtype=torch.float32: schedule(100, s, dtype),
        "from the argument timesteps",
    ),
    (
        "dtype ignored",
        lambda timesteps, s=0.008, dtype=torch.float32: schedule(timesteps, s),
        "of dtype float32",
    ),
    (
        "always float64",
        lambda timesteps, s=0.008, dtype=torch.float32: schedule(timesteps, s, torch.float64),
        "of dtype float64",
    ),
    ("integers", of_betas(lambda b: b.long()), "all are 0"),
    ("not finite", of_betas(lambda b: b / 0), "finite"),
    ("two dimensions", of_betas(lambda b: b[None]), "in one dimension"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda K: schedule(K), "leave the function's name and arguments"),
)


def torch_only(timesteps, s=0.008, dtype=torch.float32):
    x = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float32)
    bar = torch.cos((x / timesteps + s) / (1 + s) * math.pi * 0.5) ** 2
    bar = bar / bar[0]
    return torch.clip(1 - bar[1:] / bar[:-1], 0, 0.999).to(dtype)


def torch_only_unnormalised(timesteps, s=0.008, dtype=torch.float32):
    f = torch.cos(
        ((torch.arange(timesteps + 1).float() / timesteps) + s) / (1 + s) * torch.pi / 2
    ).square()
    return (1 - f[1:] / f[:-1]).clamp(max=0.999).to(dtype)


def python_loop(timesteps, s=0.008, dtype=torch.float32):
    def f(k):
        return math.cos((k / timesteps + s) / (1 + s) * math.pi / 2) ** 2

    return torch.tensor([min(1 - f(k + 1) / f(k), 0.999) for k in range(timesteps)], dtype=dtype)


def as_published(timesteps, s=0.008, dtype=torch.float32):
    steps = timesteps + 1
    x = np.linspace(0, steps, steps)
    alphas_cumprod = np.cos(((x / steps) + s) / (1 + s) * np.pi * 0.5) ** 2
    alphas_cumprod = alphas_cumprod / alphas_cumprod[0]
    betas = 1 - (alphas_cumprod[1:] / alphas_cumprod[:-1])
    return torch.tensor(np.clip(betas, a_min=0, a_max=0.999), dtype=dtype)


def half_angles(timesteps, s=0.008, dtype=torch.float32):
    f = (1 + np.cos((np.linspace(0, 1, timesteps + 1) + s) / (1 + s) * np.pi)) / 2
    return torch.from_numpy(np.minimum((f[:-1] - f[1:]) / f[:-1], 0.999)).to(dtype)


RIGHT_SCHEDULES = table(
    ("numpy", schedule),
    ("torch, float32", torch_only),
    ("torch, unnormalised", torch_only_unnormalised),
    ("loop", python_loop),
    ("as published", as_published),
    ("half angles", half_angles),
)


# Q3.2, DDPM.


class DDPM(nn.Module):
    """The reference, in pieces for the other answers to replace."""

    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__()
        self.num_timesteps, self.clip_denoised = num_timesteps, clip_denoised
        self.output_bound = output_bound
        self.beta_k = self.betas().to(device)
        self.alpha_k = self.alphas()
        self.alpha_k_cumprod = self.bars()
        self.alpha_k_cumprod_prev = torch.cat(
            [torch.ones(1, device=device), self.alpha_k_cumprod[:-1]]
        )

    def betas(self):
        return schedule(self.num_timesteps)

    def alphas(self):
        return 1 - self.beta_k

    def bars(self):
        return torch.cumprod(self.alpha_k, dim=0)

    def diffuse(self, a_start, k, noise):
        left = self.alpha_k_cumprod[k].view(-1, 1, 1)
        return left.sqrt() * a_start + (1 - left).sqrt() * noise

    def mean(self, e, k, a):
        share = self.beta_k[k] / (1 - self.alpha_k_cumprod[k]).sqrt()
        return (a - share * e) / self.alpha_k[k].sqrt()

    def variance(self, k):
        return (1 - self.alpha_k_cumprod_prev[k]) / (1 - self.alpha_k_cumprod[k]) * self.beta_k[k]

    def noise(self, k, a):
        return self.variance(k).clamp(min=1e-20).sqrt() * torch.randn_like(a) if k > 0 else 0

    def denoise(self, e, k, a):
        if k > 0:
            return self.mean(e, k, a) + self.noise(k, a)
        if self.clip_denoised:
            return self.mean(e, k, a).clamp(-self.output_bound, self.output_bound)
        return self.mean(e, k, a)


def ddpm(base=DDPM, **methods):
    """The reference with methods replaced."""
    return type("DDPM", (base,), methods)


def mixed(left, right):
    """DDPM whose diffuse has the coefficients left(self, k), right(self, k), broadcast rightly."""
    return ddpm(
        diffuse=lambda self, a, k, n: (
            left(self, k).view(-1, 1, 1) * a + right(self, k).view(-1, 1, 1) * n
        )
    )


def bar(self, k):
    return self.alpha_k_cumprod[k]


def coefficient(self, k):
    return self.beta_k[k] / (1 - bar(self, k)).sqrt()


def broadcast(shape):
    def diffuse(self, a, k, n):
        left = bar(self, k).reshape(shape)
        return left.sqrt() * a + (1 - left).sqrt() * n

    return ddpm(diffuse=diffuse)


def noised(noise):
    return ddpm(noise=noise, denoise=lambda self, e, k, a: self.mean(e, k, a) + self.noise(k, a))


def deviation(of):
    return ddpm(noise=lambda self, k, a: of(self, k) * torch.randn_like(a) if k > 0 else 0)


def draws(of):
    return ddpm(noise=lambda self, k, a: self.variance(k).sqrt() * of(a) if k > 0 else 0)


def seeds_itself(a):
    torch.manual_seed(0)
    return torch.randn_like(a)


class LeavesTablesOnTheCpu(DDPM):
    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__(num_timesteps, clip_denoised, output_bound, "cpu")


class MixesDevices(DDPM):
    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__(num_timesteps, clip_denoised, output_bound, "cpu")
        self.alpha_k_cumprod_prev = torch.cat(
            [torch.ones(1, device=device), self.alpha_k_cumprod[:-1]]
        )


class SetsNoTables(nn.Module):
    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__()


class HasArrays(DDPM):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.alpha_k = self.alpha_k.numpy()


class NotAnswered(nn.Module):
    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__()
        raise NotImplementedError("Need to implement for Q3.2")


class HalfAnswered(DDPM):
    def denoise(self, pred_epsilon, k, a_k):
        raise NotImplementedError("Need to implement for Q3.2")


WRONG_DDPMS = table(
    (
        "wrong schedule",
        ddpm(betas=lambda self: schedule(self.num_timesteps, s=0.02)),
        "mend Q3.1 first",
    ),
    (
        "schedule without s",
        ddpm(betas=lambda self: schedule(self.num_timesteps, s=0)),
        "mend Q3.1 first",
    ),
    (
        "one beta too many",
        ddpm(betas=lambda self: schedule(self.num_timesteps + 1)),
        "mend Q3.1 first",
    ),
    (
        "linear schedule",
        ddpm(betas=lambda self: torch.linspace(1e-4, 0.02, self.num_timesteps)),
        "linear schedule",
    ),
    ("num_timesteps ignored", ddpm(betas=lambda self: schedule(100)), "number of steps is fixed"),
    (
        "alphas for betas",
        ddpm(betas=lambda self: 1 - schedule(self.num_timesteps)),
        "these are the alphas",
    ),
    ("alpha is beta", ddpm(alphas=lambda self: self.beta_k), "alpha_k equals beta_k"),
    ("alpha is the root", ddpm(alphas=lambda self: (1 - self.beta_k).sqrt()), "no root here"),
    (
        "alpha is the product",
        ddpm(alphas=lambda self: torch.cumprod(1 - self.beta_k, 0)),
        "belongs in alpha_k_cumprod",
    ),
    (
        "sum",
        ddpm(bars=lambda self: torch.cumsum(self.alpha_k, 0)),
        "this is the sum: take the product",
    ),
    (
        "product of betas",
        ddpm(bars=lambda self: torch.cumprod(self.beta_k, 0)),
        "product of the betas",
    ),
    (
        "product from the wrong end",
        ddpm(bars=lambda self: torch.cumprod(self.alpha_k.flip(0), 0).flip(0)),
        "from the wrong end",
    ),
    (
        "product one step behind",
        ddpm(bars=lambda self: torch.cat([torch.ones(1), torch.cumprod(self.alpha_k, 0)[:-1]])),
        "lags one step",
    ),
    (
        "one number",
        ddpm(bars=lambda self: torch.prod(self.alpha_k)[None]),
        "self.alpha_k_cumprod has shape (1,)",
    ),
    ("no tables", SetsNoTables, "DDPM has no beta_k"),
    ("table as numpy", HasArrays, "make it a tensor"),
    (
        "alpha for alpha_bar",
        mixed(lambda s, k: s.alpha_k[k].sqrt(), lambda s, k: (1 - s.alpha_k[k]).sqrt()),
        "alpha_k stands where",
    ),
    (
        "alpha before the chunk",
        mixed(lambda s, k: s.alpha_k[k].sqrt(), lambda s, k: (1 - bar(s, k)).sqrt()),
        "alpha_k stands before",
    ),
    (
        "beta before the noise",
        mixed(lambda s, k: bar(s, k).sqrt(), lambda s, k: s.beta_k[k].sqrt()),
        "beta_k stands before the noise",
    ),
    ("no roots", mixed(bar, lambda s, k: 1 - bar(s, k)), "the roots are missing"),
    (
        "no root before the noise",
        mixed(lambda s, k: bar(s, k).sqrt(), lambda s, k: 1 - bar(s, k)),
        "root before the noise",
    ),
    (
        "1 - root",
        mixed(lambda s, k: bar(s, k).sqrt(), lambda s, k: 1 - bar(s, k).sqrt()),
        "not 1 - sqrt",
    ),
    (
        "swapped",
        mixed(lambda s, k: (1 - bar(s, k)).sqrt(), lambda s, k: bar(s, k).sqrt()),
        "coefficients are swapped",
    ),
    (
        "noise subtracted",
        mixed(lambda s, k: bar(s, k).sqrt(), lambda s, k: -(1 - bar(s, k)).sqrt()),
        "noise is subtracted",
    ),
    (
        "noise undamped",
        mixed(lambda s, k: bar(s, k).sqrt(), lambda s, k: torch.ones(len(k))),
        "noise comes undamped",
    ),
    (
        "no noise forward",
        mixed(lambda s, k: bar(s, k).sqrt(), lambda s, k: torch.zeros(len(k))),
        "noise is left out",
    ),
    (
        "step before",
        mixed(
            lambda s, k: s.alpha_k_cumprod_prev[k].sqrt(),
            lambda s, k: (1 - s.alpha_k_cumprod_prev[k]).sqrt(),
        ),
        "this is step k - 1",
    ),
    (
        "noise of its own",
        ddpm(diffuse=lambda self, a, k, n: DDPM.diffuse(self, a, k, torch.randn_like(n))),
        "noise that is given",
    ),
    ("not broadcast", broadcast((-1,)), "broadcast over the wrong axis"),
    ("broadcast to the steps", broadcast((-1, 1)), "broadcast over the wrong axis"),
    (
        "step of the first for all",
        ddpm(diffuse=lambda self, a, k, n: DDPM.diffuse(self, a, k[:1], n)),
        "the step of the first",
    ),
    (
        "k as one number",
        ddpm(diffuse=lambda self, a, k, n: DDPM.diffuse(self, a, torch.tensor(int(k)), n)),
        "diffuse raised",
    ),
    (
        "flat A_k",
        ddpm(diffuse=lambda self, *args: DDPM.diffuse(self, *args).flatten(1)),
        "broadcast over steps and coordinates",
    ),
    (
        "front with the bar",
        ddpm(mean=lambda s, e, k, a: (a - coefficient(s, k) * e) / bar(s, k).sqrt()),
        "without the bar",
    ),
    (
        "inside without the bar",
        ddpm(
            mean=lambda s, e, k, a: (
                (a - s.beta_k[k] / (1 - s.alpha_k[k]).sqrt() * e) / s.alpha_k[k].sqrt()
            )
        ),
        "with the bar: alpha_k_cumprod, not alpha_k",
    ),
    (
        "previous bar inside",
        ddpm(
            mean=lambda s, e, k, a: (
                (a - s.beta_k[k] / (1 - s.alpha_k_cumprod_prev[k] + 1e-9).sqrt() * e)
                / s.alpha_k[k].sqrt()
                if k > 0
                else DDPM.mean(s, e, k, a)
            )
        ),
        "not alpha_k_cumprod_prev",
    ),
    (
        "noise added back",
        ddpm(mean=lambda s, e, k, a: (a + coefficient(s, k) * e) / s.alpha_k[k].sqrt()),
        "subtract it",
    ),
    ("no front", ddpm(mean=lambda s, e, k, a: a - coefficient(s, k) * e), "in front is missing"),
    (
        "front without root",
        ddpm(mean=lambda s, e, k, a: (a - coefficient(s, k) * e) / s.alpha_k[k]),
        "the root is missing",
    ),
    (
        "front multiplied",
        ddpm(mean=lambda s, e, k, a: (a - coefficient(s, k) * e) * s.alpha_k[k].sqrt()),
        "instead of multiplying",
    ),
    (
        "inside without root",
        ddpm(mean=lambda s, e, k, a: (a - s.beta_k[k] / (1 - bar(s, k)) * e) / s.alpha_k[k].sqrt()),
        "the root is missing",
    ),
    (
        "inside undivided",
        ddpm(mean=lambda s, e, k, a: (a - s.beta_k[k] * e) / s.alpha_k[k].sqrt()),
        "the division is missing",
    ),
    (
        "noise undamped backward",
        ddpm(mean=lambda s, e, k, a: (a - e) / s.alpha_k[k].sqrt()),
        "comes undamped",
    ),
    (
        "parentheses",
        ddpm(mean=lambda s, e, k, a: a / s.alpha_k[k].sqrt() - coefficient(s, k) * e),
        "mind the parentheses",
    ),
    (
        "clean chunk in one leap",
        ddpm(mean=lambda s, e, k, a: (a - (1 - bar(s, k)).sqrt() * e) / bar(s, k).sqrt()),
        "one leap",
    ),
    ("arguments swapped", ddpm(mean=lambda s, e, k, a: DDPM.mean(s, a, k, e)), "are swapped"),
    ("nothing done", ddpm(mean=lambda s, e, k, a: a), "as it came"),
    (
        "noise at k = 0",
        noised(lambda s, k, a: s.beta_k[k].sqrt() * torch.randn_like(a)),
        "adds noise at k = 0",
    ),
    ("no noise backward", ddpm(noise=lambda self, k, a: 0), "adds no noise"),
    (
        "noise at k = 0 only",
        noised(lambda s, k, a: 0 if k > 0 else s.beta_k[k].sqrt() * torch.randn_like(a)),
        "adds noise at k = 0",
    ),
    (
        "variance for deviation",
        deviation(lambda s, k: s.variance(k)),
        "variance stands where its root",
    ),
    ("beta as variance", deviation(lambda s, k: s.beta_k[k].sqrt()), "k - 1 above"),
    ("beta as deviation", deviation(lambda s, k: s.beta_k[k]), "multiplied by beta_k"),
    ("noise at full strength", deviation(lambda s, k: 1), "undamped"),
    (
        "fraction without beta",
        deviation(lambda s, k: (s.variance(k) / s.beta_k[k]).sqrt()),
        "beta_k is missing",
    ),
    (
        "fraction upside down",
        deviation(lambda s, k: ((1 - bar(s, k)) / (1 - bar(s, k - 1)) * s.beta_k[k]).sqrt()),
        "upside down",
    ),
    ("noise of diffuse", deviation(lambda s, k: (1 - bar(s, k)).sqrt()), "noise of diffuse"),
    (
        "noise divided by root alpha",
        deviation(lambda s, k: (s.variance(k) / s.alpha_k[k]).sqrt()),
        "divided by sqrt(alpha_k)",
    ),
    (
        "half the noise",
        deviation(lambda s, k: s.variance(k).sqrt() / 2),
        "standard deviation is 0.5",
    ),
    ("uniform noise", draws(torch.rand_like), "uniform noise"),
    (
        "centred uniform noise",
        draws(lambda a: (torch.rand_like(a) - 0.5) * 12**0.5),
        "uniform noise",
    ),
    (
        "noise shared by the batch",
        draws(lambda a: torch.randn_like(a[:1]).expand_as(a)),
        "same for every sample",
    ),
    (
        "noise shared by the steps",
        draws(lambda a: torch.randn_like(a[:, :1]).expand_as(a)),
        "same for every step",
    ),
    ("one number of noise", draws(lambda a: torch.randn(1)), "same number everywhere"),
    ("noise seeded in denoise", draws(seeds_itself), "the same noise every time"),
    (
        "cut off on the way",
        ddpm(denoise=lambda self, e, k, a: DDPM.denoise(self, e, k, a).clamp(-1, 1)),
        "nothing is to be cut off",
    ),
    (
        "cut off too early",
        ddpm(denoise=lambda self, e, k, a: DDPM.denoise(self, e, k, a).clamp(-0.1, 0.1)),
        "wrong mean",
    ),
    (
        "default cut off too early",
        ddpm(
            denoise=lambda self, e, k, a: (
                DDPM.denoise(self, e, k, a) * (0.5 if self.clip_denoised else 1)
            )
        ),
        "only cuts off what lies outside",
    ),
    (
        "tensors for k only",
        ddpm(denoise=lambda self, e, k, a: DDPM.denoise(self, e, k.item(), a)),
        "denoise with k = 0 raised",
    ),
    (
        "numbers for k only",
        ddpm(
            denoise=lambda self, e, k, a: DDPM.denoise(
                self, e, range(200)[k] if isinstance(k, int) else 1 / 0, a
            )
        ),
        "denoise with k = tensor(0) raised",
    ),
    (
        "another step for a tensor",
        ddpm(
            denoise=lambda self, e, k, a: DDPM.denoise(
                self, e, k if isinstance(k, int) else k * 0, a
            )
        ),
        "treat both alike",
    ),
    ("not finite", ddpm(mean=lambda s, e, k, a: DDPM.mean(s, e, k, a) / 0), "not finite"),
    (
        "first of the batch",
        ddpm(denoise=lambda self, e, k, a: DDPM.denoise(self, e, k, a)[:1]),
        "one number for the whole batch",
    ),
    (
        "float64",
        ddpm(diffuse=lambda self, *args: DDPM.diffuse(self, *args).double()),
        "keep beta_k",
    ),
    ("tables on the cpu", LeavesTablesOnTheCpu, "another device is asked for"),
    ("devices mixed", MixesDevices, "another device is asked for"),
    ("numpy", ddpm(diffuse=lambda self, *args: DDPM.diffuse(self, *args).numpy()), "ndarray"),
    ("an object of the class", DDPM(), "hand over the class itself"),
    ("not answered", NotAnswered, "ot answered yet"),
    ("half answered", HalfAnswered, "ot answered yet"),
    (
        "arguments missing",
        ddpm(denoise=lambda self, e, k: e),
        "leave the function's name and arguments",
    ),
)


class Gathered(DDPM):
    def diffuse(self, a_start, k, noise):
        left = torch.gather(self.alpha_k_cumprod, 0, k)[:, None, None]
        return a_start * left.sqrt() + noise * (1 - left).sqrt()


class Summed(DDPM):
    def diffuse(self, a_start, k, noise):
        return torch.einsum("b,bta->bta", self.alpha_k_cumprod[k].sqrt(), a_start) + torch.einsum(
            "b,bta->bta", torch.sqrt(1 - self.alpha_k_cumprod[k]), noise
        )


class ThroughTheCleanChunk(DDPM):
    """Equation 7 of Ho et al., with the clean chunk that the guess of the noise implies.

    It is cut off, as diffusers does.
    """

    bound = None

    def mean(self, e, k, a):
        left, before = self.alpha_k_cumprod[k], self.alpha_k_cumprod_prev[k]
        clean = (a - (1 - left).sqrt() * e) / left.sqrt()
        clean = clean if self.bound is None else clean.clamp(-self.bound, self.bound)
        return (
            before.sqrt() * self.beta_k[k] * clean + self.alpha_k[k].sqrt() * (1 - before) * a
        ) / (1 - left)


class WithBuffers(nn.Module):
    def __init__(self, num_timesteps=100, clip_denoised=True, output_bound=1.0, device="cpu"):
        super().__init__()
        beta = schedule(num_timesteps, dtype=torch.float64).to(device)
        alpha = 1 - beta
        left = torch.cumprod(alpha, 0)
        before = F.pad(left[:-1], (1, 0), value=1.0)
        for name, values in {
            "beta_k": beta,
            "alpha_k": alpha,
            "alpha_k_cumprod": left,
            "root": left.sqrt(),
            "rest": (1 - left).sqrt(),
            "front": alpha.rsqrt(),
            "inside": beta / (1 - left).sqrt(),
            "deviation": (beta * (1 - before) / (1 - left)).sqrt(),
        }.items():
            self.register_buffer(name, values.float())

    def diffuse(self, a_start, k, noise):
        shape = (len(k),) + (1,) * (a_start.ndim - 1)
        return self.root[k].reshape(shape) * a_start + self.rest[k].reshape(shape) * noise

    def denoise(self, pred_epsilon, k, a_k):
        mean = self.front[k] * (a_k - self.inside[k] * pred_epsilon)
        return mean + self.deviation[k] * torch.randn(a_k.shape)


class AsAccepted(nn.Module):
    """The published notebook's, its constructor with one argument."""

    def __init__(self, num_timesteps):
        super().__init__()
        self.beta_k = as_published(num_timesteps)
        self.alpha_k = 1 - self.beta_k
        self.alpha_k_cumprod = torch.cumprod(self.alpha_k, 0)
        self.alpha_k_cumprod_prev = torch.cat([torch.ones(1), self.alpha_k_cumprod[:-1]])

    def diffuse(self, a_start, k, noise):
        bar = self.alpha_k_cumprod[k].view(-1, 1, 1)
        return bar.sqrt() * a_start + (1 - bar).sqrt() * noise

    def denoise(self, eps, k, a_k):
        mu = (a_k - self.beta_k[k] / (1 - self.alpha_k_cumprod[k]).sqrt() * eps) / self.alpha_k[
            k
        ].sqrt()
        var = self.beta_k[k] * (1 - self.alpha_k_cumprod_prev[k]) / (1 - self.alpha_k_cumprod[k])
        return mu + (var.clamp(min=1e-20).sqrt() * torch.randn_like(a_k) if k > 0 else 0)


class InPlace(DDPM):
    def diffuse(self, a_start, k, noise):
        left = self.alpha_k_cumprod[k].view(-1, 1, 1)
        return a_start.mul_(left.sqrt()).add_(noise.mul_((1 - left).sqrt()))

    def mean(self, e, k, a):
        return a.sub_(e.mul_(coefficient(self, k))).div_(self.alpha_k[k].sqrt())


class ByNumpy(DDPM):
    """Tables that cannot be made on a device of which nothing can be read."""

    def bars(self):
        return torch.tensor(np.cumprod(self.alpha_k.cpu().numpy()), device=self.beta_k.device)


class BySample(DDPM):
    def diffuse(self, a_start, k, noise):
        root, rest = self.alpha_k_cumprod.sqrt(), (1 - self.alpha_k_cumprod).sqrt()
        return torch.stack([root[j] * a + rest[j] * n for a, j, n in zip(a_start, k, noise)])


RIGHT_DDPMS = table(
    ("reference", DDPM),
    ("gather", Gathered),
    ("einsum", Summed),
    ("through the clean chunk", ThroughTheCleanChunk),
    ("clean chunk cut off", ddpm(ThroughTheCleanChunk, bound=1.0)),
    ("buffers from float64", WithBuffers),
    ("as accepted", AsAccepted),
    ("in place", InPlace),
    ("numpy", ByNumpy),
    ("sample by sample", BySample),
    (
        "cut off when told so",
        ddpm(
            denoise=lambda self, e, k, a: (
                (self.mean(e, k, a) + self.noise(k, a)).clamp(-1, 1)
                if self.clip_denoised
                else self.mean(e, k, a) + self.noise(k, a)
            )
        ),
    ),
    ("schedule in float32", ddpm(betas=lambda self: torch_only(self.num_timesteps))),
    (
        "parameters",
        ddpm(betas=lambda self: nn.Parameter(schedule(self.num_timesteps), requires_grad=False)),
    ),
    ("a function that makes one", lambda **arguments: DDPM(**arguments)),
)


# Q3.3, the loss.


def draw(naction, steps=100):
    return torch.randn_like(naction), torch.randint(0, steps, (len(naction),))


def loss_with(
    noise=torch.randn_like,
    k=lambda B: torch.randint(0, 100, (B,)),
    shown=lambda k: k,
    condition=lambda o: o.flatten(1),
    loss=lambda guess, noise, naction, a_k: F.mse_loss(guess, noise),
    sample=lambda a_k, naction, noise: a_k,
):
    """An answer with its pieces replaced."""

    def ddpm_loss(model, scheduler, nobs, naction):
        eps = noise(naction)
        step = k(len(naction))
        a_k = scheduler.diffuse(naction, step, eps)
        return loss(
            model(
                sample=sample(a_k, naction, eps), timestep=shown(step), global_cond=condition(nobs)
            ),
            eps,
            naction,
            a_k,
        )

    return ddpm_loss


ddpm_loss = loss_with()


def without_gradient(*args):
    with torch.no_grad():
        return ddpm_loss(*args)


def switches_gradients_off(*args):
    torch.set_grad_enabled(False)
    return ddpm_loss(*args)


def seeds_the_loss(*args):
    torch.manual_seed(0)
    return ddpm_loss(*args)


def shows_no_condition(model, scheduler, nobs, naction):
    noise, k = draw(naction)
    return F.mse_loss(model(scheduler.diffuse(naction, k, noise), k), noise)


def asks_nobody(model, scheduler, nobs, naction):
    return F.mse_loss(naction, torch.randn_like(naction))


def asks_twice(model, scheduler, nobs, naction):
    return (
        ddpm_loss(model, scheduler, nobs, naction) + ddpm_loss(model, scheduler, nobs, naction)
    ) / 2


def spoils_by_alpha(model, scheduler, nobs, naction):
    noise, k = draw(naction)
    left = scheduler.alpha_k[k].view(-1, 1, 1)
    return F.mse_loss(
        model(left.sqrt() * naction + (1 - left).sqrt() * noise, k, nobs.flatten(1)), noise
    )


def clears_its_arguments(model, scheduler, nobs, naction):
    return ddpm_loss(model, scheduler, nobs.zero_(), naction.zero_())


WRONG_LOSSES = table(
    (
        "steps 1..K",
        loss_with(k=lambda B: torch.randint(1, 101, (B,))),
        "counted from 0 to num_timesteps - 1",
    ),
    ("steps 1..K - 1", loss_with(k=lambda B: torch.randint(1, 100, (B,))), "step 0 never came up"),
    ("steps 0..K - 2", loss_with(k=lambda B: torch.randint(0, 99, (B,))), "step 99 never came up"),
    ("steps 0..9", loss_with(k=lambda B: torch.randint(0, 10, (B,))), "90 of the 100 steps"),
    (
        "mostly small steps",
        loss_with(k=lambda B: torch.minimum(*torch.randint(0, 100, (2, B)))),
        "more often than others",
    ),
    (
        "one step for all",
        loss_with(k=lambda B: torch.randint(0, 100, (1,)).expand(B)),
        "draw one for each sample",
    ),
    (
        "one step, shape (1,)",
        loss_with(k=lambda B: torch.randint(0, 100, (1,))),
        "draw one for each sample",
    ),
    (
        "one step, a number",
        loss_with(k=lambda B: torch.randint(0, 100, ()).item()),
        "draw one for each sample",
    ),
    ("last step for all", loss_with(k=lambda B: torch.full((B,), 99)), "draw one for each sample"),
    ("steps in turn", loss_with(k=lambda B: torch.arange(B) % 90), "of the 100 steps"),
    ("float steps", loss_with(k=lambda B: torch.rand(B) * 100), "draw them with torch.randint"),
    ("steps as shares", loss_with(shown=lambda k: k / 100), "not whole numbers"),
    ("steps shown from 1", loss_with(shown=lambda k: k + 1), "counted from 0"),
    ("other steps shown", loss_with(shown=lambda k: k.flip(0)), "other steps than those"),
    ("no step shown", loss_with(shown=lambda k: 0), "one step for the whole batch"),
    ("column of steps", loss_with(shown=lambda k: k[:, None]), "one whole number for each"),
    ("uniform noise", loss_with(noise=torch.rand_like), "uniform noise"),
    (
        "centred uniform noise",
        loss_with(noise=lambda a: (torch.rand_like(a) * 2 - 1) * 3**0.5),
        "uniform noise",
    ),
    (
        "half the noise",
        loss_with(noise=lambda a: torch.randn_like(a) / 2),
        "standard deviation is 0.5",
    ),
    ("noise off centre", loss_with(noise=lambda a: torch.randn_like(a) + 0.1), "mean is 0."),
    (
        "heavy tails",
        loss_with(noise=lambda a: torch.randn_like(a) * (1 + torch.randn_like(a)) / 2**0.5),
        "Hint: it",
    ),
    (
        "noise shared by the batch",
        loss_with(noise=lambda a: torch.randn_like(a[:1]).expand_as(a)),
        "same for every sample",
    ),
    (
        "noise shared by the steps",
        loss_with(noise=lambda a: torch.randn_like(a[:, :1]).expand_as(a)),
        "same for every step",
    ),
    ("no noise", loss_with(noise=torch.zeros_like), "same number everywhere"),
    (
        "clean chunk shown",
        loss_with(sample=lambda a_k, naction, noise: naction),
        "shown the clean chunks",
    ),
    ("noise shown", loss_with(sample=lambda a_k, naction, noise: noise), "nothing but noise"),
    (
        "noise added undamped",
        loss_with(sample=lambda a_k, naction, noise: naction + noise),
        "standard deviation",
    ),
    (
        "flat chunk shown",
        loss_with(sample=lambda a_k, naction, noise: a_k[:, 0]),
        "the network reads (B, pred_horizon, action_dim)",
    ),
    ("spoiled by alpha", spoils_by_alpha, "standard deviation"),
    (
        "against the clean chunk",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g, a)),
        "compares the prediction with the clean chunk",
    ),
    (
        "against the noisy chunk",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g, a_k)),
        "compares the prediction with the noisy chunk",
    ),
    (
        "noisy minus guess",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(a_k - g, a)),
        "noisy chunk minus the prediction",
    ),
    (
        "against other noise",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g, torch.randn_like(n))),
        "the very noise that was added",
    ),
    (
        "sum",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g, n, reduction="sum")),
        "this is the sum",
    ),
    (
        "sum over chunk",
        loss_with(loss=lambda g, n, a, a_k: (g - n).square().sum(dim=(1, 2)).mean()),
        "summed over each chunk",
    ),
    ("L1", loss_with(loss=lambda g, n, a, a_k: F.l1_loss(g, n)), "mean absolute error"),
    (
        "half",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g, n) / 2),
        "half of the mean squared error",
    ),
    ("root", loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g, n).sqrt()), "do not take the root"),
    ("smooth L1", loss_with(loss=lambda g, n, a, a_k: F.smooth_l1_loss(g, n)), "smooth L1"),
    ("sign", loss_with(loss=lambda g, n, a, a_k: F.mse_loss(-g, n)), "wrong sign"),
    (
        "guess left out",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(0 * g, n)),
        "prediction is left out",
    ),
    (
        "no reduction",
        loss_with(loss=lambda g, n, a, a_k: (g - n) ** 2),
        "one number for the whole batch",
    ),
    ("unflattened", loss_with(condition=lambda o: o), "flattened from dimension 1 on"),
    (
        "transposed",
        loss_with(condition=lambda o: o.transpose(1, 2).flatten(1)),
        "without a transpose",
    ),
    (
        "newest first",
        loss_with(condition=lambda o: o.flip(1).flatten(1)),
        "the oldest observation comes first",
    ),
    (
        "last observation only",
        loss_with(condition=lambda o: o[:, -1]),
        "flattened from dimension 1 on",
    ),
    (
        "flattened with the batch",
        loss_with(condition=lambda o: o.flatten()),
        "flattened from dimension 1 on",
    ),
    (
        "observations of the first",
        loss_with(condition=lambda o: o[:1].flatten(1).expand(len(o), -1)),
        "first one's for all",
    ),
    ("no condition", shows_no_condition, "without a condition"),
    ("network not asked", asks_nobody, "The network is not called"),
    ("network asked twice", asks_twice, "called more than once"),
    (
        "detached",
        loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g.detach(), n)),
        "no gradient reaches",
    ),
    (
        "half detached",
        loss_with(loss=lambda g, n, a, a_k: ((g - n) * (g.detach() - n)).mean()),
        "gradient is not that",
    ),
    ("under no_grad", without_gradient, "leave out torch.no_grad"),
    ("gradients switched off for good", switches_gradients_off, "leave out torch.no_grad"),
    (".item()", lambda *args: ddpm_loss(*args).item(), ".item() and numpy cut"),
    ("nothing returned", lambda *args: None, "returned a NoneType"),
    ("not finite", lambda *args: ddpm_loss(*args) / 0, "is right"),
    ("seeded inside", seeds_the_loss, "seed nothing in here"),
    (
        "seeded behind the draws",
        loss_with(loss=lambda g, n, a, a_k: (F.mse_loss(g, n), torch.manual_seed(0))[0]),
        "seed nothing in here",
    ),
    ("arguments cleared in place", clears_its_arguments, "Hint"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda model, batch: None, "leave the function's name and arguments"),
)


def by_own_formula(model, scheduler, nobs, naction):
    k = torch.randint(
        low=0, high=scheduler.num_timesteps, size=(naction.shape[0],), device=naction.device
    ).long()
    left = scheduler.alpha_k_cumprod[k][:, None, None]
    noise = torch.randn(naction.shape)
    guess = model(
        torch.sqrt(left) * naction + torch.sqrt(1 - left) * noise, k, nobs.reshape(len(nobs), -1)
    )
    return (guess - noise).square().mean()


def with_mse_loss(model, scheduler, nobs, naction):
    noise, k = draw(naction, len(scheduler.beta_k))
    return nn.MSELoss()(
        model(
            scheduler.diffuse(naction, k, noise),
            k,
            global_cond=torch.cat(list(nobs.unbind(1)), dim=1),
        ),
        noise,
    )


def with_numpys_numbers(model, scheduler, nobs, naction):
    noise = torch.from_numpy(np.random.randn(*naction.shape)).float()
    k = torch.from_numpy(np.random.randint(0, 100, len(naction)))
    return F.mse_loss(
        noise,
        model(
            timestep=k,
            global_cond=nobs.flatten(1),
            sample=scheduler.diffuse(a_start=naction, k=k, noise=noise),
        ),
    )


def in_parts(model, scheduler, nobs, naction):
    parts = [
        ddpm_loss(model, scheduler, o, a) * len(a)
        for o, a in zip(nobs.tensor_split(3), naction.tensor_split(3))
        if len(a)
    ]
    return torch.stack(parts).sum() / len(naction)


RIGHT_LOSSES = table(
    ("reference", ddpm_loss),
    ("own formula", by_own_formula),
    ("nn.MSELoss", with_mse_loss),
    ("numpy's generator", with_numpys_numbers),
    ("torch.normal", loss_with(noise=lambda a: torch.normal(0.0, 1.0, a.shape))),
    ("steps from a uniform draw", loss_with(k=lambda B: (torch.rand(B) * 100).long())),
    ("whole floats shown", loss_with(shown=lambda k: k.float())),
    ("over counts", loss_with(loss=lambda g, n, a, a_k: (g - n).pow(2).sum() / n.numel())),
    ("float64", loss_with(loss=lambda g, n, a, a_k: F.mse_loss(g.double(), n.double()))),
    ("in three parts", in_parts),
)


# Q3.4, inference.


def inference_with(
    start=torch.randn,
    steps=lambda K: reversed(range(K)),
    shown=lambda k, B: k,
    told=lambda k, B: k,
    condition=lambda o: o.flatten(1),
    ask=lambda s, e, k, a: s.denoise(e, k, a),
    end=lambda a, e: a,
    before=lambda a: a,
    grad=torch.no_grad,
):
    """An answer with its pieces replaced."""

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
        with grad():
            a = start(batch_size, pred_horizon, action_dim)
            for k in steps(num_diffusion_iters):
                a = before(a)
                e = ema_model(sample=a, timestep=shown(k, batch_size), global_cond=condition(nobs))
                a = ask(ddpm_scheduler, e, told(k, batch_size), a)
            return end(a, e)

    return ddpm_inference


ddpm_inference = inference_with()


def changed(change):
    """The reference on other arguments."""
    return lambda **arguments: ddpm_inference(**{**arguments, **change(arguments)})


def fixed_start(*shape):
    torch.manual_seed(0)
    return torch.randn(*shape)


def forgets_the_first(
    ema_model,
    ddpm_scheduler,
    batch_size,
    nobs,
    num_diffusion_iters,
    pred_horizon,
    action_dim,
    device,
):
    with torch.no_grad():
        start = a = torch.randn(batch_size, pred_horizon, action_dim)
        for k in reversed(range(num_diffusion_iters)):
            a = ddpm_scheduler.denoise(ema_model(start, k, nobs.flatten(1)), k, a)
        return a


def denoises_on_its_own(
    ema_model,
    ddpm_scheduler,
    batch_size,
    nobs,
    num_diffusion_iters,
    pred_horizon,
    action_dim,
    device,
):
    with torch.no_grad():
        a = torch.randn(batch_size, pred_horizon, action_dim)
        for k in reversed(range(num_diffusion_iters)):
            a = a - 0.1 * ema_model(a, k, nobs.flatten(1))
        return a


WRONG_INFERENCES = table(
    ("ascending", inference_with(steps=range), "go down, from the noisiest"),
    (
        "K..1",
        inference_with(steps=lambda K: range(K, 0, -1)),
        "counted from num_diffusion_iters - 1",
    ),
    ("k = 0 left out", inference_with(steps=lambda K: range(K - 1, 0, -1)), "k = 0 is left out"),
    (
        "first step left out",
        inference_with(steps=lambda K: range(K - 2, -1, -1)),
        "first step is left out",
    ),
    (
        "a hundred steps",
        inference_with(steps=lambda K: range(99, -1, -1)),
        "counted from num_diffusion_iters - 1",
    ),
    ("every second", inference_with(steps=lambda K: range(K - 1, -1, -2)), "each step once"),
    (
        "each twice",
        inference_with(steps=lambda K: [k for k in range(K - 1, -1, -1) for _ in (0, 1)]),
        "each step once",
    ),
    ("one step", inference_with(steps=lambda K: [K - 1]), "each step once"),
    ("network told a constant", inference_with(shown=lambda k, B: 0), "same step each time"),
    (
        "denoise told a constant",
        inference_with(told=lambda k, B: 0),
        "denoise is called for the steps",
    ),
    (
        "network told k + 1",
        inference_with(shown=lambda k, B: k + 1),
        "the network is called for the steps",
    ),
    (
        "k for denoise off by one",
        inference_with(told=lambda k, B: k + 1),
        "denoise is called for the steps",
    ),
    (
        "different steps in a batch",
        inference_with(shown=lambda k, B: torch.arange(B) % 7),
        "same for the whole batch",
    ),
    ("from zeros", inference_with(start=torch.zeros), "same number everywhere"),
    ("from uniform noise", inference_with(start=torch.rand), "uniform noise"),
    (
        "from half the noise",
        inference_with(start=lambda *s: torch.randn(*s) / 2),
        "standard deviation is 0.5",
    ),
    (
        "one start for all",
        inference_with(start=lambda b, t, d: torch.randn(1, t, d).expand(b, t, d)),
        "same for every sample",
    ),
    ("same start every call", inference_with(start=fixed_start), "seed nothing in here"),
    (
        "seeded behind the draw",
        inference_with(end=lambda a, e: (a, torch.manual_seed(0))[0]),
        "seed nothing in here",
    ),
    (
        "start of one",
        inference_with(start=lambda b, t, d: torch.randn(1, t, d)),
        "serve a whole batch",
    ),
    (
        "start of another shape",
        inference_with(start=lambda b, t, d: torch.randn(b, 16, 2)),
        "= (B, 5, 3) and was shown (1, 16, 2)",
    ),
    (
        "start transposed",
        inference_with(start=lambda b, t, d: torch.randn(b, d, t)),
        "= (B, 16, 2) and was shown (512, 2, 16)",
    ),
    (
        "batch of one only",
        inference_with(
            start=lambda b, t, d: torch.randn(1, t, d), condition=lambda o: o.reshape(1, -1)
        ),
        "serve a whole batch",
    ),
    ("the guess returned", inference_with(end=lambda a, e: e), "network's last prediction"),
    (
        "the guess as the next chunk",
        inference_with(ask=lambda s, e, k, a: (s.denoise(e, k, a), e)[1]),
        "what denoise gave",
    ),
    ("fresh noise each step", inference_with(before=torch.randn_like), "noise is drawn once"),
    (
        "noise added each step",
        inference_with(before=lambda a: a + 0.1 * torch.randn_like(a)),
        "shown the wrong chunk",
    ),
    (
        "cut off between the steps",
        inference_with(ask=lambda s, e, k, a: s.denoise(e, k, a).clamp(-1, 1)),
        "cut off between the steps",
    ),
    ("first noise each time", forgets_the_first, "shown the first noise again"),
    (
        "denoise's result dropped",
        inference_with(ask=lambda s, e, k, a: (s.denoise(e, k, a), a)[1]),
        "shown the first noise again",
    ),
    ("denoise not asked", denoises_on_its_own, "ddpm_scheduler.denoise is not called"),
    (
        "arguments swapped",
        inference_with(ask=lambda s, e, k, a: s.denoise(a, k, e)),
        "the order is denoise",
    ),
    (
        "arguments in another order",
        inference_with(ask=lambda s, e, k, a: s.denoise(k, e, a)),
        "denoise(pred_epsilon, k, a_k) was given",
    ),
    (
        "sign of the guess",
        inference_with(ask=lambda s, e, k, a: s.denoise(-e, k, a)),
        "wrong prediction",
    ),
    ("unflattened", inference_with(condition=lambda o: o), "flattened"),
    (
        "transposed",
        inference_with(condition=lambda o: o.transpose(1, 2).flatten(1)),
        "without a transpose",
    ),
    (
        "newest first",
        inference_with(condition=lambda o: o.flip(1).flatten(1)),
        "oldest observation comes first",
    ),
    ("no condition", inference_with(condition=lambda o: None), "without a condition"),
    ("gradients left on", inference_with(grad=torch.enable_grad), "gradients were recorded"),
    (
        "detached at the end",
        inference_with(grad=torch.enable_grad, end=lambda a, e: a.detach()),
        "gradients were recorded",
    ),
    (
        "last step with gradients",
        inference_with(grad=torch.enable_grad, before=lambda a: a.detach()),
        "gradients were recorded",
    ),
    (
        "numpy",
        lambda **kwargs: ddpm_inference(**kwargs).numpy(),
        "returned a ndarray. Hint: return the tensor",
    ),
    ("only the first", lambda **kwargs: ddpm_inference(**kwargs)[0], "The result has shape"),
    (
        "only executed actions",
        lambda **kwargs: ddpm_inference(**kwargs)[:, 1:9],
        "The result has shape",
    ),
    ("squashed", inference_with(end=lambda a, e: a.tanh()), "not where the steps end"),
    ("not finite", inference_with(end=lambda a, e: a / 0), "not where the steps end"),
    ("nothing returned", lambda **kwargs: None, "returned a NoneType"),
    (
        "network not asked",
        lambda batch_size, pred_horizon, action_dim, **_: torch.randn(
            batch_size, pred_horizon, action_dim
        ),
        "The network is not called",
    ),
    (
        "observations cleared",
        changed(lambda arguments: {"nobs": arguments["nobs"].zero_()}),
        "The condition is not the observations",
    ),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda net, obs: None, "leave the function's name and arguments"),
)


@torch.no_grad()
def decorated(
    ema_model,
    ddpm_scheduler,
    batch_size,
    nobs,
    num_diffusion_iters,
    pred_horizon,
    action_dim,
    device,
):
    naction = torch.randn((batch_size, pred_horizon, action_dim), device=device)
    for k in range(num_diffusion_iters - 1, -1, -1):
        timestep = torch.full((batch_size,), k, device=device, dtype=torch.long)
        naction = ddpm_scheduler.denoise(
            pred_epsilon=ema_model(naction, timestep, nobs.reshape(batch_size, -1)),
            k=k,
            a_k=naction,
        )
    return naction


@torch.inference_mode()
def in_inference_mode(
    ema_model,
    ddpm_scheduler,
    batch_size,
    nobs,
    num_diffusion_iters,
    pred_horizon,
    action_dim,
    device,
):
    ema_model.eval()
    naction = (
        torch.empty(batch_size, pred_horizon, action_dim)
        .normal_()
        .to(next(ema_model.parameters()).device)
    )
    for k in torch.arange(num_diffusion_iters).flip(0):
        naction = ddpm_scheduler.denoise(
            ema_model(naction, k, nobs.view(batch_size, -1)), k, naction
        )
    return naction


def in_place(
    ema_model,
    ddpm_scheduler,
    batch_size,
    nobs,
    num_diffusion_iters,
    pred_horizon,
    action_dim,
    device,
):
    torch.set_grad_enabled(False)
    naction, k = torch.randn(batch_size, pred_horizon, action_dim), num_diffusion_iters
    while k > 0:
        k -= 1
        naction.copy_(ddpm_scheduler.denoise(ema_model(naction, k, nobs.flatten(1)), k, naction))
    nobs.zero_()
    return naction


RIGHT_INFERENCES = table(
    ("reference", ddpm_inference),
    ("decorated, steps as (B,)", decorated),
    ("inference mode, steps as tensors", in_inference_mode),
    ("gradients switched off, in place", in_place),
    ("clamped at the end", inference_with(end=lambda a, e: a.clamp(-1, 1))),
    (
        "steps as (B,) for denoise too",
        inference_with(shown=lambda k, B: torch.tensor([k]), told=lambda k, B: torch.full((B,), k)),
    ),
    (
        "numpy's noise",
        inference_with(
            start=lambda *shape: torch.tensor(np.random.randn(*shape), dtype=torch.float32)
        ),
    ),
    (
        "the scheduler's steps",
        changed(
            lambda arguments: {"num_diffusion_iters": arguments["ddpm_scheduler"].num_timesteps}
        ),
    ),
    (
        "detached every step",
        inference_with(grad=torch.enable_grad, ask=lambda s, e, k, a: s.denoise(e, k, a).detach()),
    ),
)

WRONG_LOSSES += bounded(
    lambda bound: loss_with(loss=lambda guess, noise, a, a_k: F.mse_loss(bound(guess), noise))
)
WRONG_DDPMS += table(
    ("mean clipped", ddpm(mean=lambda self, e, k, a: DDPM.mean(self, e, k, a).clamp(-1, 1)), "Hint")
)
WRONG = {
    "Q3.1": WRONG_SCHEDULES,
    "Q3.2": WRONG_DDPMS,
    "Q3.3": WRONG_LOSSES,
    "Q3.4": WRONG_INFERENCES,
}
RIGHT = {
    "Q3.1": RIGHT_SCHEDULES,
    "Q3.2": RIGHT_DDPMS,
    "Q3.3": RIGHT_LOSSES,
    "Q3.4": RIGHT_INFERENCES,
}
REFERENCE = {"Q3.1": schedule, "Q3.2": DDPM, "Q3.3": ddpm_loss, "Q3.4": ddpm_inference}
