"""Part IV, flow matching: Q4.1 the MSE policy, a class."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from score.questions.base import Arrays, Question, Rng, wrong
from score.questions.flow.policy_class import (
    FELT,
    LOSS_HINTS,
    call_method,
    chunk_array,
    draw_chunks,
    draw_states,
    error_hint,
    isolated,
    judge_unreached,
    loss_value,
    make_policy,
    policy_sizes,
    sensitivity,
    squared_errors,
    unreached,
    wrong_loss,
)
from score.questions.mistakes import Mistake, hint_of, squared_error

# So far uphill and downhill is the loss compared with what its gradient promises.
_STRIDE = 1e-2
_MEET = "the chunks of sample_actions and action_chunk meet as (B, chunk_size, action_dim)."


class MSEPolicy(Question):
    """The class `MSEPolicy`: its chunks, and the squared error as its loss."""

    name = "Q4.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        sizes, batch = policy_sizes(rng, trial), (9, 16, 5)[trial]
        states = draw_states(rng, sizes, batch)
        return {**sizes, "state": states, "chunk": draw_chunks(rng, sizes, batch)}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        states = inputs["state"]
        with isolated(inputs["seed"]):
            policy = make_policy(answer, inputs)

            def sample(state: np.ndarray = states, **options: Any) -> np.ndarray:
                chunks = call_method(
                    inputs, "sample_actions", policy.sample_actions, state, **options
                )
                return chunk_array(inputs, "sample_actions", len(state), chunks)

            outputs: Arrays = {
                "chunks": sample(),
                "again": sample(),
                "three_steps": sample(num_steps=3),
            }
            (outputs["felt"],), _, outputs["alone"] = sensitivity(sample, states)
            outputs["loss"] = loss_value(inputs, policy, _MEET)
            gradients = {p: p.grad for p in policy.parameters() if p.grad is not None}
            slope = sum(float(g.double().square().sum()) for g in gradients.values()) ** 0.5
            outputs |= {"slope": slope, "unreached": unreached(policy, sample)}
            with torch.no_grad():
                for name, along in (("uphill", 1), ("downhill", -2)) if slope > 0 else ():
                    for parameter, gradient in gradients.items():
                        parameter.add_(along * _STRIDE / slope * gradient)
                    outputs[name] = sample()
        return outputs

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        judge_chunks(outputs)
        chunk, prediction, loss = inputs["chunk"].astype(float), outputs["chunks"], outputs["loss"]
        both = squared_errors(prediction - chunk)
        right = [value for value in both if np.isclose(loss, value, rtol=1e-4)]
        if not right:
            hint = error_hint(loss, _mistakes(prediction, chunk), rtol=1e-4)
            known = squared_error(prediction - chunk, LOSS_HINTS)
            hint = hint or hint_of(loss, known, rtol=1e-4)
            fallback = (
                "it is the squared difference between what sample_actions gives and action_chunk."
            )
            raise wrong_loss(loss, prediction - chunk, hint or fallback)
        if outputs["slope"] == 0:
            raise wrong(
                "The value is right, but no gradient reaches the network.",
                "no torch.no_grad and no .detach() on the way to the loss; if sample_actions has"
                " them, compute_loss needs a way of its own.",
            )
        judge_unreached(outputs["unreached"], "the state")
        up, down = (squared_errors(outputs[way] - chunk)[0] for way in ("uphill", "downhill"))
        rise = right[0] / both[0] * (up - down) / (2 * _STRIDE)
        if not np.isclose(rise, outputs["slope"], rtol=0.15):
            raise wrong(
                "The value is right, but its gradient is not that of the squared error.",
                "nothing on the way from the network's output to the loss may be detached.",
            )


def judge_chunks(outputs: Arrays) -> None:
    """The chunks have to depend on the whole state, row by row, and on nothing else."""
    chunks, felt = outputs["chunks"], outputs["felt"] > FELT
    if not np.allclose(chunks, outputs["again"], rtol=1e-5, atol=1e-6):
        raise wrong(
            "Asked twice about the same states, sample_actions gives other chunks.",
            "nothing is drawn here: the chunk is the network's output for the state.",
        )
    if not np.allclose(chunks, outputs["three_steps"], rtol=1e-5, atol=1e-6):
        hint = "num_steps is for the next policy; take it and leave it."
        raise wrong("With num_steps=3 the chunks are others.", hint)
    if not felt.any():
        hint = "the network's input is the state."
        raise wrong("The chunks are the same whatever the state.", hint)
    if not felt.all():
        number, hint = outputs["felt"].argmin(), "the whole state, all state_dim numbers."
        said = f"Number {number} of the state leaves the chunks as they are."
        raise wrong(said, f"the network's input is {hint}")
    if not np.allclose(chunks[:1], outputs["alone"], rtol=1e-4, atol=1e-5):
        raise wrong(
            "The first state alone gets another chunk than in a batch.",
            "each row of the batch is for itself: flatten or view from dimension 1 on.",
        )
    if np.ptp(chunks, axis=1).max() < FELT:
        hint = "the last layer is chunk_size * action_dim wide."
        raise wrong("All actions of a chunk are the same.", hint)


def _mistakes(prediction: np.ndarray, chunk: np.ndarray) -> Iterator[Mistake]:
    """Yield mistaken differences (B, K, A)."""
    batch, steps, dims = chunk.shape
    reshaped = (
        "chunks are reshaped in another order here than in sample_actions: view both as (B,"
        " chunk_size, action_dim)."
    )
    other_order = prediction.reshape(batch, dims, steps).transpose(0, 2, 1)
    yield Mistake(other_order - chunk, reshaped)
    other_way = prediction.transpose(0, 2, 1).reshape(batch, steps, dims)
    yield Mistake(other_way - chunk, f"the {reshaped}")
    hint = "only the first action counts here: compare the whole chunk."
    yield Mistake((prediction - chunk)[:, :1], hint)
    hint = "the target is left out: compare the chunks with action_chunk."
    yield Mistake(prediction, hint)
    hint = "the prediction is left out: compare the network's output with action_chunk."
    yield Mistake(chunk, hint)


QUESTIONS = (MSEPolicy(),)
