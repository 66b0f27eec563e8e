"""Part III, the diffusion policy: Q3.1 noise schedule, Q3.2 DDPM, Q3.3 loss, Q3.4 inference.

Each entry of `QUESTIONS` is (inputs, call, judge), as in `score.questions.mlp`. Where an answer draws noise, `given` names the
seed, and what is judged is that the noise is normal: bounds lie six standard errors out, one false alarm in 500 million.
"""
import contextlib
import inspect

import numpy as np
import torch
from torch import nn

from score.questions.judging import as_array, mistake
from score.verdict import AnswerError, call_answer

_STEPS, _OFFSET, _LARGEST = 100, 0.008, 0.999  # K and s of the notebook, and where betas are cut off


def _schedule(timesteps, s=_OFFSET):
    f = _cosine((np.arange(timesteps + 1) / timesteps + s) / (1 + s))
    return np.clip(1 - f[1:] / f[:-1], 0, _LARGEST)


def _cosine(x, power=2):
    return np.cos(x * np.pi / 2) ** power


def _is_schedule(betas, timesteps, s=_OFFSET):
    """Whether these are the schedule's betas, computed in float32 or better.

    The smallest are differences of numbers near one, so float32 leaves about 1e-7 there; the likeliest mistakes are 1e-5 off.
    """
    return np.allclose(betas, _schedule(timesteps, s), rtol=1e-4, atol=5e-7)


@contextlib.contextmanager
def _seeded(seed):
    """The generators that an answer may draw from, seeded, and afterwards as they were."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def _seeds(rng):
    return [int(seed) for seed in rng.integers(2**31, size=2)]


def _ask(what, function, *args, **kwargs):
    """`call_answer` with this part's hints for what torch says."""
    try:
        return call_answer(what, function, *args, **kwargs)
    except AnswerError as error:
        hint = _raised_hint(error.__cause__)
        if hint is None:
            raise
        raise AnswerError(f"{str(error).split(' Hint: ')[0]} Hint: {hint}") from error


def _raised_hint(error):
    if isinstance(error, IndexError) and "out of bounds" in str(error):
        return "steps are counted from 0 to num_timesteps - 1, in a tensor that torch.randint(0, num_timesteps, (B,)) draws."
    if isinstance(error, IndexError) and "indices must be" in str(error):
        return "steps are whole numbers: draw them with torch.randint."
    if isinstance(error, (RuntimeError, TypeError)) and ("size of tensor" in str(error) or "expand" in str(error)):
        return "arrays of shapes that do not fit meet: noise and noisy chunk are (B, pred_horizon, action_dim), steps (B,)."
    return None


def _noise_hint(z):
    """What keeps z (B, steps, coordinates) from being standard normal noise; None when nothing does."""
    if not np.isfinite(z).all():
        return "it is not finite."
    if np.ptp(z) == 0:
        return "it is the same number everywhere: draw it with torch.randn."
    if np.unique(z).size < 0.9 * z.size:
        for axis, of in enumerate(("sample of the batch", "step of a chunk", "coordinate")):
            if z.shape[axis] > 1 and np.allclose(z, z.take([0], axis), rtol=1e-3, atol=1e-4):
                return f"it is the same for every {of}: draw a number for each, of the chunk's whole shape (torch.randn)."
        return "many of its numbers are alike: draw one for each of (B, pred_horizon, action_dim) with torch.randn."
    if z.size < 1000:  # too few to tell one distribution from another
        return None
    bound, deviation = 6 / np.sqrt(z.size), z.std()
    if np.abs(z).max() < 1.8:  # of a thousand normal numbers some are larger
        return f"it is uniform noise, from {z.min():.2g} to {z.max():.2g}: draw normal noise, torch.randn and not torch.rand."
    if abs(z.mean()) > bound:
        return f"its mean is {z.mean():.3g}, not 0: draw it with torch.randn."
    if abs(deviation - 1) > bound:
        return f"its standard deviation is {deviation:.3g}, not 1: take torch.randn as it is."
    if abs(np.abs(z).mean() / deviation - np.sqrt(2 / np.pi)) > bound:
        return "it is not normal: draw it with torch.randn and change nothing about it."
    return None


# Q3.1, the schedule.


def _schedule_inputs(rng, challenge):
    if challenge == 0:  # the notebook's own, s and dtype as they are by default
        return {"timesteps": _STEPS}
    return {"timesteps": int(rng.integers(*((10, 60), (120, 200))[challenge - 1])), "s": float(rng.uniform(0.004, 0.03)),
            "dtype": ("float32", "float64")[challenge - 1]}


def _schedule_call(answer, given):
    arguments = {"dtype": getattr(torch, given["dtype"]), "s": given["s"]} if "s" in given else {}
    betas = call_answer("cosine_beta_schedule", answer, given["timesteps"], **arguments)
    if not isinstance(betas, torch.Tensor):
        raise AnswerError(f"cosine_beta_schedule returned a {type(betas).__name__}. Hint: return torch.tensor(betas, dtype=dtype).")
    return {"betas": as_array("cosine_beta_schedule", betas), "dtype": str(betas.dtype).removeprefix("torch.")}


def _schedule_judge(given, got):
    betas, steps, s = got["betas"], given["timesteps"], given.get("s", _OFFSET)
    said = f"For timesteps = {steps} and s = {s:.4g}"
    if betas.shape != (steps,):
        if betas.shape == (_STEPS,):
            hint = "the number of steps is fixed: take it from the argument timesteps."
        elif betas.shape == (steps + 1,):
            hint = "f is needed at timesteps + 1 places, and there is one beta between each two of them."
        elif betas.shape == (steps - 1,):
            hint = "timesteps betas need f at timesteps + 1 places, k = 0 to K, both ends included."
        else:
            hint = "one beta for each step, in one dimension."
        raise AnswerError(f"{said} the betas have shape {betas.shape} where ({steps},) is needed. Hint: {hint}")
    if not _is_schedule(betas, steps, s):
        at = int(np.argmax(~np.isclose(betas, _schedule(steps, s), rtol=1e-4, atol=5e-7)))
        raise AnswerError(f"{said} beta_{at} is {betas[at]:.6g} where {_schedule(steps, s)[at]:.6g} is right. "
                          f"Hint: {_schedule_hint(betas, steps, s)}")
    if got["dtype"] != given.get("dtype", "float32"):
        raise AnswerError(f"{said} the betas are right, but of dtype {got['dtype']} where {given.get('dtype', 'float32')} is asked for. "
                          "Hint: torch.tensor(betas, dtype=dtype).")


def _schedule_hint(betas, steps, s):
    if not np.isfinite(betas).all():
        return "not all of them are finite: nothing may be divided by zero."
    x = np.arange(-1, steps + 2) / steps  # one place more at either end than f is needed at

    def betas_of(f, largest=_LARGEST):
        return np.clip(1 - f[1:] / f[:-1], 0, largest)

    f = _cosine((x[1:-1] + s) / (1 + s))
    right = betas_of(f)
    bar = f / f[0]
    candidates = {
        f"they are not cut off at {_LARGEST}: take np.clip(betas, 0, {_LARGEST}).": 1 - f[1:] / f[:-1],
        "s = 0.008 is fixed: take it from the argument s.": _schedule(steps),
        "s is left out: it keeps the first betas from being too small.": _schedule(steps, 0),
        "s is missing in the numerator: the angle is (k/K + s) / (1 + s) · pi/2.": betas_of(_cosine(x[1:-1] / (1 + s))),
        "s is missing in the denominator: the angle is (k/K + s) / (1 + s) · pi/2.": betas_of(_cosine(x[1:-1] + s)),
        "only k/K is divided by 1 + s: the parentheses of (k/K + s) / (1 + s) are missing.":
            betas_of(_cosine(x[1:-1] / (1 + s) + s)),
        "s counts as a number of steps: it is added to k/K, not to k.":
            betas_of(_cosine((x[1:-1] + s / steps) / (1 + s))),
        "they come one step early: f starts at k = 0, not at k = 1.": betas_of(_cosine((x[2:] + s) / (1 + s))),
        "they come one step late: the first of them is beta_0 = 1 - f(1)/f(0).": np.append(0, right[:-1]),
        "they come one step late: f starts at k = 0.": betas_of(_cosine((x[:-2] + s) / (1 + s))),
        "k is divided by K + 1 instead of K: f's places run from 0 to 1, both included.":
            betas_of(_cosine((np.arange(steps + 1) / (steps + 1) + s) / (1 + s))),
        "k is divided by K - 1 instead of K.": betas_of(_cosine((np.arange(steps + 1) / max(steps - 1, 1) + s) / (1 + s))),
        "they stand in reverse: beta_0 is the smallest.": right[::-1],
        "the cosine is not squared.": betas_of(_cosine((x[1:-1] + s) / (1 + s), 1)),
        "the cosine is squared twice.": betas_of(_cosine((x[1:-1] + s) / (1 + s), 4)),
        "the angle is (k/K + s) / (1 + s) times pi/2, not times pi.": betas_of(_cosine(2 * (x[1:-1] + s) / (1 + s))),
        "the factor pi/2 is missing.": betas_of(np.cos((x[1:-1] + s) / (1 + s)) ** 2),
        "sine for cosine: f falls from 1 to 0.": betas_of(np.sin((x[1:-1] + s) / (1 + s) * np.pi / 2) ** 2),
        "these are the alphas: beta = 1 - alpha.": 1 - right,
        "these are ratios of f: beta = 1 - ratio.": f[1:] / f[:-1],
        "this is alpha_bar itself, the cumulative product: beta_k = 1 - alpha_bar_{k+1} / alpha_bar_k.": bar[1:],
        "this is alpha_bar, the cumulative product: beta_k = 1 - alpha_bar_{k+1} / alpha_bar_k.": bar[:-1],
        "this is 1 - alpha_bar: divide by the alpha_bar of the step before.": 1 - bar[1:],
        "this is the difference of neighbouring alpha_bar: divide it by alpha_bar_k.": bar[:-1] - bar[1:],
        "this is the root of beta.": np.sqrt(right),
        "the root of the ratio is too much: beta_k = 1 - alpha_bar_{k+1} / alpha_bar_k.": 1 - np.sqrt(1 - right),
        "this is the linear schedule of Ho et al.: the cosine one is asked for.": np.linspace(1e-4, 0.02, steps),
        "numerator and denominator are swapped: beta_k = 1 - f(k+1)/f(k).":
            np.clip(1 - f[:-1] / np.where(f[1:] < 1e-12, np.inf, f[1:]), 0, _LARGEST),
    }
    for wrong, clipped in [(c, np.clip(c, 0, _LARGEST)) for c in candidates.values()]:
        if wrong.shape != clipped.shape:
            raise ValueError("candidates are arrays of the same length")
    hint = mistake(betas, candidates, rtol=2e-3)
    if hint is None:
        hint = mistake(betas, {text: np.clip(value, 0, _LARGEST) for text, value in candidates.items()}, rtol=2e-3)
    if hint is None and np.allclose(betas[:-1], right[:-1], rtol=2e-3):
        hint = f"only the last is wrong: betas are cut off at {_LARGEST}."
    return hint or ("f(k) = cos²((k/K + s) / (1 + s) · pi/2) at k = 0, …, K; beta_k = 1 - f(k+1)/f(k), cut off at "
                    f"{_LARGEST}.")


# Q3.2, DDPM.

_TABLES = "beta_k", "alpha_k", "alpha_k_cumprod"


def _ddpm_inputs(rng, challenge):
    """Chunks, noise and steps such that all that a right answer computes without noise of its own lies within (-1, 1)."""
    steps = (_STEPS, int(rng.integers(20, 60)), int(rng.integers(120, 160)))[challenge]
    horizon, dims = ((16, 2), (5, 3), (64, 4))[challenge]
    bar = np.cumprod(1 - _schedule(steps))
    side = (5, 4, 3)[challenge]

    def small(bound, *shape):
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    back = {}
    for k in (0, 1, 2, steps // 2, steps - 1):
        chunk, noise = small(0.8, 1024, horizon, dims), small(0.3, 1024, horizon, dims)
        back[k] = {"a_k": (np.sqrt(bar[k]) * chunk + np.sqrt(1 - bar[k]) * noise).astype(np.float32), "epsilon": noise}
    forth = [
        # A cube: coefficients that broadcast over the wrong axis raise nothing here.
        {"a_start": small(1, side, side, side), "noise": small(2, side, side, side),
         "k": rng.choice(steps, size=side, replace=False)},
        # Every step; with the noise known, the clean chunk can be had back from each.
        {"a_start": small(1, steps, horizon, dims), "noise": small(2, steps, horizon, dims), "k": rng.permutation(steps)},
        {"a_start": small(1, 1, horizon, dims), "noise": small(2, 1, horizon, dims), "k": rng.integers(steps, size=1)},
    ]
    return {"num_timesteps": steps, "forth": forth, "back": back, "seeds": _seeds(rng)}


def _ddpm_call(answer, given):
    if isinstance(answer, nn.Module):
        raise AnswerError("This is one object of the class. Hint: hand over the class itself, score.check(\"Q3.2\", DDPM).")
    steps = given["num_timesteps"]
    ddpm = _construct(answer, num_timesteps=steps, clip_denoised=False, output_bound=1.0, device="cpu")
    got = {name: _table_of(ddpm, name) for name in _TABLES}
    got["forth"], got["back"], got["dtypes"] = [], {}, set()
    for case in given["forth"]:
        a_k = _ask("diffuse", ddpm.diffuse, *(torch.tensor(case[key]) for key in ("a_start", "k", "noise")))
        got["forth"].append(_result("diffuse", a_k, got["dtypes"]))

    def restore(ddpm, k, sign, seed):
        case = given["back"][int(k)]
        with _seeded(seed):
            a = _ask(f"denoise with k = {k!r}", ddpm.denoise, torch.tensor(sign * case["epsilon"]), k, torch.tensor(sign * case["a_k"]))
        return _result("denoise", a, got["dtypes"])

    one, other = given["seeds"]
    for k in given["back"]:
        # The noise is the same in the first two, so that their sum and difference tell it from the mean.
        got["back"][k] = {"plus": restore(ddpm, k, 1, one), "minus": restore(ddpm, k, -1, one), "again": restore(ddpm, k, 1, other)}
    got["tensor_k"] = {k: restore(ddpm, torch.tensor(k), 1, one) for k in (0, 2)}
    # With everything by default the finished chunk may be cut off, which does nothing to one within (-1, 1).
    got["default"] = restore(_construct(answer, num_timesteps=steps), 0, 1, one)
    got["devices"] = _devices(answer, steps)
    return got


def _construct(answer, **arguments):
    """An object of the student's class; what its constructor knows nothing of is left out."""
    try:
        taken = inspect.signature(answer).parameters
    except (TypeError, ValueError):
        taken = {}
    if taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        arguments = {name: value for name, value in arguments.items() if name in taken}
    return call_answer(f"DDPM({', '.join(f'{name}={value!r}' for name, value in arguments.items())})", answer, **arguments)


def _table_of(ddpm, name):
    table = call_answer(f"self.{name}", getattr, ddpm, name, None)
    if table is None:
        raise AnswerError(f"DDPM has no {name}. Hint: __init__ sets self.beta_k, self.alpha_k and self.alpha_k_cumprod.")
    if not isinstance(table, torch.Tensor):
        raise AnswerError(f"self.{name} is a {type(table).__name__}. Hint: make it a tensor, so that it can be indexed by one.")
    return as_array(f"self.{name}", table)


def _result(what, tensor, dtypes):
    array = as_array(what, tensor)
    dtypes.add(f"{what} {str(tensor.dtype).removeprefix('torch.')}")
    return array


def _devices(answer, steps):
    """Where the tables of an object on another device lie; torch's "meta" device is one that every machine has.

    Nothing can be read from it, so that an answer may fail there that works on a GPU: then there is nothing to judge.
    """
    try:
        if "device" not in inspect.signature(answer).parameters:
            return {}
        ddpm = answer(num_timesteps=steps, device="meta")
        return {name: getattr(ddpm, name).device.type for name in _TABLES}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        mixed = isinstance(error, RuntimeError) and ("expected device" in str(error) or "same device" in str(error))
        return {"beta_k": "cpu"} if mixed else {}


def _ddpm_judge(given, got):
    steps = given["num_timesteps"]
    _tables_judge(steps, got)
    beta, alpha, bar = (got[name] for name in _TABLES)
    for case, a_k in zip(given["forth"], got["forth"]):
        _diffuse_judge(case, a_k, bar, alpha, beta)
    prev = np.append(1, bar[:-1])
    for k, case in given["back"].items():
        _mean_judge(k, case, got["back"][k], beta, alpha, bar, prev)
    _variance_judge(got["back"], beta, alpha, bar, prev)
    for k, a in got["tensor_k"].items():
        if a.shape != case["a_k"].shape or not np.allclose(a, got["back"][k]["plus"], atol=1e-6):
            raise AnswerError(f"denoise gives something else for k = torch.tensor({k}) than for k = {k}. Hint: treat both alike.")
    if not np.allclose(got["default"], got["back"][0]["plus"], rtol=1e-4, atol=1e-5):
        raise AnswerError("At k = 0, with clip_denoised on, a chunk inside of ± output_bound comes out changed. Hint: clip_denoised only "
                          "cuts off what lies outside.")
    if got["dtypes"] != {"diffuse float32", "denoise float32"}:
        raise AnswerError(f"From float32 chunks came {' and '.join(sorted(got['dtypes']))}, which the network cannot read. Hint: "
                          "keep beta_k, alpha_k and alpha_k_cumprod in float32.")
    for name, device in got["devices"].items():
        if device != "meta":
            raise AnswerError(f"self.{name} lies on the {device} when another device is asked for. Hint: bring the betas to the "
                              "argument device, cosine_beta_schedule(num_timesteps).to(device).")


def _tables_judge(steps, got):
    beta, alpha, bar = (got[name] for name in _TABLES)
    right = _schedule(steps)
    said = f"For num_timesteps = {steps}"
    if beta.shape != (steps,):
        fixed = steps != _STEPS and beta.shape == (_STEPS,)
        raise AnswerError(f"{said} self.beta_k has shape {beta.shape}. Hint: " + (
            "the number of steps is fixed: cosine_beta_schedule(num_timesteps)." if fixed else
            "it is cosine_beta_schedule(num_timesteps), as it is; mend Q3.1 first if that is not right yet."))
    if not _is_schedule(beta, steps):
        hint = mistake(beta, {
            "these are the alphas: alpha_k = 1 - beta_k.": 1 - right, "these are the cumulative products of alpha.": np.cumprod(1 - right),
            "this is a linear schedule: take your cosine_beta_schedule.": np.linspace(1e-4, 0.02, steps)}, rtol=2e-3)
        raise AnswerError(f"{said} self.beta_k is not the cosine schedule with s = 0.008. Hint: " + (
            hint or "it is cosine_beta_schedule(num_timesteps), as it is; mend Q3.1 first if that is not right yet."))
    for name, table in (("alpha_k", alpha), ("alpha_k_cumprod", bar)):
        if table.shape != (steps,):
            raise AnswerError(f"{said} self.{name} has shape {table.shape} where ({steps},) is needed. Hint: one number for each step.")
    # float32 or float64 on the way is the student's choice; where beta is 0.999, that moves 1 - beta by 1.4e-5 of itself.
    if not np.allclose(alpha, 1 - beta, rtol=5e-5, atol=0):
        hint = mistake(alpha, {"alpha_k equals beta_k: it is 1 - beta_k.": beta, "this is sqrt(1 - beta_k): no root here.": np.sqrt(1 - beta),
                               "this is the cumulative product: it belongs in alpha_k_cumprod.": np.cumprod(1 - beta),
                               "this is 1 + beta_k.": 1 + beta}, rtol=1e-4)
        raise AnswerError(f"{said} self.alpha_k is wrong. Hint: {hint or 'it is 1 - beta_k, step by step.'}")
    right = np.cumprod(1 - beta)
    if not np.allclose(bar, right, rtol=5e-5, atol=0):
        hint = mistake(bar, {
            "this is the sum: take the product, torch.cumprod(self.alpha_k, dim=0).": np.cumsum(1 - beta),
            "this is the sum of the betas: take the product of the alphas.": np.cumsum(beta),
            "this is 1 - the sum of the betas: take the product of the alphas.": 1 - np.cumsum(beta),
            "this is alpha_k itself: multiply up to step k, torch.cumprod.": 1 - beta,
            "this is 1 - the product of alphas.": 1 - right,
            "the product runs from the wrong end: from step 0 up to k.": np.cumprod((1 - beta)[::-1])[::-1],
            "the order is reversed: most is left at k = 0.": right[::-1],
            "the product runs over reversed alphas: from step 0 up to k.": np.cumprod((1 - beta)[::-1]),
            "it lags one step behind: at step k, alpha_k is already in the product.": np.append(1, right[:-1]),
            "this is the root of the product: take roots in diffuse only.": np.sqrt(right),
        }, rtol=1e-4)
        if hint is None and np.allclose(bar, np.cumprod(beta), rtol=1e-3, atol=1e-30):
            hint = "this is the product of the betas: take that of the alphas."
        raise AnswerError(f"{said} self.alpha_k_cumprod is wrong. Hint: {hint or 'it is torch.cumprod(self.alpha_k, dim=0).'}")


def _diffuse_judge(case, a_k, bar, alpha, beta):
    a, noise, k = (case[key].astype(np.float64) if key != "k" else case[key] for key in ("a_start", "noise", "k"))
    if a_k.shape != a.shape:
        raise AnswerError(f"diffuse turns {a.shape} into {a_k.shape}. Hint: the coefficients are broadcast over steps and coordinates: "
                          "alpha_k_cumprod[k].view(-1, 1, 1).")

    def mix(of_chunk, of_noise):
        return of_chunk * a + of_noise * noise

    def column(table):
        return table[k].reshape(-1, 1, 1)

    left = column(bar)
    root, rest = np.sqrt(left), np.sqrt(1 - left)
    if np.allclose(a_k, mix(root, rest), rtol=1e-5, atol=1e-5):  # a chunk's numbers are of the order of 1
        return
    alphas, first = column(alpha), bar[k[:1]].reshape(1, 1, 1)
    before, after = column(np.append(1, bar[:-1])), column(np.append(bar[1:], bar[-1]))
    candidates = {
        "alpha_k stands where its cumulative product (alpha_k_cumprod) is needed.": mix(np.sqrt(alphas), np.sqrt(1 - alphas)),
        "alpha_k stands before the chunk where alpha_k_cumprod is needed.": mix(np.sqrt(alphas), rest),
        "beta_k stands before the noise where 1 - alpha_k_cumprod is needed.": mix(root, np.sqrt(1 - alphas)),
        "the roots are missing: sqrt(alpha_bar) before the chunk, sqrt(1 - alpha_bar) before the noise.": mix(left, 1 - left),
        "the root before the noise is missing.": mix(root, 1 - left),
        "the root before the chunk is missing.": mix(left, rest),
        "the two coefficients are swapped: little noise at k = 0.": mix(rest, root),
        "the second coefficient is sqrt(1 - alpha_bar), not 1 - sqrt(alpha_bar).": mix(root, 1 - root),
        "the noise is subtracted: add it.": mix(root, -rest),
        "the noise comes undamped: multiply it by sqrt(1 - alpha_bar).": mix(root, 1),
        "the chunk comes undamped: multiply it by sqrt(alpha_bar).": mix(1, rest),
        "the noise is left out.": mix(root, 0),
        "the chunk is left out.": mix(0, rest),
        "it is off by one: this is step k - 1.": mix(np.sqrt(before), np.sqrt(1 - before)),
        "it is off by one: this is step k + 1.": mix(np.sqrt(after), np.sqrt(1 - after)),
        "all samples get the step of the first: each has its own k.": mix(np.sqrt(first), np.sqrt(1 - first)),
        "another noise is added than the one that is given.": a_k if np.allclose(a_k, mix(root, 0), atol=8) and
        not _same_part(a_k - root * a, noise) and _uncorrelated(a_k - root * a, noise) else np.nan * a,
    }
    for shape in ((1, 1, -1), (1, -1, 1)):
        if len(a) > 1 and a.shape[0] == a.shape[1] == a.shape[2]:
            turned = bar[k].reshape(shape)
            candidates["the coefficients are broadcast over the wrong axis: alpha_k_cumprod[k].view(-1, 1, 1) gives each sample of the "
                       f"batch its own, one for the whole chunk (not {'coordinates' if shape[2] == -1 else 'steps'})."] = mix(
                           np.sqrt(turned), np.sqrt(1 - turned))
    hint = mistake(a_k, candidates, rtol=1e-4) or ("sqrt(alpha_bar_k) times the chunk plus sqrt(1 - alpha_bar_k) times the noise, with "
                                                   "alpha_bar_k = alpha_k_cumprod[k].view(-1, 1, 1).")
    raise AnswerError(f"diffuse gives the wrong A_k for k = {k.tolist() if len(k) < 9 else 'every step'}. Hint: {hint}")
