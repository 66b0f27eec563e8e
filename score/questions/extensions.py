"""Extensions, which earn nothing: E1.1 sine and cosine, E1.2 temporal ensembling, E3.1 DDIM step,
E4.1 midpoint rule.

Entries of `EXTENSIONS` are (inputs, call, judge) as in `score.questions.mlp`; nothing of them ever
crosses to a grader.
"""

import numpy as np
import torch

from score.questions.base import as_array
from score.questions.ddpm_networks import seeded
from score.questions.mistakes import old_mistake as mistake
from score.questions.schedule import cosine_schedule
from score.verdict import AnswerError, call_answer

# E1.1, sine and cosine for the angle.


def _angle_inputs(rng, challenge):
    """One observation, sequences of two, many; the first angles lie on both sides of the jump from
    a full turn to nothing.
    """
    shape, dtype = (((5,), np.float64), ((7, 2, 5), np.float32), ((40, 5), np.float64))[challenge]
    obs = rng.uniform(20, 500, shape)
    obs[..., 4] = rng.uniform(0, 2 * np.pi, shape[:-1])
    if challenge == 2:
        obs[:2, 4] = 2 * np.pi - 1e-3, 1e-3
        obs[2:10, 4] = rng.uniform(-9, 9, 8)
    return {"obs": obs.astype(dtype)}


def _angle_call(answer, given):
    obs = given["obs"].copy()
    try:
        encoded = call_answer(f"encode_angle of an array {obs.shape}", answer, obs)
    except AnswerError as error:
        hint = "obs[..., 4] is the angle, however many dimensions there are."
        if not isinstance(error.__cause__, (IndexError, ValueError)):
            raise
        raise AnswerError(f"{str(error).split(' Hint: ')[0]} Hint: {hint}") from error
    if not isinstance(encoded, np.ndarray):
        raise AnswerError(
            f"encode_angle returned a {type(encoded).__name__} where a numpy array is needed. Hint:"
            " np.concatenate(…, axis=-1) makes one."
        )
    if not np.issubdtype(encoded.dtype, np.floating):
        raise AnswerError(
            f"encode_angle returned {encoded.dtype} where floats are needed. Hint: sines and"
            " cosines are no whole numbers."
        )
    return {"encoded": encoded.astype(np.float64), "obs": obs}


def _angle_judge(given, got):
    obs, encoded = given["obs"].astype(np.float64), got["encoded"]
    needed = (*obs.shape[:-1], 6)
    if encoded.shape != needed:
        raise AnswerError(
            f"From observations {obs.shape} came {encoded.shape} where {needed} is needed. "
            f"Hint: {_angle_shape_hint(encoded.shape, obs.shape)}"
        )
    if not np.array_equal(got["obs"], given["obs"]):
        raise AnswerError(
            "The observations that were handed over are changed. Hint: build a new array, with"
            " np.concatenate."
        )
    right = _with(obs, np.sin(obs[..., 4]), np.cos(obs[..., 4]))
    if np.allclose(encoded, right, rtol=1e-4, atol=1e-5):
        return
    hint = mistake(encoded, _angle_mistakes(obs), rtol=1e-4)
    if hint is None and not np.allclose(encoded[..., :4], right[..., :4], rtol=1e-4):
        hint = "the first four numbers are agent and block, as they are: obs[..., :4]."
    elif hint is None:
        hint = _circle_hint(encoded[..., 4:], obs[..., 4])
    raise AnswerError(
        f"At an angle of {obs[..., 4].flat[0]:.3f} the last two of "
        f"{np.round(encoded.reshape(-1, 6)[0], 3).tolist()} should be "
        f"{np.round(right.reshape(-1, 6)[0, 4:], 3).tolist()}. Hint: {hint}"
    )


def _with(obs, *columns):
    return np.concatenate([obs[..., :4], *(column[..., None] for column in columns)], axis=-1)


def _angle_shape_hint(shape, obs_shape):
    if shape == obs_shape:
        return "two numbers take the place of the one angle."
    if shape == (*obs_shape[:-1], 7):
        return (
            "sine and cosine stand in place of the angle, not behind it: obs[..., :4] is what"
            " stays."
        )
    if shape == (*obs_shape[:-1], 2):
        return "agent and block come before them: obs[..., :4]."
    if shape[-1:] != (6,):
        return (
            "join along the last axis, axis=-1; obs[..., 4:] keeps that axis, obs[..., 4] does not."
        )
    return "all dimensions but the last stay as they are."


def _angle_mistakes(obs):
    angle, sin, cos = obs[..., 4], np.sin(obs[..., 4]), np.cos(obs[..., 4])
    degrees, first = np.deg2rad(angle), obs[..., :4]
    return {
        "cosine and sine are swapped: the sine comes first.": _with(obs, cos, sin),
        "the angle is in radians already: no degrees, no np.deg2rad.": _with(
            obs, np.sin(degrees), np.cos(degrees)
        ),
        "np.sin takes radians, which the angle is in: no np.rad2deg.": _with(
            obs, np.sin(np.rad2deg(angle)), np.cos(np.rad2deg(angle))
        ),
        "sine and cosine come last, behind the other four.": np.concatenate(
            [sin[..., None], cos[..., None], first], axis=-1
        ),
        "both are the sine.": _with(obs, sin, sin),
        "both are the cosine.": _with(obs, cos, cos),
        "the angle itself is still there: sine, then cosine.": _with(obs, angle, sin),
        "the angle itself is still there: sine, then cosine, and no angle.": _with(obs, angle, cos),
        "this is the sine and the angle: the cosine is missing.": _with(obs, sin, angle),
        "this is half the angle: sin(angle), cos(angle).": _with(
            obs, np.sin(angle / 2), np.cos(angle / 2)
        ),
        "this is twice the angle: a T looks the same after a whole turn only.": _with(
            obs, np.sin(2 * angle), np.cos(2 * angle)
        ),
        "the sine's sign is wrong.": _with(obs, -sin, cos),
        "the block's y is taken for the angle: the angle is obs[..., 4].": _with(
            obs, np.sin(obs[..., 3]), np.cos(obs[..., 3])
        ),
    }


def _circle_hint(pairs, angle):
    length = np.hypot(pairs[..., 0], pairs[..., 1])
    if not np.allclose(length, 1, atol=1e-4):
        return (
            "sine and cosine lie on the unit circle; these are up to"
            f" {np.abs(length - 1).max():.2g} off it."
        )
    around = np.argsort(np.abs((angle.reshape(-1) + np.pi) % (2 * np.pi) - np.pi))[:2]
    if angle.size > 2 and np.ptp(pairs.reshape(-1, 2)[around], axis=0).max() > 0.01:
        return (
            "they jump between an angle just below 2π and one just above 0: take sine and cosine of"
            " the angle as it is."
        )
    return "np.sin(obs[..., 4]), then np.cos(obs[..., 4])."


# E1.2, temporal ensembling.


def _ensemble_inputs(rng, challenge):
    """As many predictions as coordinates, which a sum over the wrong axis survives; many; one
    alone.
    """
    count, dims = ((5, 2), (3, 3), (1, 2))[challenge]
    return {
        "predictions": rng.uniform(-1, 1, (count, dims)).astype(np.float32),
        "m": (0.3, 0.7, 0.2)[challenge],
    }


def _ensemble_call(answer, given):
    predictions = torch.tensor(given["predictions"])
    action = call_answer(
        f"ensemble of {len(predictions)} predictions", answer, predictions, given["m"]
    )
    return {"action": as_array("ensemble", action), "predictions": predictions.detach().numpy()}


def _ensemble_judge(given, got):
    predictions, m, action = given["predictions"].astype(np.float64), given["m"], got["action"]
    count, dims = predictions.shape
    if action.shape != (dims,):
        hint = (
            "sum over the predictions, dim=0."
            if action.shape == (count, dims)
            else (
                "one action, without a first dimension."
                if action.shape == (1, dims)
                else (
                    "the coordinates stay apart: sum over dim=0 alone."
                    if action.ndim == 0
                    else "weights[:, None] * predictions, summed over dim=0."
                )
            )
        )
        raise AnswerError(
            f"From {count} predictions of {dims} coordinates came {action.shape} where ({dims},) is"
            f" needed. Hint: {hint}"
        )
    if not np.array_equal(got["predictions"], given["predictions"]):
        raise AnswerError(
            "The predictions that were handed over are changed. Hint: weights[:, None] *"
            " predictions makes a new tensor."
        )
    weights = np.exp(-m * np.arange(count))
    right = weights @ predictions / weights.sum()
    if np.allclose(action, right, rtol=1e-4, atol=1e-5):
        return
    hint = mistake(action, _ensemble_mistakes(predictions, weights, m), rtol=1e-4)
    raise AnswerError(
        f"Of {count} predictions with m = {m} the mean is {np.round(action, 4).tolist()} where "
        f"{np.round(right, 4).tolist()} is right. "
        "Hint:"
        f" {hint or 'weights exp(-m i) with i = 0 for the oldest, the first row; divide by their sum.'}"
    )


def _ensemble_mistakes(predictions, weights, m):
    count, dims = predictions.shape
    steps = np.arange(count)
    newest = (
        "the newest weighs most here: the weight is exp(-m i), with the minus, and i = 0 is the"
        " oldest, the first row"
    )

    def mean(w):
        return w @ predictions / w.sum()

    candidates = {
        "the weights do not add up to 1: divide by their sum.": weights @ predictions,
        "divide by the sum of the weights, not by their number.": weights @ predictions / count,
        f"{newest}.": mean(weights[::-1]),
        f"{newest}; and divide by the sum of the weights.": np.exp(m * steps) @ predictions,
        f"{newest}; and the weights do not add up to 1.": weights[::-1] @ predictions,
        "all weigh the same here: m is left out.": predictions.mean(axis=0),
        "only the newest counts here: that is no ensemble.": predictions[-1],
        "only the oldest counts here: that is no ensemble.": predictions[0],
        "m is fixed: take it from the argument.": mean(np.exp(-0.01 * steps)),
        "m is left out, and is 1: exp(-m i).": mean(np.exp(-steps)),
        "i is squared: exp(-m i).": mean(np.exp(-m * steps**2)),
        "i is divided by m: multiply, exp(-m i).": mean(np.exp(-steps / m)),
        "i is divided by the number of predictions: it counts steps.": mean(
            np.exp(-m * steps / count)
        ),
        "these are powers of 2: exp(-m i).": mean(2.0 ** (-m * steps)),
        "these are powers of m: exp(-m i).": mean(m ** steps.astype(float)),
        "this falls as 1 / (1 + m i): exp(-m i).": mean(1 / (1 + m * steps)),
        "the weights fall in a straight line: exp(-m i).": mean(np.clip(1 - m * steps, 0, None)),
    }
    if count == dims:
        candidates["the weights go over the coordinates here: weights[:, None] * predictions."] = (
            weights * predictions
        ).sum(axis=0) / weights.sum()
        candidates["the sum goes over the coordinates here: over the predictions, dim=0."] = (
            weights[:, None] * predictions
        ).sum(axis=1) / weights.sum()
        candidates["the products are summed over the coordinates here: weights @ predictions."] = (
            predictions @ weights / weights.sum()
        )
    return candidates


# E3.1, the DDIM step.

_KEPT = 100  # steps of the notebook's own schedule


def _ddim_inputs(rng, challenge):
    """The notebook's schedule, then others of other lengths; a long jump, a longer one, a single
    step, the last step.
    """
    steps = (_KEPT, int(rng.integers(40, 60)), int(rng.integers(120, 160)))[challenge]
    bar = np.cumprod(
        1
        - (
            cosine_schedule(steps)
            if challenge == 0
            else np.linspace(0.002, rng.uniform(0.1, 0.15) * 50 / steps, steps)
        )
    )
    shape = ((6, 16, 2), (3, 5, 3), (1, 8, 2))[challenge]
    middle = steps // 2
    jumps = [
        (middle + 9, middle),
        (middle, middle - 17),
        (steps - 6, steps - 16),
        (9, 8),
        (9, 0),
        (9, -1),
        (0, -1),
    ]
    return {
        "alpha_bar": bar.astype(np.float32),
        "jumps": jumps,
        "seeds": [int(seed) for seed in rng.integers(2**31, size=2)],
        "a_k": [rng.normal(size=shape).astype(np.float32) for _ in jumps],
        "epsilon": [rng.normal(size=shape).astype(np.float32) for _ in jumps],
    }


def _ddim_call(answer, given):
    got = {"a": [], "again": []}
    for (k, k_prev), a_k, epsilon in zip(given["jumps"], given["a_k"], given["epsilon"]):
        for seed, kept in zip(given["seeds"], got.values()):
            handed = torch.tensor(epsilon), torch.tensor(a_k), torch.tensor(given["alpha_bar"])
            with seeded(seed):
                a = call_answer(
                    f"ddim_step from k = {k} to k_prev = {k_prev}",
                    answer,
                    handed[0],
                    k,
                    k_prev,
                    *handed[1:],
                )
            kept.append(as_array("ddim_step", a))
            if not all(
                np.array_equal(h.detach().numpy(), was)
                for h, was in zip(handed, (epsilon, a_k, given["alpha_bar"]))
            ):
                raise AnswerError(
                    "What was handed to ddim_step is changed. Hint: work out a new tensor, and"
                    " assign into none."
                )
    return got


def _ddim_judge(given, got):
    bar = given["alpha_bar"].astype(np.float64)
    for (k, k_prev), a_k, epsilon, a, again in zip(
        given["jumps"], given["a_k"], given["epsilon"], got["a"], got["again"]
    ):
        if a.shape != a_k.shape:
            raise AnswerError(
                f"From chunks {a_k.shape} came {a.shape}. Hint: k and k_prev are whole numbers: "
                "alpha_bar[k] is one number."
            )
        right = _ddim(a_k, epsilon, bar[k], bar[k_prev] if k_prev >= 0 else 1)
        if np.allclose(a, right, rtol=1e-3, atol=2e-3):
            continue
        if not np.allclose(a, again, rtol=1e-3, atol=1e-3):
            hint = "noise is added: a DDIM step with sigma = 0 draws none."
        else:
            hint = mistake(a, _ddim_mistakes(k, k_prev, a_k, epsilon, bar), rtol=5e-3)
        raise AnswerError(
            f"The step from k = {k} to k_prev = {k_prev} is up to {np.abs(a - right).max():.2g}"
            " off. Hint: "
            f"{hint or 'the clean chunk first, from a_k and the noise; then spoil it with that noise, to k_prev.'}"
        )


def _ddim(a_k, epsilon, share, share_prev):
    clean = (a_k - np.sqrt(1 - share) * epsilon) / np.sqrt(share)
    return np.sqrt(share_prev) * clean + np.sqrt(1 - share_prev) * epsilon


def _ddim_mistakes(k, k_prev, a_k, epsilon, bar):
    now, then = bar[k], bar[k_prev] if k_prev >= 0 else 1.0
    alpha = bar / np.append(1, bar[:-1])
    clean = (a_k - np.sqrt(1 - now) * epsilon) / np.sqrt(now)
    prev_alpha = alpha[k_prev] if k_prev >= 0 else 1.0
    candidates = {}
    if k_prev < 0:
        candidates[
            "at k_prev = -1 nothing is spoilt, the share is 1; alpha_bar[-1] is the last of the"
            " array, nearly 0."
        ] = _ddim(a_k, epsilon, now, bar[-1])
        candidates["at k_prev = -1 the share is 1; here it is 0."] = _ddim(a_k, epsilon, now, 0)
        candidates["at k_prev = -1 the share is 1; here it is that of step 0."] = _ddim(
            a_k, epsilon, now, bar[0]
        )
        candidates["the clean chunk is cut off at ± 1 here: leave it as it is."] = clean.clip(-1, 1)
    candidates |= {
        "this is alpha in place of alpha_bar: take the argument alpha_bar as it is (the paper calls it alpha).": _ddim(
            a_k, epsilon, alpha[k], prev_alpha
        ),
        "the product is taken twice: alpha_bar is a cumulative product already.": _ddim(
            a_k, epsilon, np.prod(bar[: k + 1]), np.prod(bar[: k_prev + 1])
        ),
        "the step ends at k - 1 here: k_prev may be further down.": _ddim(
            a_k, epsilon, now, bar[k - 1] if k else 1.0
        ),
        "the share of k_prev is one step off: alpha_bar[k_prev].": _ddim(
            a_k, epsilon, now, bar[k_prev + 1]
        ),
        "the share of k_prev is one step off: alpha_bar[k_prev], without - 1.": _ddim(
            a_k, epsilon, now, bar[k_prev - 1] if k_prev > 0 else 1.0
        ),
        "the share of k is one step off: alpha_bar[k].": _ddim(
            a_k, epsilon, bar[k - 1] if k else 1.0, then
        ),
        "k and k_prev are swapped: the clean chunk comes from a_k with alpha_bar[k].": (
            _ddim(a_k, epsilon, then, now) if then < 1 else a_k
        ),
        "the chunk stays as spoilt as it was: spoil the clean one with the share of k_prev.": (
            np.asarray(a_k, dtype=np.float64)
        ),
        "this is the clean chunk: spoil it again, to k_prev.": clean,
        "the noise at the end is left out: + sqrt(1 - alpha_bar_prev) times epsilon.": (
            np.sqrt(then) * clean
        ),
        "the clean chunk lacks its factor sqrt(alpha_bar_prev).": (
            clean + np.sqrt(1 - then) * epsilon
        ),
        "the root of alpha_bar[k] below the clean chunk is missing.": (
            np.sqrt(then) * (a_k - np.sqrt(1 - now) * epsilon) / now + np.sqrt(1 - then) * epsilon
        ),
        "the root of 1 - alpha_bar[k] is missing.": (
            np.sqrt(then) * (a_k - (1 - now) * epsilon) / np.sqrt(now) + np.sqrt(1 - then) * epsilon
        ),
        "the root of alpha_bar[k_prev] before the clean chunk is missing.": (
            then * clean + np.sqrt(1 - then) * epsilon
        ),
        "the root of 1 - alpha_bar[k_prev] at the end is missing.": (
            np.sqrt(then) * clean + (1 - then) * epsilon
        ),
        "all roots are missing.": then * (a_k - (1 - now) * epsilon) / now + (1 - then) * epsilon,
        "the division by sqrt(alpha_bar[k]) is missing.": (
            np.sqrt(then) * (a_k - np.sqrt(1 - now) * epsilon) + np.sqrt(1 - then) * epsilon
        ),
        "the clean chunk is cut off at ± 1 here: leave it as it is.": (
            np.sqrt(then) * clean.clip(-1, 1) + np.sqrt(1 - then) * epsilon
        ),
        "the noise is added to get the clean chunk: take it away.": (
            np.sqrt(then) * (a_k + np.sqrt(1 - now) * epsilon) / np.sqrt(now)
            + np.sqrt(1 - then) * epsilon
        ),
        "the noise is taken away at the end: add it.": (
            np.sqrt(then) * clean - np.sqrt(1 - then) * epsilon
        ),
        "guess and chunk are swapped: the order is ddim_step(pred_epsilon, k, k_prev, a_k, alpha_bar).": _ddim(
            epsilon, a_k, now, then
        ),
        "this is DDPM's mean of one step back: DDIM jumps to k_prev.": (
            (a_k - (1 - alpha[k]) / np.sqrt(1 - now) * epsilon) / np.sqrt(alpha[k])
        ),
    }
    if len(bar) != _KEPT:
        own = np.cumprod(1 - cosine_schedule(_KEPT))
        candidates["alpha_bar is the notebook's own here: take the argument."] = _ddim(
            a_k, epsilon, own[min(k, _KEPT - 1)], own[k_prev] if k_prev >= 0 else 1
        )
    return candidates


# E4.1, the midpoint rule.


def _midpoint_inputs(rng, challenge):
    batch, dims = ((4, 3), (1, 2), (9, 5))[challenge]
    return {
        "state": rng.uniform(-1, 1, (batch, 5)).astype(np.float32),
        "a": rng.normal(size=(batch, 8, dims)).astype(np.float32),
        "weight": rng.uniform(-1, 1, (5, 8 * dims)).astype(np.float32),
        "tau": np.full(batch, rng.uniform(0.1, 0.5), dtype=np.float32),
        "h": (0.25, 0.1, 0.05)[challenge],
    }


def _midpoint_call(answer, given):
    asked, weight = [], torch.tensor(given["weight"])

    def velocity(state, a, tau):
        """Towards a point that the state decides and that moves with time; right for the shapes of
        the notebook alone.
        """
        if not (isinstance(tau, torch.Tensor) and tuple(tau.shape) == (len(given["state"]),)):
            raise AnswerError(
                f"velocity was asked with a tau of {_shape_of(tau)} where (B,) ="
                f" ({len(given['state'])},) is needed. Hint: tau is a tensor already, so tau + h /"
                " 2 is one."
            )
        if tuple(a.shape) != given["a"].shape or tuple(state.shape) != given["state"].shape:
            raise AnswerError(
                f"velocity was asked with a state {tuple(state.shape)} and chunks {tuple(a.shape)}"
                f" where {given['state'].shape} and {given['a'].shape} are needed. Hint:"
                " velocity(state, a, tau), in this order."
            )
        asked.append(float(tau[0]))
        return (state @ weight).reshape(a.shape) + (tau * 3).sin()[:, None, None] - 1.5 * a

    state, a, tau = (torch.tensor(given[name]) for name in ("state", "a", "tau"))
    stepped = _ask_midpoint(answer, velocity, state, a, tau, given["h"])
    if not torch.equal(a, torch.tensor(given["a"])) or not torch.equal(
        tau, torch.tensor(given["tau"])
    ):
        raise AnswerError(
            "What was handed to midpoint_step is changed. Hint: a = a + … makes a new tensor, a +="
            " … changes the caller's."
        )
    stepped, asked = as_array("midpoint_step", stepped), len(asked)
    return {
        "stepped": stepped,
        "asked": asked,
        "errors": [_error_at_one(answer, steps) for steps in (8, 16)],
    }


def _shape_of(tau):
    return (
        f"shape {tuple(tau.shape)}"
        if isinstance(tau, torch.Tensor)
        else f"type {type(tau).__name__}"
    )


def _ask_midpoint(answer, velocity, *arguments):
    try:
        return call_answer("midpoint_step", answer, velocity, *arguments)
    except AnswerError as error:
        if isinstance(error.__cause__, AnswerError):  # the field's own words
            raise error.__cause__ from None
        raise


def _error_at_one(answer, steps):
    """How far from the truth `steps` steps end, from tau = 0 to 1, in a field with a known
    solution: da/dtau = a cos(tau).
    """
    a, state = torch.ones(1, 8, 2, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64)
    for i in range(steps):
        a = _ask_midpoint(
            answer,
            lambda state, a, tau: a * torch.as_tensor(tau, dtype=a.dtype).cos().reshape(-1, 1, 1),
            state,
            a,
            torch.full((1,), i / steps, dtype=torch.float64),
            1 / steps,
        )
    return float(np.abs(as_array("midpoint_step", a) - np.exp(np.sin(1.0))).max())


def _midpoint_judge(given, got):
    a, tau, h = given["a"].astype(np.float64), given["tau"].astype(np.float64), given["h"]
    if got["stepped"].shape != a.shape:
        raise AnswerError(
            f"From chunks {a.shape} came {got['stepped'].shape}. Hint: return the new chunks, of"
            " the same shape."
        )
    first, half = _field(given, a, tau), a + h / 2 * _field(given, a, tau)
    right = a + h * _field(given, half, tau + h / 2)
    wrong = not np.allclose(got["stepped"], right, rtol=1e-4, atol=1e-5)
    if not wrong and got["asked"] == 2:
        return
    if not wrong:
        raise AnswerError(
            f"The chunks are right, but velocity is asked {got['asked']} times. Hint: twice is"
            " enough: that is what takes time."
        )
    hint = mistake(got["stepped"], _midpoint_mistakes(given, a, tau, h, first, half), rtol=1e-4)
    one, other = got["errors"]
    order = (
        " In a field whose solution is known, halving the step divides the error by"
        f" {one / other:.1f}; 4 is second order."
        if np.isfinite([one, other]).all() and other > 1e-12
        else ""
    )
    raise AnswerError(
        f"The step is up to {np.abs(got['stepped'] - right).max():.2g} off.{order} Hint: "
        f"{hint or 'half a step with the first velocity; the second there, at tau + h / 2; with it the whole step.'}"
    )


def _field(given, a, tau):
    return (
        (given["state"].astype(np.float64) @ given["weight"].astype(np.float64)).reshape(a.shape)
        + np.sin(3 * tau)[:, None, None]
        - 1.5 * a
    )


def _midpoint_mistakes(given, a, tau, h, first, half):
    def at(point, time):
        return _field(given, point, time)

    middle, end = at(half, tau + h / 2), at(a + h * first, tau + h)
    return {
        "this is Euler's step: ask again in the middle, and go with what is found there.": (
            a + h * first
        ),
        "this is half of Euler's step: the whole step goes with the second velocity.": half,
        "the second velocity is asked at tau: the middle is at tau + h / 2.": a + h * at(half, tau),
        "the second velocity is asked at tau + h: the middle is at tau + h / 2.": (
            a + h * at(half, tau + h)
        ),
        "the second velocity is asked at a itself: go half a step first.": (
            a + h * at(a, tau + h / 2)
        ),
        "the first step goes all the way: to the middle it is h / 2.": (
            a + h * at(a + h * first, tau + h / 2)
        ),
        "the velocity at the end is taken: the middle is half a step away, a + h/2 v and tau + h/2.": (
            a + h * end
        ),
        "this is Heun's rule, of second order too, with the mean of both ends; asked for is the velocity in the middle.": (
            a + h * (first + end) / 2
        ),
        "the mean of both velocities is taken, as two Euler steps of h / 2 do: the second alone takes the whole step from a.": (
            a + h * (first + middle) / 2
        ),
        "the whole step starts at a, not in the middle.": half + h * middle,
        "the last step is h, not h / 2.": a + h / 2 * middle,
        "h is left out in the last step.": a + middle,
        "h is left out on the way to the middle.": a + h * at(a + first / 2, tau + h / 2),
        "the sign is wrong: add the velocity.": a - h * middle,
        "this is the velocity in the middle: return the chunks that it leads to.": middle,
        "this is the change alone: add it to a.": h * middle,
    }


EXTENSIONS = {
    "E1.1": (_angle_inputs, _angle_call, _angle_judge),
    "E1.2": (_ensemble_inputs, _ensemble_call, _ensemble_judge),
    "E3.1": (_ddim_inputs, _ddim_call, _ddim_judge),
    "E4.1": (_midpoint_inputs, _midpoint_call, _midpoint_judge),
}
