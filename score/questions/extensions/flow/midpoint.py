"""E4.1, an extension of Part IV: a step of the midpoint rule."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from score.questions.base import Array, Arrays, Question, Rng, as_array, call_with_hints, require
from score.questions.mistakes import Mistake, Mistakes, require_close

Velocity = Callable[[Array, Array], Array]  # at chunks and times


class MidpointStep(Question):
    """Chunks (B, 8, action_dim) moved by h in time with the velocity half-way."""

    name = "E4.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        batch, dims = ((4, 3), (1, 2), (9, 5))[trial]
        return {
            "state": rng.uniform(-2, 2, (batch, 5)).astype(np.float32),
            "a": rng.normal(size=(batch, 8, dims)).astype(np.float32),
            "weight": rng.uniform(-1, 1, (5, 8 * dims)).astype(np.float32),
            "tau": rng.uniform(0.1, 0.5, batch).astype(np.float32),
            "h": (0.25, 0.1, 0.05)[trial],
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        calls, weight = 0, torch.tensor(inputs["weight"])

        def velocity(state: Any, a: Any, tau: Any) -> Tensor:
            nonlocal calls
            _require_shapes(inputs, state, a, tau)
            calls += 1
            return _field(weight, state, a, tau)

        state, a, tau = (torch.tensor(inputs[name]) for name in ("state", "a", "tau"))
        arguments = velocity, state, a, tau, inputs["h"]
        stepped = call_with_hints("midpoint_step", answer, *arguments, hints=())
        same = [torch.equal(x, torch.tensor(inputs[n])) for n, x in (("a", a), ("tau", tau))]
        hint = "a = a + … makes a new tensor, a += … changes the caller's."
        require(all(same), "What was handed to midpoint_step is changed.", hint)
        array, counted = as_array("midpoint_step", stepped), calls
        errors = [_error_at_one(answer, steps) for steps in (8, 16)]
        return {"stepped": array, "calls": counted, "errors": errors}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        names = ("weight", "state", "a", "tau")
        weight, state, a, tau = (inputs[name].astype(np.float64) for name in names)
        stepped, h, calls = outputs["stepped"], inputs["h"], outputs["calls"]

        def velocity(a: Array, tau: Array) -> Array:
            return _field(*map(torch.from_numpy, (weight, state, a, tau))).numpy()

        hint = "return the new chunks, of the same shape."
        require(stepped.shape == a.shape, f"From chunks {a.shape} came {stepped.shape}.", hint)
        right = a + h * velocity(a + h / 2 * velocity(a, tau), tau + h / 2)
        off, order = np.abs(stepped - right).max(), _order(*outputs["errors"])
        said, whole = f"The step is up to {off:.2g} off.{order}", "with it the whole step."
        hint = f"half a step with the first velocity; the second there, at tau + h / 2; {whole}"
        require_close(stepped, right, said, _mistakes(velocity, a, tau, h), hint)
        said = f"The chunks are right, but velocity is called {calls} times."
        require(calls == 2, said, "twice is enough: that is what takes time.")


def _field(weight: Tensor, state: Tensor, a: Tensor, tau: Tensor) -> Tensor:
    """Return the velocity towards a point that the state decides and that moves with time."""
    return (state @ weight).reshape(a.shape) + (tau * 3).sin()[:, None, None] - 1.5 * a


def _require_shapes(inputs: Arrays, state: Any, a: Any, tau: Any) -> None:
    """The velocity is one for the notebook's shapes alone."""
    batch, tensor = len(inputs["state"]), isinstance(tau, Tensor)
    kind = f"shape {tuple(tau.shape)}" if tensor else f"type {type(tau).__name__}"
    said = f"velocity was called with a tau of {kind} where (B,) = ({batch},) is needed."
    hint = "tau is a tensor already, so tau + h / 2 is one."
    require(tensor and tuple(tau.shape) == (batch,), said, hint)
    shapes = tuple(state.shape), tuple(a.shape)
    right = inputs["state"].shape, inputs["a"].shape
    needed = f"where {right[0]} and {right[1]} are needed."
    said = f"velocity was called with a state {shapes[0]} and chunks {shapes[1]} {needed}"
    require(shapes == right, said, "velocity(state, a, tau), in this order.")


def _error_at_one(answer: Any, steps: int) -> float:
    """Return how far from the truth steps from tau = 0 to 1 end, where da/dtau = a cos(tau)."""

    def velocity(state: Tensor, a: Tensor, tau: Any) -> Tensor:
        return a * torch.as_tensor(tau, dtype=a.dtype).cos().reshape(-1, 1, 1)

    a, state = torch.ones(1, 8, 2, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64)
    for i in range(steps):
        tau = torch.full((1,), i / steps, dtype=torch.float64)
        a = call_with_hints("midpoint_step", answer, velocity, state, a, tau, 1 / steps, hints=())
    return float(np.abs(as_array("midpoint_step", a) - np.exp(np.sin(1.0))).max())


def _order(error: float, error_of_half: float) -> str:
    """Return a sentence on what half the step does to the error, or "" where there is none."""
    if not (np.isfinite([error, error_of_half]).all() and error_of_half > 1e-12):
        return ""
    return (
        " In a field whose solution is known, halving the step divides the error by"
        f" {error / error_of_half:.1f}; 4 is second order."
    )


def _mistakes(velocity: Velocity, a: Array, tau: Array, h: float) -> Mistakes:
    def step(velocity: Array, hint: str) -> Mistake:
        return a + h * velocity, hint

    first, later = velocity(a, tau), tau + h / 2
    half, euler = a + h / 2 * first, a + h * first
    middle, end = velocity(half, later), velocity(euler, tau + h)
    hint = "this is Euler's step: evaluate it again in the middle"
    yield step(first, f"{hint}, and go with what is found there.")
    hint = "this is half of Euler's step: the whole step goes with the second velocity."
    yield step(first / 2, hint)
    for time, where in ((tau, "tau"), (tau + h, "tau + h")):
        hint = f"the second velocity is evaluated at {where}: the middle is at tau + h / 2."
        yield step(velocity(half, time), hint)
    hint = "the second velocity is evaluated at a itself: go half a step first."
    yield step(velocity(a, later), hint)
    hint = "the first step goes all the way: to the middle it is h / 2."
    yield step(velocity(euler, later), hint)
    hint = "the velocity at the end is taken: the middle is half a step away"
    yield step(end, f"{hint}, a + h/2 v and tau + h/2.")
    hint = "this is Heun's rule, of second order too, with the mean of both ends;"
    yield step((first + end) / 2, f"{hint} asked for is the velocity in the middle.")
    hint = "the mean of both velocities is taken, as two Euler steps of h / 2 do:"
    yield step((first + middle) / 2, f"{hint} the second alone takes the whole step from a.")
    yield half + h * middle, "the whole step starts at a, not in the middle."
    yield step(middle / 2, "the last step is h, not h / 2.")
    yield step(middle / h, "h is left out in the last step.")
    yield step(velocity(a + first / 2, later), "h is left out on the way to the middle.")
    yield step(-middle, "the sign is wrong: add the velocity.")
    yield middle, "this is the velocity in the middle: return the chunks that it leads to."
    yield h * middle, "this is the change alone: add it to a."
