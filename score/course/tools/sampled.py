"""What the notebooks say that we found of sampling in other steps: E3.1 and E4.1, by the notebooks'
own cells and with the reference weights.
"""

from functools import partial

import torch

from pusht import receding_horizon, rollout
from pusht.episodes import Policy
from pusht.rules import GYM_PUSHT
from score import rubric
from score.course.notebooks.solutions import run_cells, solution
from score.course.tools.described import SEEDS, Found, mean_of, reference, restore


def ddim() -> Found:
    """How Part III's network scores with DDPM, and with fewer steps of DDIM (E3.1)."""
    part = rubric.PARTS["part3_ddpm"]
    names = solution(part)
    restore(names["noise_pred_net"], "part3_ddpm")
    names["ema_noise_pred_net"] = names["noise_pred_net"]
    run_cells(part, names, "part3/e3_1_sampling")
    infer, stats = reference("part3_ddpm")
    found = {"ddpm": _scored(receding_horizon(infer, stats))}
    samplers = {f"steps_{count}": names["DDIM"](count) for count in (10, 5, 2)}
    samplers["from_99"] = names["DDIM"](10)
    samplers["from_99"].steps = torch.arange(9, 100, 10)  # begins where hardly any signal is left
    for name, sampler in samplers.items():
        chunks = torch.no_grad()(partial(names["ddim_chunks"], sampler=sampler))
        found[name] = _scored(receding_horizon(chunks, stats))
    return found


def _scored(policy: Policy) -> str:
    return " ± ".join(mean_of(rollout(policy, SEEDS).max_rewards))


def midpoint() -> Found:
    """How Part IV's flow policy scores with Euler's rule and the midpoint rule (E4.1)."""
    part, seeds = rubric.PARTS["part4_flow"], range(SEEDS.start, SEEDS.start + 500)
    names = solution(part)
    run_cells(part, names, "part4/dataset", "part4/e4_1_midpoint")
    euler = names["FlowMatchingPolicy"](5, 2, names["chunk_size"])
    found, widest = Found(), 0.0
    for name, model in (("euler", euler), ("midpoint", names["midpoint_policy"])):
        restore(model, "part4_flow")
        scores = []
        for count in (1, 2, 5, 10, 20):
            policy = names["in_steps"](model, count)
            played = rollout(policy, seeds, obs_horizon=1, max_steps=300, rules=GYM_PUSHT)
            score, either = mean_of(played.max_rewards)
            scores.append(score)
            widest = max(widest, float(either))
        found[name] = " | ".join(scores)
    return found | {"either": f"{widest:.2f}"}
