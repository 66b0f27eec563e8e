"""What the judges of all parts share."""

import numpy as np
import torch

from score.verdict import AnswerError, call_answer


def as_array(what, tensor):
    """A student's tensor as a float64 array; AnswerError for one that is none of real floats."""
    if not isinstance(tensor, torch.Tensor):
        raise AnswerError(f"{what} returned a {type(tensor).__name__} where a tensor is needed.")
    if not tensor.is_floating_point():
        raise AnswerError(f"{what} returned {tensor.dtype} where floats are needed.")
    return call_answer(what, lambda: tensor.detach().to("cpu", torch.float64).numpy())


def mistake(got, candidates, rtol=1e-5):
    """The hint whose value `got` equals; None when it equals none.

    candidates: hint -> the number or array (tensors as well) that this mistake gives.
    """
    for hint, value in candidates.items():
        if np.shape(value) == np.shape(got) and np.allclose(
            got, np.asarray(value), rtol=rtol, atol=1e-8
        ):
            return hint
    return None
