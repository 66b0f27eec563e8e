"""How each kind of policy is asked for its chunks: from what a student wrote to one function (nobs,
batch_size) -> naction.
"""

from score import rubric


def asked(policy, answer):
    """(model, infer) of a rubric's `policy`, from what the notebook hands over for it.

    answer: a policy object with sample_actions, an inference function and its network, or these two
    and a noise scheduler. The model gets the weights of the hand-in file. infer: function (nobs (B,
    obs_horizon, 5), B) -> naction (B, pred_horizon, 2). ValueError for any other number of things.
    """
    if not 1 <= len(answer) <= 3:
        raise ValueError(
            f"{policy.name} is asked with {len(answer)} things: a policy object, an inference"
            " function and its network, or these two and a noise scheduler are needed."
        )
    return (_chunks, _inference, _diffusion)[len(answer) - 1](policy, *answer)


def _inference(policy, function, model):
    def infer(nobs, batch_size):
        return function(
            model=model,
            batch_size=batch_size,
            nobs=nobs.to(_device(model)),
            pred_horizon=policy.pred_horizon,
            action_dim=2,
        )

    return model, infer


def _diffusion(policy, function, model, scheduler):
    def infer(nobs, batch_size):
        return function(
            ema_model=model,
            ddpm_scheduler=scheduler,
            batch_size=batch_size,
            nobs=nobs.to(_device(model)),
            num_diffusion_iters=rubric.DIFFUSION_STEPS,
            pred_horizon=policy.pred_horizon,
            action_dim=2,
            device=_device(model),
        )

    return model, infer


def _chunks(policy, model):
    def infer(nobs, batch_size):
        return model.sample_actions(nobs[:, -1].to(_device(model)), num_steps=rubric.FLOW_STEPS)

    return model, infer


def _device(model):
    return next((weight.device for weight in model.parameters()), "cpu")
