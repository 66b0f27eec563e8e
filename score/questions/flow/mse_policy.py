"""Part IV, flow matching: Q4.1 the MSE policy, a class."""

from typing import Any

import numpy as np
import torch

from score.questions.base import Array, Arrays, Rng, as_sent, number_sent, require
from score.questions.flow import network, policies
from score.questions.flow.network import FELT
from score.questions.flow.policies import StudentPolicy, chunk_shape, squared_errors
from score.questions.mistakes import Mistakes, bounded
from score.questions.networks import small

# So far uphill and downhill is the loss compared with what its gradient promises.
_STRIDE = 1e-2
_MEET = "the chunks of sample_actions and action_chunk meet as (B, chunk_size, action_dim)."
_FALLBACK = "it is the squared difference between what sample_actions gives and action_chunk."
_NO_GRADIENT = (
    "no torch.no_grad and no .detach() on the way to the loss; if sample_actions has them,"
    " compute_loss needs a way of its own."
)


class MSEPolicy(policies.PolicyQuestion):
    """The class `MSEPolicy`: its chunks, and the squared error as its loss."""

    name = "Q4.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        inputs = policies.sizes_and_states(rng, trial, batch := (9, 16, 5)[trial])
        return {**inputs, "chunk": small(rng, *chunk_shape(inputs, batch), most=4)}

    def outputs(self, policy: StudentPolicy, inputs: Arrays) -> Arrays:
        def sample(states: Array = inputs["state"], **options: Any) -> Array:
            method = policy.module.sample_actions
            return policy.chunks("sample_actions", method, states, **options)

        outputs: Arrays = {"chunks": sample(), "again": sample()}
        outputs["three_steps"] = sample(num_steps=3)
        (outputs["felt"],), _, outputs["alone"] = network.sensitivity(sample, inputs["state"])
        outputs["loss"] = policy.loss(_MEET)
        gradients = {p: p.grad for p in policy.module.parameters() if p.grad is not None}
        slope = sum(float(g.double().square().sum()) for g in gradients.values()) ** 0.5
        outputs |= {"slope": slope, "unreached": policy.unreached(sample)}
        with torch.no_grad():
            for name, along in (("uphill", 1), ("downhill", -2)) if slope > 0 else ():
                for parameter, gradient in gradients.items():
                    parameter.add_(along * _STRIDE / slope * gradient)
                outputs[name] = sample()
        outputs["network"] = network.said_by(policy.module, sample, inputs["state"])
        return outputs

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        judge_chunks(inputs, outputs)
        chunk, loss = inputs["chunk"].astype(float), number_sent(outputs["loss"])
        error = outputs["chunks"] - chunk
        both = squared_errors(error)
        right = [value for value in both if np.isclose(loss, value, rtol=1e-4)]
        if not right:
            hint = policies.loss_hint(loss, error, _mistakes(outputs["chunks"], chunk), rtol=1e-4)
            raise policies.wrong_loss(loss, error, hint or _FALLBACK)
        said = "The value is right, but no gradient reaches the network."
        slope = number_sent(outputs["slope"])
        require(slope != 0, said, _NO_GRADIENT)
        policies.judge_unreached(outputs["unreached"], "the state")
        ways = (as_sent(outputs[way], *chunk.shape) for way in ("uphill", "downhill"))
        up, down = (squared_errors(chunks - chunk)[0] for chunks in ways)
        rise = right[0] / both[0] * (up - down) / (2 * _STRIDE)
        said = "The value is right, but its gradient is not that of the squared error."
        hint = "nothing on the way from the network's output to the loss may be detached."
        require(np.isclose(rise, slope, rtol=0.15), said, hint)
        network.judge_network(outputs["network"], "sample_actions")


def judge_chunks(inputs: Arrays, outputs: Arrays) -> None:
    """The chunks have to depend on the whole state, row by row, and on nothing else."""
    shape, names = inputs["chunk"].shape, ("chunks", "again", "three_steps")
    chunks, again, three_steps = (as_sent(outputs[name], *shape) for name in names)
    alone = as_sent(outputs["alone"], 1, *shape[1:])
    felt = as_sent(outputs["felt"], inputs["state_dim"]) > FELT
    same = np.allclose(chunks, again, rtol=1e-5, atol=1e-6)
    said = "Asked twice about the same states, sample_actions gives other chunks."
    require(same, said, "nothing is drawn here: the chunk is the network's output for the state.")
    same = np.allclose(chunks, three_steps, rtol=1e-5, atol=1e-6)
    hint = "num_steps is for the next policy; take it and leave it."
    require(same, "With num_steps=3 the chunks are others.", hint)
    hint = "the network's input is the state."
    require(felt.any(), "The chunks are the same whatever the state.", hint)
    said = f"Number {outputs['felt'].argmin()} of the state leaves the chunks as they are."
    hint = "the network's input is the whole state, all state_dim numbers as they are."
    require(felt.all(), said, hint)
    same = np.allclose(chunks[:1], alone, rtol=1e-4, atol=1e-5)
    hint = "each row of the batch is for itself: flatten or view from dimension 1 on."
    require(same, "The first state alone gets another chunk than in a batch.", hint)
    hint = "the last layer is chunk_size * action_dim wide."
    require(np.ptp(chunks, axis=1).max() >= FELT, "All actions of a chunk are the same.", hint)


def _mistakes(prediction: Array, chunk: Array) -> Mistakes:
    """Yield mistaken differences (B, K, A)."""
    batch, steps, dims = chunk.shape
    view = "view both as (B, chunk_size, action_dim)."
    reshaped = f"chunks are reshaped in another order here than in sample_actions: {view}"
    other_order = prediction.reshape(batch, dims, steps).transpose(0, 2, 1)
    yield other_order - chunk, reshaped
    other_way = prediction.transpose(0, 2, 1).reshape(batch, steps, dims)
    yield other_way - chunk, f"the {reshaped}"
    first = (prediction - chunk)[:, :1]
    yield first, "only the first action counts here: compare the whole chunk."
    yield prediction, "the target is left out: compare the chunks with action_chunk."
    yield chunk, "the prediction is left out: compare the network's output with action_chunk."
    yield from bounded(prediction, chunk)
