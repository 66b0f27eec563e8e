"""What a notebook may have set for all of its process, as it is when nothing was set."""

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def usual_surroundings() -> Iterator[None]:
    """Run the body with torch's own defaults (float32, the CPU, gradients recorded), numpy's, and
    without warnings that raise, whatever an earlier cell has set; afterwards all is as it was.

    So a check says the same in practice, where such a cell ran, and when graded, where it may not
    run.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device().type
    # To name a device slows each call of torch.
    cpu = contextlib.nullcontext() if device == "cpu" else torch.device("cpu")
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        cpu,
        np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
        warnings.catch_warnings(),
    ):
        # The filters that raise are removed, not overruled: one before them would show what Python
        # and other packages hide, and IPython always has one that raises.
        warnings.filters = [each for each in warnings.filters if each[0] != "error"]
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
