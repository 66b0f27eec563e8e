"""E1.1, an extension of Part I: sine and cosine in place of the angle."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from score.questions.base import Arrays, Question, Rng, with_hint, wrong
from score.questions.mistakes import Mistake, hint_of
from score.verdict import AnswerError, call_answer


class AngleEncoding(Question):
    """Observations (…, 5) as (…, 6): agent and block, then sine and cosine of the angle."""

    name = "E1.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """One observation, sequences of two, many; the first angles lie on both sides of the jump
        from a full turn to nothing.
        """
        shape, dtype = (((5,), np.float64), ((7, 2, 5), np.float32), ((40, 5), np.float64))[trial]
        obs = rng.uniform(20, 500, shape)
        obs[..., 4] = rng.uniform(0, 2 * np.pi, shape[:-1])
        if trial == 2:
            obs[:2, 4] = 2 * np.pi - 1e-3, 1e-3
            obs[2:10, 4] = rng.uniform(-9, 9, 8)
        return {"obs": obs.astype(dtype)}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        obs = inputs["obs"].copy()
        try:
            encoded = call_answer(f"encode_angle of an array {obs.shape}", answer, obs)
        except AnswerError as error:
            if not isinstance(error.__cause__, (IndexError, ValueError)):
                raise
            hint = "obs[..., 4] is the angle, however many dimensions there are."
            raise with_hint(error, hint) from error
        if not isinstance(encoded, np.ndarray):
            raise wrong(
                f"encode_angle returned a {type(encoded).__name__} where a numpy array is needed.",
                "np.concatenate(…, axis=-1) makes one.",
            )
        if not np.issubdtype(encoded.dtype, np.floating):
            raise wrong(
                f"encode_angle returned {encoded.dtype} where floats are needed.",
                "sines and cosines are no whole numbers.",
            )
        return {"encoded": encoded.astype(np.float64), "obs": obs}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        obs, encoded = inputs["obs"].astype(np.float64), outputs["encoded"]
        needed = (*obs.shape[:-1], 6)
        if encoded.shape != needed:
            raise wrong(
                f"From observations {obs.shape} came {encoded.shape} where {needed} is needed.",
                _shape_hint(encoded.shape, obs.shape),
            )
        if not np.array_equal(outputs["obs"], inputs["obs"]):
            raise wrong(
                "The observations that were handed over are changed.",
                "build a new array, with np.concatenate.",
            )
        right = _encoded(obs, np.sin(obs[..., 4]), np.cos(obs[..., 4]))
        if not np.allclose(encoded, right, rtol=1e-4, atol=1e-5):
            first, expected = (np.round(x.reshape(-1, 6)[0], 3).tolist() for x in (encoded, right))
            raise wrong(
                f"At an angle of {obs[..., 4].flat[0]:.3f} the last two of {first} should be"
                f" {expected[4:]}.",
                hint_of(encoded, _mistakes(obs), rtol=1e-4) or _other_hint(encoded, obs),
            )


def _encoded(obs: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    return np.concatenate([obs[..., :4], np.stack(columns, axis=-1)], axis=-1)


def _shape_hint(shape: tuple[int, ...], obs_shape: tuple[int, ...]) -> str:
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


def _mistakes(obs: np.ndarray) -> Iterator[Mistake]:
    def of(sine_of: np.ndarray, cosine_of: np.ndarray) -> np.ndarray:
        return _encoded(obs, np.sin(sine_of), np.cos(cosine_of))

    angle, sin, cos = obs[..., 4], np.sin(obs[..., 4]), np.cos(obs[..., 4])
    radians, degrees = np.deg2rad(angle), np.rad2deg(angle)
    yield Mistake(_encoded(obs, cos, sin), "cosine and sine are swapped: the sine comes first.")
    hint = "the angle is in radians already: no degrees, no np.deg2rad."
    yield Mistake(of(radians, radians), hint)
    hint = "np.sin takes radians, which the angle is in: no np.rad2deg."
    yield Mistake(of(degrees, degrees), hint)
    last = np.roll(_encoded(obs, sin, cos), 2, axis=-1)
    yield Mistake(last, "sine and cosine come last, behind the other four.")
    yield Mistake(_encoded(obs, sin, sin), "both are the sine.")
    yield Mistake(_encoded(obs, cos, cos), "both are the cosine.")
    hint = "the angle itself is still there: sine, then cosine"
    yield Mistake(_encoded(obs, angle, sin), f"{hint}.")
    yield Mistake(_encoded(obs, angle, cos), f"{hint}, and no angle.")
    hint = "this is the sine and the angle: the cosine is missing."
    yield Mistake(_encoded(obs, sin, angle), hint)
    yield Mistake(of(angle / 2, angle / 2), "this is half the angle: sin(angle), cos(angle).")
    hint = "this is twice the angle: a T looks the same after a whole turn only."
    yield Mistake(of(2 * angle, 2 * angle), hint)
    yield Mistake(_encoded(obs, -sin, cos), "the sine's sign is wrong.")
    hint = "the block's y is taken for the angle: the angle is obs[..., 4]."
    yield Mistake(of(obs[..., 3], obs[..., 3]), hint)


def _other_hint(encoded: np.ndarray, obs: np.ndarray) -> str:
    """Return the hint where no known mistake fits."""
    pairs, angle = encoded[..., 4:], obs[..., 4]
    if not np.allclose(encoded[..., :4], obs[..., :4], rtol=1e-4):
        return "the first four numbers are agent and block, as they are: obs[..., :4]."
    length = np.hypot(pairs[..., 0], pairs[..., 1])
    if not np.allclose(length, 1, atol=1e-4):
        return (
            "sine and cosine lie on the unit circle; these are up to"
            f" {np.abs(length - 1).max():.2g} off it."
        )
    nearest = np.argsort(np.abs((angle.reshape(-1) + np.pi) % (2 * np.pi) - np.pi))[:2]
    if angle.size > 2 and np.ptp(pairs.reshape(-1, 2)[nearest], axis=0).max() > 0.01:
        return (
            "they jump between an angle just below 2π and one just above 0: take sine and cosine of"
            " the angle as it is."
        )
    return "np.sin(obs[..., 4]), then np.cos(obs[..., 4])."
