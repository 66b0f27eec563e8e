"""What Q4.2 judges: where the weights end, which losses were logged, when the policy was evaluated.

Steps count the batches of all epochs. `weights` are those before and after each step of the right
loop, `losses` its losses.
"""

from collections.abc import Iterable

import numpy as np

from score.questions.base import Arrays, wrong
from score.questions.flow.policies import listed
from score.questions.mistakes import Mistake

_LOOP = (
    "for each batch: loss, gradients reset, gradients computed, one step of"
    " torch.optim.Adam(policy.parameters(), lr=config.lr) as it is."
)


def judge_weights(
    inputs: Arrays, outputs: Arrays, weights: list[np.ndarray], mistakes: Iterable[Mistake]
) -> None:
    """The weights have to end where the right loop takes them.

    mistakes: where trainings with a mistake take them.
    """
    config, weight, steps = inputs["config"], outputs["weight"], len(weights) - 1

    def reached(right: np.ndarray) -> bool:
        return np.abs(weight - right).max() < 1e-3 * config["lr"] * steps

    if weight.shape == weights[0].shape and reached(weights[-1]):
        return
    if weight.shape != weights[0].shape or np.array_equal(weight, weights[0]):
        said = "After the training the policy's weights are those from before."
        raise wrong(said, _untrained_hint(outputs))
    hint = next((m.hint for m in mistakes if reached(m.value)), None)
    if hint is None:
        hint, served = _LOOP, outputs["events"].count("batch")
        short = next((step for step, right in enumerate(weights[:-1]) if reached(right)), None)
        if short is not None:
            hint = (
                f"it stops after {short} of {steps} steps: config.num_epochs passes over the whole"
                " loader."
            )
        elif served != steps:
            hint = (
                f"{served} batches were taken from the loader where config.num_epochs passes over"
                f" it make {steps}."
            )
    raise wrong(
        f"After {config['num_epochs']} epochs of {len(inputs['states'])} batches the weights are"
        f" not where Adam with learning rate {config['lr']:.4g} takes them.",
        hint,
    )


def _untrained_hint(outputs: Arrays) -> str:
    if "batch" not in outputs["events"]:
        return "no batch was taken from the loader."
    if not outputs["loss_calls"]:
        return (
            "its compute_loss was never called. Train the policy that is handed in, with its own"
            " loss, and not a copy."
        )
    if not outputs["backwards"]:
        return "no gradient was computed: loss.backward()."
    return "optimizer.step() after loss.backward(), and no zero_grad() between the two."


def judge_log(inputs: Arrays, outputs: Arrays, losses: list[float]) -> None:
    """The losses have to be logged every log_interval steps."""
    every, steps = inputs["config"]["log_interval"], len(losses)
    at = [step for step, _ in outputs["logged"]]
    if not at:
        hint = 'logger.log({"train/loss": loss.item()}, step=step) every config.log_interval steps.'
        if outputs["names"]:
            hint = f'the name is "train/loss", not {outputs["names"][0]!r}.'
        raise wrong("No loss was logged.", hint)
    if at != sorted(at):
        raise wrong(
            f"The logged steps do not rise: {listed(at)}.",
            "count the steps over all epochs; set the counter to 0 once, before the loops.",
        )
    # Counting from 0 or from 1 is a matter of taste, and so is one more at either end.
    wanted = [{multiple + shift for multiple in range(every, steps, every)} for shift in (0, -1, 1)]
    if not any(right <= set(at) <= right | {0, 1, steps - 1, steps} for right in wanted):
        often = "this is every step; " if len(set(at)) >= steps else ""
        raise wrong(
            f"Losses were logged at steps {listed(at)} of {steps}.",
            f"{often}every config.log_interval steps, here {every}: {listed(sorted(wanted[0]))}.",
        )
    for step, value in outputs["logged"]:
        so_far = losses[: max(step, 0) + 1]  # an average of these is as right
        if not min(so_far) * (1 - 1e-4) <= value <= max(so_far) * (1 + 1e-4):
            raise wrong(
                f"At step {step} a loss of {value:.6g} was logged, where those so far are from"
                f" {min(so_far):.6g} to {max(so_far):.6g}.",
                "log the loss of the batch, loss.item().",
            )


def judge_evaluations(inputs: Arrays, outputs: Arrays, weights: list[np.ndarray]) -> None:
    """The policy has to be evaluated every eval_interval steps and at the end, as it was then."""
    config, evaluations, steps = inputs["config"], outputs["evaluations"], len(weights) - 1
    _judge_evaluation_steps([step for step, _ in evaluations], config["eval_interval"], steps)

    def near(weight: np.ndarray | None, first: int, last: int) -> bool:
        return weight is not None and any(
            weight.shape == right.shape
            and np.abs(weight - right).max() < 1e-3 * config["lr"] * steps
            for right in weights[max(first, 0) : last + 1]
        )

    for step, weight in evaluations:
        if not near(weight, step - 1, step + 1):
            raise wrong(
                f"What was evaluated at step {step} is not the policy as it was then.",
                "model=policy, the one that is trained, and step=step, counted over all epochs.",
            )
    step, weight = evaluations[-1]
    if abs(step - steps) > 1 or not near(weight, steps, steps):
        raise wrong(
            f"After the last of {steps} steps the policy was not evaluated.",
            "once more at the end, so that what is handed in is the trained policy.",
        )
    # There are none where a copy is what is trained.
    if outputs["num_steps"] and config["flow_num_steps"] not in outputs["num_steps"]:
        hint = "flow_num_steps=config.flow_num_steps."
        raise wrong("The policy was evaluated with another number of integration steps.", hint)


def _judge_evaluation_steps(at: list[int], every: int, steps: int) -> None:
    """at: the steps of the evaluations. Each may be off by one."""
    if not at:
        raise wrong(
            "The policy was never evaluated.",
            "evaluate_policy(…) every config.eval_interval steps and once more at the end.",
        )
    wanted = list(range(every, steps, every))
    said, here = f"The policy was evaluated at steps {listed(at)}", "every config.eval_interval"
    if any(min(abs(step - due) for due in (0, *wanted, steps)) > 1 for step in at):
        raise wrong(
            f"{said} of {steps}.",
            f"{here} steps, here {every}, and at the end: {listed([*wanted, steps])}. Each takes a"
            " hundred episodes.",
        )
    if any(all(abs(step - due) > 1 for step in at) for due in wanted):
        raise wrong(
            f"{said} only.", f"{here} steps, here {every}: {listed(wanted)}, and at the end."
        )
