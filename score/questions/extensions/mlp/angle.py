"""E1.1, an extension of Part I: sine and cosine in place of the angle."""

from typing import Any

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require
from score.questions.mistakes import Mistake, Mistakes, first_hint, require_close


class AngleEncoding(Question):
    """Observations (…, 5) as (…, 6): agent and block, then sine and cosine of the angle."""

    name = "E1.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """One observation, sequences of two, many, the first on both sides of a full turn."""
        shape, dtype = (((5,), np.float64), ((7, 2, 5), np.float32), ((40, 5), np.float64))[trial]
        obs = rng.uniform(20, 500, shape)
        obs[..., 4] = rng.uniform(0, 2 * np.pi, shape[:-1])
        if trial == 2:
            obs[:2, 4] = 2 * np.pi - 1e-3, 1e-3
            obs[2:10, 4] = rng.uniform(-9, 9, 8)
        return {"obs": obs.astype(dtype)}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        obs, what = inputs["obs"].copy(), f"encode_angle of an array {inputs['obs'].shape}"
        hint = "obs[..., 4] is the angle, however many dimensions there are."
        hints = [((IndexError, ValueError), "", hint)]
        encoded = call_with_hints(what, answer, obs, hints=hints)
        said = f"encode_angle returned a {type(encoded).__name__} where a numpy array is needed."
        require(isinstance(encoded, Array), said, "np.concatenate(…, axis=-1) makes one.")
        said = f"encode_angle returned {encoded.dtype} where floats are needed."
        floats = np.issubdtype(encoded.dtype, np.floating)
        require(floats, said, "sines and cosines are no whole numbers.")
        return {"encoded": encoded.astype(np.float64), "obs": obs}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        obs, encoded = inputs["obs"].astype(np.float64), outputs["encoded"]
        needed = (*obs.shape[:-1], 6)
        said = f"From observations {obs.shape} came {encoded.shape} where {needed} is needed."
        require(encoded.shape == needed, said, _shape_hint(encoded.shape, obs.shape))
        said = "The observations that were handed over are changed."
        unchanged = np.array_equal(outputs["obs"], inputs["obs"])
        require(unchanged, said, "build a new array, with np.concatenate.")
        right = _encoded(obs, np.sin(obs[..., 4]), np.cos(obs[..., 4]))
        found, expected = (np.round(x.reshape(-1, 6)[0], 3).tolist() for x in (encoded, right))
        said = f"At an angle of {obs[..., 4].flat[0]:.3f} the last two of {found} should be"
        hint = _other_hint(encoded, obs)
        require_close(encoded, right, f"{said} {expected[4:]}.", _mistakes(obs), hint)


def _encoded(obs: Array, *columns: Array) -> Array:
    return np.concatenate([obs[..., :4], np.stack(columns, axis=-1)], axis=-1)


def _shape_hint(shape: tuple[int, ...], obs_shape: tuple[int, ...]) -> str:
    stays = "sine and cosine stand in place of the angle, not behind it:"
    axis = "join along the last axis, axis=-1; obs[..., 4:] keeps that axis, obs[..., 4] does not."
    return first_hint(
        (shape == obs_shape, "two numbers take the place of the one angle."),
        (shape == (*obs_shape[:-1], 7), f"{stays} obs[..., :4] is what stays."),
        (shape == (*obs_shape[:-1], 2), "agent and block come before them: obs[..., :4]."),
        (shape[-1:] != (6,), axis),
        (True, "all dimensions but the last stay as they are."),
    )


def _mistakes(obs: Array) -> Mistakes:
    angle, sin, cos = obs[..., 4], np.sin(obs[..., 4]), np.cos(obs[..., 4])

    def mistake(hint: str, *columns: Array) -> Mistake:
        return _encoded(obs, *columns), hint

    def of(angle: Array, hint: str) -> Mistake:
        return mistake(hint, np.sin(angle), np.cos(angle))

    yield mistake("cosine and sine are swapped: the sine comes first.", cos, sin)
    yield of(np.deg2rad(angle), "the angle is in radians already: no degrees, no np.deg2rad.")
    yield of(np.rad2deg(angle), "np.sin takes radians, which the angle is in: no np.rad2deg.")
    last = np.roll(_encoded(obs, sin, cos), 2, axis=-1)
    yield last, "sine and cosine come last, behind the other four."
    yield mistake("both are the sine.", sin, sin)
    yield mistake("both are the cosine.", cos, cos)
    yield mistake("the angle itself is still there: sine, then cosine.", angle, sin)
    yield mistake("the angle itself is still there: sine, then cosine, and no angle.", angle, cos)
    yield mistake("this is the sine and the angle: the cosine is missing.", sin, angle)
    yield of(angle / 2, "this is half the angle: sin(angle), cos(angle).")
    yield of(2 * angle, "this is twice the angle: a T looks the same after a whole turn only.")
    yield mistake("the sine's sign is wrong.", -sin, cos)
    yield of(obs[..., 3], "the block's y is taken for the angle: the angle is obs[..., 4].")


def _other_hint(encoded: Array, obs: Array) -> str:
    """Return the hint where no known mistake fits."""
    pairs, angle = encoded[..., 4:], obs[..., 4]
    off = np.abs(np.hypot(pairs[..., 0], pairs[..., 1]) - 1)
    nearest = np.argsort(np.abs((angle.reshape(-1) + np.pi) % (2 * np.pi) - np.pi))[:2]
    jump = np.ptp(pairs.reshape(-1, 2)[nearest], axis=0).max()
    kept = np.allclose(encoded[..., :4], obs[..., :4], rtol=1e-4)
    jumps = "they jump between an angle just below 2π and one just above 0:"
    as_it_is = "take sine and cosine of the angle as it is."
    circle = f"sine and cosine lie on the unit circle; these are up to {off.max():.2g} off it."
    return first_hint(
        (not kept, "the first four numbers are agent and block, as they are: obs[..., :4]."),
        (not np.allclose(off, 0, atol=1e-4), circle),
        (angle.size > 2 and jump > 0.01, f"{jumps} {as_it_is}"),
        (True, "np.sin(obs[..., 4]), then np.cos(obs[..., 4])."),
    )
