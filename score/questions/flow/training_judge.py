"""What Q4.2 judges: where the weights end, which losses were logged, when the policy was evaluated.

Steps count the batches of all epochs. `weights` are those before and after each step of the right
loop, `losses` its losses.
"""

import numpy as np

from score.questions.base import Array, Arrays, require, wrong
from score.questions.flow.policies import listed
from score.questions.mistakes import Mistakes, first_hint, hint_where

_LOOP = (
    "for each batch: loss, gradients reset, gradients computed, one step of"
    " torch.optim.Adam(policy.parameters(), lr=config.lr) as it is."
)
_NO_LOSS = (
    "its compute_loss was never called. Train the policy that is handed in, with its own loss, and"
    " not a copy."
)


def judge_weights(
    inputs: Arrays, outputs: Arrays, weights: list[Array], mistakes: Mistakes
) -> None:
    """The weights have to end where the right loop takes them, and not where mistakes do."""
    weight, events, steps = outputs["weight"], outputs["events"], len(weights) - 1
    within = _within(inputs, steps)
    if _near(weight, weights[-1:], within):
        return
    if weight.shape != weights[0].shape or np.array_equal(weight, weights[0]):
        hint = first_hint(
            ("batch" not in events, "no batch was taken from the loader."),
            (not outputs["loss_calls"], _NO_LOSS),
            (not outputs["backwards"], "no gradient was computed: loss.backward()."),
            (True, "optimizer.step() after loss.backward(), and no zero_grad() between the two."),
        )
        raise wrong("After the training the policy's weights are those from before.", hint)
    known = hint_where(mistakes, lambda end: _near(weight, [end], within)) or ""
    short = next((i for i, right in enumerate(weights) if _near(weight, [right], within)), None)
    passes, taken = "config.num_epochs passes over", "batches were taken from the loader"
    served = events.count("batch")
    hint = first_hint(
        (known, known),
        (short is not None, f"it stops after {short} of {steps} steps: {passes} the whole loader."),
        (served != steps, f"{served} {taken} where {passes} it make {steps}."),
        (True, _LOOP),
    )
    epochs, lr = inputs["config"]["num_epochs"], inputs["config"]["lr"]
    said = f"After {epochs} epochs of {len(inputs['states'])} batches the weights are not where"
    raise wrong(f"{said} Adam with learning rate {lr:.4g} takes them.", hint)


def _within(inputs: Arrays, steps: int) -> float:
    """Return how far off the weights may be after so many steps."""
    return 1e-3 * inputs["config"]["lr"] * steps


def _near(weight: Array | None, rights: list[Array], within: float) -> bool:
    """Whether a weight is near to one of those."""
    return weight is not None and any(
        weight.shape == right.shape and np.abs(weight - right).max() < within for right in rights
    )


def judge_log(inputs: Arrays, outputs: Arrays, losses: list[float]) -> None:
    """The losses have to be logged every log_interval steps."""
    every, steps = inputs["config"]["log_interval"], len(losses)
    at = [step for step, _ in outputs["logged"]]
    hint = 'logger.log({"train/loss": loss.item()}, step=step) every config.log_interval steps.'
    if outputs["names"]:
        hint = f'the name is "train/loss", not {outputs["names"][0]!r}.'
    require(at, "No loss was logged.", hint)
    hint = "count the steps over all epochs; set the counter to 0 once, before the loops."
    require(at == sorted(at), f"The logged steps do not rise: {listed(at)}.", hint)
    # Counting from 0 or from 1 is a matter of taste, and so is one more at either end.
    wanted = [{multiple + shift for multiple in range(every, steps, every)} for shift in (0, -1, 1)]
    fits = any(right <= set(at) <= right | {0, 1, steps - 1, steps} for right in wanted)
    often = "this is every step; " if len(set(at)) >= steps else ""
    hint = f"{often}every config.log_interval steps, here {every}: {listed(sorted(wanted[0]))}."
    require(fits, f"Losses were logged at steps {listed(at)} of {steps}.", hint)
    for step, value in outputs["logged"]:
        so_far = losses[: max(step, 0) + 1]  # an average of these is as right
        least, most = min(so_far), max(so_far)
        span = f"those so far are from {least:.6g} to {most:.6g}."
        said = f"At step {step} a loss of {value:.6g} was logged, where {span}"
        within = least * (1 - 1e-4) <= value <= most * (1 + 1e-4)
        require(within, said, "log the loss of the batch, loss.item().")


def judge_evaluations(inputs: Arrays, outputs: Arrays, weights: list[Array]) -> None:
    """The policy has to be evaluated every eval_interval steps and at the end, as it was then."""
    evaluations, steps, config = outputs["evaluations"], len(weights) - 1, inputs["config"]
    _judge_evaluation_steps([step for step, _ in evaluations], config["eval_interval"], steps)
    within = _within(inputs, steps)
    hint = "model=policy, the one that is trained, and step=step, counted over all epochs."
    for step, weight in evaluations:
        said = f"What was evaluated at step {step} is not the policy as it was then."
        require(_near(weight, weights[max(step - 1, 0) : step + 2], within), said, hint)
    step, weight = evaluations[-1]
    at_the_end = abs(step - steps) <= 1 and _near(weight, weights[-1:], within)
    said = f"After the last of {steps} steps the policy was not evaluated."
    hint = "once more at the end, so that what is handed in is the trained policy."
    require(at_the_end, said, hint)
    # There are none where a copy is what is trained.
    said = "The policy was evaluated with another number of integration steps."
    same = config["flow_num_steps"] in (outputs["num_steps"] or [config["flow_num_steps"]])
    require(same, said, "flow_num_steps=config.flow_num_steps.")


def _judge_evaluation_steps(at: list[int], every: int, steps: int) -> None:
    """at: the steps of the evaluations. Each may be off by one."""
    hint = "evaluate_policy(…) every config.eval_interval steps and once more at the end."
    require(at, "The policy was never evaluated.", hint)
    wanted = list(range(every, steps, every))
    said, here = f"The policy was evaluated at steps {listed(at)}", "every config.eval_interval"
    needless = any(min(abs(step - due) for due in (0, *wanted, steps)) > 1 for step in at)
    hint = f"and at the end: {listed([*wanted, steps])}. Each takes a hundred episodes."
    require(not needless, f"{said} of {steps}.", f"{here} steps, here {every}, {hint}")
    missed = any(all(abs(step - due) > 1 for step in at) for due in wanted)
    hint = f"{here} steps, here {every}: {listed(wanted)}, and at the end."
    require(not missed, f"{said} only.", hint)
