"""Help with a question for those who are stuck: the idea, then the line to write.

A check that fails says what is wrong and names the mistake. When it fails for the second time in a
row it adds the idea, and from the third time on the line. The notebooks show the idea in a fold
before the check.
"""

from typing import NamedTuple


class Help(NamedTuple):
    """The idea of an answer in words, and the lines that matter, as the solution has them."""

    idea: str
    lines: str


HELP = {
    "Q1.1": Help(
        "The network reads all numbers of all observations at once, and outputs all coordinates of"
        " all actions. The hidden widths stand between these two numbers.",
        "return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]",
    ),
    "Q1.2": Help(
        "Call the model once for the whole batch: flatten every dimension but the first before, and"
        " give the output the shape of naction after. Then average the squared differences over"
        " everything.",
        "prediction = model(nobs.flatten(start_dim=1))\n"
        "return nn.functional.mse_loss(prediction.view_as(naction), naction)",
    ),
    "Q1.3": Help(
        "It is the first half of the loss: flatten, call the model, reshape. Without a target there"
        " is nothing to compare, and inside torch.no_grad() no gradients are recorded.",
        "naction = model(nobs.reshape(batch_size, -1))\n"
        "return naction.view(batch_size, pred_horizon, action_dim)",
    ),
    "Q2.1": Help(
        "In training the actions are known: encode them together with the observations, draw z,"
        " decode. When acting they are not: decode with a row of zeros for each sample.",
        "return self.decoder(obs, torch.zeros(len(obs), self.latent_dim, device=obs.device))\n"
        "mu, logvar = self.encoder(obs, action)\n"
        "return self.decoder(obs, self.reparameterize(mu, logvar)), mu, logvar",
    ),
    "Q2.2": Help(
        "Each sample and dimension gives one term of the formula; sigma squared is the exponential"
        " of logvar. Add all terms and multiply by minus a half.",
        "return -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())",
    ),
    "Q2.3": Help(
        "The agent returns three things. The first, in the shape of naction, goes into the mean"
        " squared error; the other two go into your kl_divergence, which is multiplied by beta.",
        "prediction, mu, logvar = agent(nobs.flatten(start_dim=1), naction.flatten(start_dim=1))",
    ),
    "Q2.4": Help(
        "As in Q1.3, with sample_action in place of a call of the model.",
        "naction = model.sample_action(nobs.reshape(batch_size, -1))",
    ),
    "Q3.1": Help(
        "Compute f at the points 0 to timesteps, one more than there are betas. Each beta is one"
        " minus the ratio of two neighbours. Clip at the end.",
        "f = np.cos((np.arange(timesteps + 1) / timesteps + s) / (1 + s) * np.pi / 2) ** 2\n"
        "return torch.tensor(np.clip(1 - f[1:] / f[:-1], 0, 0.999), dtype=dtype)",
    ),
    "Q3.2": Help(
        "alpha_k is 1 - beta_k, and alpha_k_cumprod its cumulative product. In diffuse every sample"
        " has a step of its own: with the shape (B, 1, 1) its coefficient is multiplied with all"
        " steps and coordinates. In denoise the step is one number.",
        "self.alpha_k_cumprod = torch.cumprod(self.alpha_k, dim=0)\n"
        "left = self.alpha_k_cumprod[k].view(-1, 1, 1)\n"
        "a_k = left.sqrt() * a_start + (1 - left).sqrt() * noise\n"
        "var_k = (1 - self.alpha_k_cumprod_prev[k]) / (1 - self.alpha_k_cumprod[k])"
        " * self.beta_k[k]",
    ),
    "Q3.3": Help(
        "Draw the noise, then a step for each sample. Add that much noise to the chunks, let the"
        " model predict the noise, and compare with the noise that you drew.",
        "k = torch.randint(0, scheduler.num_timesteps, (len(naction),), device=naction.device)\n"
        "return nn.functional.mse_loss(prediction, noise)",
    ),
    "Q3.4": Help(
        "Begin with noise of the shape of the chunks. In a loop from the last step down to 0,"
        " predict the noise and call denoise, whose result is the next chunk.",
        "prediction = ema_model(sample=naction, timestep=k, global_cond=condition)\n"
        "naction = ddpm_scheduler.denoise(prediction, k, naction)",
    ),
    "Q4.1": Help(
        "The widths go from state_dim through hidden_dims to chunk_size * action_dim, with a ReLU"
        " after every layer but the last. The output is a flat chunk: give it the shape"
        " (B, chunk_size, action_dim). The loss compares this with action_chunk.",
        "self.net = nn.Sequential(*layers, nn.Linear(widths[-1], chunk_size * action_dim))\n"
        "return self.net(state).view(len(state), self.chunk_size, self.action_dim)\n"
        "return nn.functional.mse_loss(self.sample_actions(state), action_chunk)",
    ),
    "Q4.2": Help(
        "There are two loops: over the epochs, and over the batches of loader. Count the steps"
        " across epochs, and ask after each one whether it is time to log and time to evaluate.",
        "loss = policy.compute_loss(state, chunk)\n"
        "optimizer.zero_grad()\n"
        "loss.backward()\n"
        "optimizer.step()\n"
        "step += 1",
    ),
    "Q4.3": Help(
        "The network sees the state, the flat chunk and the time side by side. In the loss, the"
        " point on the line is tau times the chunk plus (1 - tau) times the noise, and the target"
        " is the chunk minus the noise.",
        "a_tau = tau[:, None, None] * action_chunk + (1 - tau[:, None, None]) * noise\n"
        "return nn.functional.mse_loss(self.velocity(state, a_tau, tau), action_chunk - noise)",
    ),
    "Q4.4": Help(
        "Begin with noise and repeat num_steps times: compute the velocity at the present point and"
        " time, and go along it for a num_steps-th of the way.",
        "tau = torch.full((len(state),), i / num_steps, device=state.device)\n"
        "chunk = chunk + self.velocity(state, chunk, tau) / num_steps",
    ),
    "E1.1": Help(
        "The dots in obs[..., 4:] stand for any number of dimensions; the slice keeps the last one,"
        " so that it can be concatenated there.",
        "angle = obs[..., 4:]\n"
        "return np.concatenate([obs[..., :4], np.sin(angle), np.cos(angle)], axis=-1)",
    ),
    "E1.2": Help(
        "Row i has the weight exp(-m i). Divide the weights by their sum, so that they add up to 1,"
        " and take the weighted sum of the rows.",
        "weights = torch.exp(-m * torch.arange(len(predictions)))\n"
        "return weights / weights.sum() @ predictions",
    ),
    "E1.3": Help(
        "Work with the differences alone: their mean, and their standard deviation divided by the"
        " root of their number. The ends are the mean minus and plus t times this error.",
        "error = difference.std(ddof=1) / len(difference) ** 0.5\n"
        "either = scipy.stats.t.ppf(0.975, len(difference) - 1) * error\n"
        "return mean, mean - either, mean + either",
    ),
    "E1.4": Help(
        "With states[:, None] - demonstrated you have all differences at once, (T, N, 5). Bring the"
        " angle's to between -pi and pi and multiply it by radius; then the root of the sum of the"
        " squares, and the minimum over the demonstrated states.",
        "turn = (difference[..., 4] + np.pi) % (2 * np.pi) - np.pi\n"
        "squares = np.square(difference[..., :4]).sum(axis=-1) + np.square(radius * turn)",
    ),
    "E1.5": Help(
        "Stack the states just before the times and the states at the times. The expert sees these"
        " pairs, as the policy did; in front of its actions comes the one that the policy had just"
        " taken, since a chunk begins at the time of the first observation.",
        "observations = np.stack([states[times - 1], states[times]], axis=1)\n"
        "chunks = np.concatenate([actions[times - 1, None], expert(observations)], axis=1)",
    ),
    "E2.1": Help(
        "Sum over the latent dimensions as in Q2.2, which leaves one number for each sample; then"
        " take the mean of these.",
        "return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1).mean()",
    ),
    "E2.2": Help(
        "Each chunk becomes one row of numbers, and each row one number: where it is along the"
        " direction in which the rows differ most. Sorted, these numbers have a wide gap wherever"
        " one group ends and the next begins.",
        "flat = chunks.reshape(len(chunks), -1)\n"
        "direction = np.linalg.svd(centred, full_matrices=False)[2][0]\n"
        "along = np.sort(centred @ direction) / chunks.shape[1] ** 0.5\n"
        "groups = np.split(along, np.flatnonzero(np.diff(along) > gap) + 1)\n"
        "return sum(len(group) >= least for group in groups)",
    ),
    "E3.1": Help(
        "Solve the forward formula of Q3.2 for the clean chunk, and then use the same formula to"
        " add the predicted noise again, with the share that is left at k_prev.",
        "clean = (a_k - (1 - left).sqrt() * pred_epsilon) / left.sqrt()\n"
        "return left_prev.sqrt() * clean + (1 - left_prev).sqrt() * pred_epsilon",
    ),
    "E4.1": Help(
        "First go half a step with the velocity at the beginning. The velocity at that point, half"
        " a step later, is the one for the whole step from the beginning.",
        "middle = a_tau + h / 2 * velocity(state, a_tau, tau)\n"
        "return a_tau + h * velocity(state, middle, tau + h / 2)",
    ),
    "E4.2": Help(
        "The last observation is number obs_horizon - 1, counted from 0, and the action with the"
        " same number is the first that is still to come. Time is the second dimension.",
        "first = obs_horizon - 1\nreturn chunk[:, first : first + action_horizon]",
    ),
    "E4.3": Help(
        "Write down for each step the number of its episode; draw the numbers for training; a step"
        " belongs to training if its episode's number is among them.",
        "episode = np.repeat(np.arange(len(lengths)), lengths)\n"
        "training = np.isin(episode, generator.permutation(len(lengths))[:count])",
    ),
}


def help_after(name: str, failures: int) -> str:
    """Return what a check adds after so many failures in a row; "" for the first."""
    found = HELP.get(name)
    if found is None or failures < 2:
        return ""
    if failures == 2:
        return f"The idea: {found.idea}"
    return f"The idea: {found.idea}\nTo write:\n" + _indented(found.lines)


def help_cell(name: str) -> str:
    """Return the Markdown of the fold that stands before a question's check: the idea alone."""
    return f"<details><summary>Help with {name}</summary>\n\n{HELP[name].idea}\n\n</details>"


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.splitlines())
