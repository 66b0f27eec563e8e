"""Right and wrong answers to the questions of Part IV, with what the hints must say.

Each table is a list of `Row`s; RIGHT and WRONG hold the tables by question.
"""

import copy
import math
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from answers import bounded, table
from pusht import BasePolicy, evaluate_policy


def mlp(*widths):
    layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


# Q4.1, the MSE policy.


class MSE(BasePolicy):
    """The right answer; the others change one thing of it."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(state_dim, action_dim, chunk_size)
        self.net = mlp(state_dim, *hidden_dims, chunk_size * action_dim)

    def sample_actions(self, state, *, num_steps=10):
        return self.net(state).view(len(state), self.chunk_size, self.action_dim)

    def compute_loss(self, state, action_chunk):
        return F.mse_loss(self.sample_actions(state), action_chunk)


def mse(loss=None, sample=None, net=None, base=MSE):
    """The class with another compute_loss, sample_actions or net.

    loss(policy, state, chunk), sample(policy, state) and net(sizes) make them.
    """

    class MSEPolicy(base):
        def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
            super().__init__(state_dim, action_dim, chunk_size, hidden_dims)
            if net:
                self.net = net(state_dim, action_dim, chunk_size, hidden_dims)

        if loss:

            def compute_loss(self, state, action_chunk):
                return loss(self, state, action_chunk)

        if sample:

            def sample_actions(self, state, *, num_steps=10):
                return sample(self, state)

    return MSEPolicy


def on_chunks(loss):
    """The class whose loss is loss(prediction, chunk), both (B, K, A)."""
    return mse(lambda self, state, chunk: loss(self.sample_actions(state), chunk))


class TakesNoNumSteps(MSE):
    def sample_actions(self, state):
        return super().sample_actions(state)


class NumStepsMatter(MSE):
    def sample_actions(self, state, *, num_steps=10):
        return super().sample_actions(state) / num_steps


class HardCoded(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(5, 2, 8, hidden_dims)


class HardCodedView(MSE):
    def sample_actions(self, state, *, num_steps=10):
        return self.net(state).view(-1, 8, 2)


class PlainList(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.layers = list(mlp(state_dim, *hidden_dims, chunk_size * action_dim))

    def net(self, state):
        for layer in self.layers:
            state = layer(state)
        return state


class HiddenInPlainList(PlainList):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        super().__init__(state_dim, action_dim, chunk_size, hidden_dims)
        self.out = self.layers[-1]


class NotAPolicy:
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=()):
        pass


class OwnModule(nn.Module):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=()):
        super().__init__()
        self.net = nn.Linear(state_dim, action_dim * chunk_size)


class NoSuperInit(BasePolicy):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=()):
        self.net = nn.Linear(state_dim, action_dim * chunk_size)


class OtherArguments(BasePolicy):
    def __init__(self, width):
        super().__init__(width, 2, 8)


class NotAnswered(MSE):
    def __init__(self, *args, **kwargs):
        raise NotImplementedError("Need to implement for Q4.1")


class HalfAnswered(BasePolicy):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=()):
        super().__init__(state_dim, action_dim, chunk_size)
        self.net = nn.Linear(state_dim, action_dim * chunk_size)


def half_detached(p, a):
    return ((p - a) * (p.detach() - a)).mean()


def first_layer_detached(self, state, chunk):
    return F.mse_loss(self.net[1:](self.net[0](state).detach()).view_as(chunk), chunk)


def no_grad_loss(self, state, chunk):
    with torch.no_grad():
        return MSE.compute_loss(self, state, chunk)


def gradients_off_for_good(self, state, chunk):
    torch.set_grad_enabled(False)
    return MSE.compute_loss(self, state, chunk)


def target_overwritten(self, state, chunk):
    chunk.copy_(self.sample_actions(state).detach())
    return MSE.compute_loss(self, state, chunk)


def transposed_view(self, flat):
    return flat.view(len(flat), self.action_dim, self.chunk_size).transpose(1, 2)


def one_action(self, state):
    return MSE.sample_actions(self, state)[:, :1].expand(-1, self.chunk_size, -1)


WRONG_MSE = table(
    ("L1", on_chunks(F.l1_loss), "mean absolute error"),
    (
        "L1 summed over the chunk",
        on_chunks(lambda p, a: (p - a).abs().sum((1, 2)).mean()),
        "absolute error (L1), summed",
    ),
    (
        "sum over all",
        on_chunks(lambda p, a: F.mse_loss(p, a, reduction="sum")),
        "sum over the batch too",
    ),
    (
        "sum over coordinates",
        on_chunks(lambda p, a: ((p - a) ** 2).sum(-1).mean()),
        "over the coordinates only",
    ),
    ("root", on_chunks(lambda p, a: F.mse_loss(p, a).sqrt()), "do not take the root"),
    (
        "norms",
        on_chunks(lambda p, a: (p - a).flatten(1).norm(dim=1).mean()),
        "norms without their square",
    ),
    ("half", on_chunks(lambda p, a: F.mse_loss(p, a) / 2), "half of the squared error"),
    ("smooth L1", on_chunks(F.smooth_l1_loss), "smooth L1"),
    ("square of the mean", on_chunks(lambda p, a: (p - a).mean() ** 2), "square first"),
    ("first action", on_chunks(lambda p, a: F.mse_loss(p[:, 0], a[:, 0])), "only the first action"),
    ("target left out", on_chunks(lambda p, a: (p**2).mean()), "target is left out"),
    (
        "prediction left out",
        on_chunks(lambda p, a: (0 * p - a).square().mean()),
        "prediction is left out",
    ),
    (
        "clamped",
        on_chunks(lambda p, a: F.mse_loss(p.clamp(-0.1, 0.1), a)),
        "it is the squared difference",
    ),
    (
        "broadcast over the batch",
        on_chunks(lambda p, a: F.mse_loss(p[:, None], a)),
        "it is the squared difference",
    ),
    (
        "loss per sample",
        on_chunks(lambda p, a: ((p - a) ** 2).mean((1, 2))),
        "one number for the whole batch",
    ),
    ("not finite", on_chunks(lambda p, a: F.mse_loss(p, a) / 0), "is right"),
    (".item()", on_chunks(lambda p, a: F.mse_loss(p, a).item()), ".item() and numpy cut"),
    ("complex", on_chunks(lambda p, a: F.mse_loss(p, a).to(torch.complex64)), "complex"),
    ("nothing returned", on_chunks(lambda p, a: None), "returned a NoneType"),
    (
        "detached",
        on_chunks(lambda p, a: F.mse_loss(p.detach(), a)),
        "no gradient reaches the network",
    ),
    (
        "detached, gradient asked for",
        on_chunks(lambda p, a: F.mse_loss(p.detach(), a).requires_grad_()),
        "no gradient reaches",
    ),
    ("half detached", on_chunks(half_detached), "its gradient is not that"),
    ("first layer detached", mse(first_layer_detached), "No gradient reaches net.0.weight"),
    ("under no_grad", mse(no_grad_loss), "no torch.no_grad"),
    ("gradients off for good", mse(gradients_off_for_good), "no torch.no_grad"),
    ("target overwritten", mse(target_overwritten), "is right"),
    (
        "another order in sample_actions",
        mse(
            sample=lambda self, state: transposed_view(self, self.net(state)),
            loss=lambda self, state, a: F.mse_loss(self.net(state).view_as(a), a),
        ),
        "chunks are reshaped in another order",
    ),
    (
        "another order in compute_loss",
        mse(lambda self, state, a: F.mse_loss(transposed_view(self, self.net(state)), a)),
        "chunks are reshaped in another order",
    ),
    (
        "flat output",
        mse(
            lambda self, state, a: F.mse_loss(self.net(state), a.flatten(1)),
            lambda self, state: self.net(state),
        ),
        "the output is flat",
    ),
    (
        "transposed",
        mse(sample=lambda self, state: MSE.sample_actions(self, state).transpose(1, 2)),
        "wrong way round",
    ),
    (
        "one action only",
        mse(sample=lambda self, state: MSE.sample_actions(self, state)[:, :1]),
        "sizes from the arguments",
    ),
    ("one action repeated", mse(sample=one_action), "All actions of a chunk are the same"),
    ("sizes hard-coded", HardCoded, "take the sizes from the arguments"),
    ("view hard-coded", HardCodedView, "with the sizes from the arguments"),
    (
        "state ignored",
        mse(sample=lambda self, state: MSE.sample_actions(self, 0 * state)),
        "same whatever the state",
    ),
    (
        "two numbers of the state",
        mse(
            sample=lambda self, state: self.net(
                torch.cat([state[:, :2], 0 * state[:, 2:]], 1)
            ).view(len(state), self.chunk_size, self.action_dim)
        ),
        "leaves the chunks as they are",
    ),
    (
        "mean over the batch",
        mse(sample=lambda self, state: MSE.sample_actions(self, state - state.mean(0))),
        "row of the batch",
    ),
    (
        "random output",
        mse(sample=lambda self, state: MSE.sample_actions(self, state) + 0.01 * torch.randn(())),
        "nothing is drawn",
    ),
    (
        "only noise",
        mse(sample=lambda self, state: torch.randn(len(state), self.chunk_size, self.action_dim)),
        "nothing is drawn",
    ),
    (
        "infinite output",
        mse(sample=lambda self, state: MSE.sample_actions(self, state) / 0),
        "not finite",
    ),
    ("integers", mse(sample=lambda self, state: MSE.sample_actions(self, state).long()), "int64"),
    (
        "numpy",
        mse(sample=lambda self, state: MSE.sample_actions(self, state).detach().numpy()),
        "returned a ndarray",
    ),
    ("no num_steps", TakesNoNumSteps, "leave the function's name and arguments"),
    ("num_steps used", NumStepsMatter, "take it and leave it"),
    ("layers in a plain list", PlainList, "no parameters to train"),
    ("hidden layers in a plain list", HiddenInPlainList, "nn.ModuleList or nn.Sequential"),
    (
        "frozen",
        mse(net=lambda s, a, k, h: mlp(s, *h, a * k).requires_grad_(False)),
        "no parameters to train",
    ),
    ("no policy at all", NotAPolicy, "inherits from BasePolicy"),
    ("a module of its own", OwnModule, "inherits from BasePolicy"),
    ("super().__init__ left out", NoSuperInit, "Module.__init__"),
    ("other arguments", OtherArguments, "leave the function's name and arguments"),
    ("an instance", MSE(5, 2, 8, (4,)), "hand over the class itself"),
    ("not answered", NotAnswered, "ot answered yet"),
    ("half answered", HalfAnswered, "still to be written"),
    ("a string", "MSEPolicy", "'str' object is not callable"),
)


class ModuleList(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.layers = nn.ModuleList(
            nn.Linear(i, o) for i, o in zip([state_dim, *hidden_dims], hidden_dims)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in hidden_dims)
        self.head = nn.Linear(hidden_dims[-1], chunk_size * action_dim)

    def net(self, x):
        for layer, norm in zip(self.layers, self.norms):
            x = torch.tanh(norm(layer(x)))
        return self.head(x)


class IgnoresHiddenDims(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(state_dim, action_dim, chunk_size, (64, 64))
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Parameter(torch.randn(7), requires_grad=False)


class Residual(MSE):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(state_dim, action_dim, chunk_size, hidden_dims)
        self.skip = nn.Linear(state_dim, chunk_size * action_dim, bias=False)

    def sample_actions(self, state, *, num_steps=10):
        return (self.net(state) + self.skip(state)).unflatten(1, (self.chunk_size, self.action_dim))


def zero_head(s, a, k, hidden):
    net = mlp(s, *hidden, a * k)
    nn.init.zeros_(net[-1].weight), nn.init.zeros_(net[-1].bias)
    return net


def batch_norm(s, a, k, hidden):
    return nn.Sequential(
        nn.Linear(s, hidden[0]),
        nn.BatchNorm1d(hidden[0]),
        nn.GELU(),
        nn.Dropout(0.3),
        nn.Linear(hidden[0], a * k),
    )


@torch.no_grad()
def sampled_without_gradients(self, state):
    return MSE.sample_actions(self, state)


def switched_off(self, state):
    torch.set_grad_enabled(False)
    return MSE.sample_actions(self, state)


RIGHT_MSE = table(
    ("nn.Sequential and mse_loss", MSE),
    ("summed over the chunk", on_chunks(lambda p, a: ((p - a) ** 2).sum(dim=(1, 2)).mean())),
    (
        "sum over the batch's size",
        on_chunks(lambda p, a: F.mse_loss(p, a, reduction="sum") / len(a)),
    ),
    (
        "sample by sample",
        on_chunks(
            lambda p, a: torch.stack(
                [torch.linalg.vector_norm(x - y) ** 2 for x, y in zip(p, a)]
            ).mean()
        ),
    ),
    (
        "nn.MSELoss on flat chunks",
        mse(lambda self, state, a: nn.MSELoss()(self.net(state), a.flatten(1))),
    ),
    ("shape (1,)", on_chunks(lambda p, a: F.mse_loss(p, a).reshape(1))),
    ("float64", on_chunks(lambda p, a: F.mse_loss(p.double(), a.double()))),
    ("ModuleList, LayerNorm and Tanh", ModuleList),
    ("hidden_dims ignored, unused and frozen parameters", IgnoresHiddenDims),
    ("residual", Residual),
    ("last layer from zero", mse(net=zero_head)),
    ("batch norm and dropout", mse(net=batch_norm)),
    (
        "chunks step by step, transposed in both",
        mse(
            sample=lambda self, state: transposed_view(self, self.net(state)),
            loss=lambda self, state, a: F.mse_loss(self.net(state), a.transpose(1, 2).flatten(1)),
        ),
    ),
    (
        "sample_actions under no_grad",
        mse(
            lambda self, state, a: F.mse_loss(self.net(state).view_as(a), a),
            sampled_without_gradients,
        ),
    ),
    (
        "sample_actions switches gradients off",
        mse(lambda self, state, a: F.mse_loss(self.net(state).view_as(a), a), switched_off),
    ),
    ("compiled", mse(net=lambda s, a, k, h: torch.compile(mlp(s, *h, a * k)))),
    (
        "state cleared afterwards",
        mse(
            sample=lambda self, state: (MSE.sample_actions(self, state), state.zero_())[0],
            loss=lambda self, state, a: F.mse_loss(self.net(state).view_as(a), a),
        ),
    ),
)


# Q4.2, the training loop.


def loop(
    *,
    optimizer=lambda policy, config: torch.optim.Adam(policy.parameters(), lr=config.lr),
    fresh=None,
    loss_of=lambda policy, state, chunk: policy.compute_loss(state, chunk),
    update=lambda loss, optimizer: (optimizer.zero_grad(), loss.backward(), optimizer.step()),
    epochs=lambda config: config.num_epochs,
    first=0,
    per_epoch=False,
    when_log=None,
    log=lambda logger, loss, step: logger.log({"train/loss": loss.item()}, step=step),
    when_evaluate=None,
    evaluated=lambda policy: policy,
    final=True,
    dump=lambda logger: logger.dump_for_grading(),
    trained=lambda policy: policy,
    when_dump=None,
    num_steps=lambda config: config.flow_num_steps,
    chunk_size=lambda config: config.chunk_size,
):
    """A training loop, right as it stands, with one thing changed."""

    def train(policy, loader, normalizer, logger, config):
        given, policy = policy, trained(policy)
        stepper, step = optimizer(policy, config), first

        def evaluate():
            evaluate_policy(
                model=evaluated(given),
                normalizer=normalizer,
                device=config.device,
                chunk_size=chunk_size(config),
                video_size=config.video_size,
                num_video_episodes=config.num_video_episodes,
                flow_num_steps=num_steps(config),
                step=step,
                logger=logger,
            )

        for _ in range(epochs(config)):
            if fresh == "epoch":
                stepper = optimizer(policy, config)
            if per_epoch:
                step = 0
            for state, chunk in loader:
                if fresh == "batch":
                    stepper = optimizer(policy, config)
                loss = loss_of(policy, state, chunk)
                update(loss, stepper)
                step += 1
                if when_log(step, config) if when_log else step % config.log_interval == 0:
                    log(logger, loss, step)
                if (
                    when_evaluate(step, config, len(loader))
                    if when_evaluate
                    else step % config.eval_interval == 0
                ):
                    evaluate()
                if when_dump and when_dump(step):
                    dump(logger)
        if final and (final == "twice" or step % config.eval_interval):
            evaluate()
        if not when_dump:
            dump(logger)

    return train


def loss_under_no_grad(policy, state, chunk):
    with torch.no_grad():
        return policy.compute_loss(state, chunk)


def never_ends(policy, loader, normalizer, logger, config):
    while True:
        for state, chunk in loader:
            pass


def nothing_at_all(policy, loader, normalizer, logger, config):
    pass


def resets_once_an_epoch(policy, loader, normalizer, logger, config):
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.lr)
    for _ in range(config.num_epochs):
        optimizer.zero_grad()
        for state, chunk in loader:
            policy.compute_loss(state, chunk).backward()
            optimizer.step()


def evaluates_after_dump(policy, loader, normalizer, logger, config):
    loop(final=False)(policy, loader, normalizer, logger, config)
    evaluate_policy(
        policy,
        normalizer,
        "cpu",
        config.chunk_size,
        (64, 64),
        0,
        config.flow_num_steps,
        config.num_epochs * len(loader),
        logger,
    )


def restores_first_weights(policy, loader, normalizer, logger, config):
    first = copy.deepcopy(policy.state_dict())
    loop()(policy, loader, normalizer, logger, config)
    policy.load_state_dict(first)


def one_batch_over_and_over(policy, loader, normalizer, logger, config):
    batches = [next(iter(loader))] * len(loader)
    loop()(policy, batches, normalizer, logger, config)


def scheduled(policy, loader, normalizer, logger, config):
    def update(loss, optimizer):
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.9

    loop(update=update)(policy, loader, normalizer, logger, config)


def train_not_answered(policy, loader, normalizer, logger, config):
    raise NotImplementedError("Need to implement for Q4.2")


def adam(**options):
    return lambda policy, config: torch.optim.Adam(policy.parameters(), **options)


WRONG_TRAIN = table(
    (
        "gradients not reset",
        loop(update=lambda loss, o: (loss.backward(), o.step())),
        "gradients are not reset",
    ),
    ("gradients reset once an epoch", resets_once_an_epoch, "reset once an epoch"),
    (
        "gradients reset before the step",
        loop(update=lambda loss, o: (loss.backward(), o.zero_grad(), o.step())),
        "no zero_grad() between",
    ),
    (
        "no optimizer step",
        loop(update=lambda loss, o: (o.zero_grad(), loss.backward())),
        "optimizer.step() after",
    ),
    ("no backward", loop(update=lambda loss, o: (o.zero_grad(), o.step())), "loss.backward()"),
    (
        "two steps for a batch",
        loop(update=lambda loss, o: (o.zero_grad(), loss.backward(), o.step(), o.step())),
        "one step of torch",
    ),
    (
        "loss ascended",
        loop(update=lambda loss, o: (o.zero_grad(), (-loss).backward(), o.step())),
        "as it is",
    ),
    ("one epoch only", loop(epochs=lambda config: 1), "config.num_epochs passes"),
    (
        "an epoch too many",
        loop(epochs=lambda config: config.num_epochs + 1),
        "batches were taken from the loader",
    ),
    ("epochs hard-coded", loop(epochs=lambda config: 400), "passes over the loader without end"),
    ("loops for ever", never_ends, "passes over the loader without end"),
    ("Adam's own learning rate", loop(optimizer=adam()), "learning rate is Adam's own"),
    (
        "learning rate of the notebook",
        loop(optimizer=adam(lr=3e-4)),
        "learning rate is that of the notebook",
    ),
    (
        "learning rate of ten times",
        loop(optimizer=lambda p, c: torch.optim.Adam(p.parameters(), lr=10 * c.lr)),
        "one step of torch",
    ),
    ("SGD", loop(optimizer=lambda p, c: torch.optim.SGD(p.parameters(), lr=c.lr)), "this is SGD"),
    (
        "AdamW",
        loop(optimizer=lambda p, c: torch.optim.AdamW(p.parameters(), lr=c.lr)),
        "Adam, not AdamW",
    ),
    (
        "another momentum",
        loop(optimizer=lambda p, c: torch.optim.Adam(p.parameters(), c.lr, betas=(0.5, 0.9))),
        "one step of torch",
    ),
    ("learning rate that falls", scheduled, "one step of torch"),
    ("optimizer anew each epoch", loop(fresh="epoch"), "made anew in each epoch"),
    ("optimizer anew each batch", loop(fresh="batch"), "made anew for each batch"),
    (
        "a loss of its own",
        loop(loss_of=lambda p, s, c: F.mse_loss(p.sample_actions(s), c)),
        "minimises another loss",
    ),
    ("loss under no_grad", loop(loss_of=loss_under_no_grad), "no torch.no_grad around the loss"),
    (
        "loss as a number",
        loop(loss_of=lambda p, s, c: p.compute_loss(s, c).item()),
        "AttributeError: 'float' object",
    ),
    ("a copy trained", loop(trained=copy.deepcopy), "not a copy"),
    ("first weights restored", restores_first_weights, "those from before"),
    ("one batch over and over", one_batch_over_and_over, "batches were taken from the loader"),
    ("nothing at all", nothing_at_all, "no batch was taken"),
    ("never logged", loop(log=lambda *args: None), "No loss was logged"),
    (
        "another name",
        loop(log=lambda logger, loss, step: logger.log({"loss": loss.item()}, step)),
        "not 'loss'",
    ),
    (
        "logged each epoch under another name",
        loop(
            when_log=lambda step, c: step % 6 == 0,
            log=lambda logger, loss, step: logger.log({"epoch_loss": loss.item()}, step),
        ),
        "No loss was logged",
    ),
    ("logged at every step", loop(when_log=lambda *args: True), "this is every step"),
    (
        "logged twice as seldom",
        loop(when_log=lambda step, c: step % (2 * c.log_interval) == 0),
        "every config.log_interval steps",
    ),
    ("logged in hundreds", loop(when_log=lambda step, c: step % 100 == 0), "No loss was logged"),
    (
        "step counted per epoch",
        loop(per_epoch=True, when_log=lambda *args: True),
        "steps do not rise",
    ),
    (
        "the loss summed",
        loop(log=lambda logger, loss, step: logger.log({"train/loss": step * loss.item()}, step)),
        "log the loss of",
    ),
    (
        "the loss of 0",
        loop(log=lambda logger, loss, step: logger.log({"train/loss": 0}, step)),
        "log the loss of the batch",
    ),
    (
        "a loss of nan",
        loop(log=lambda logger, loss, step: logger.log({"train/loss": math.nan}, step)),
        "log the loss of the batch",
    ),
    (
        "the tensor of many",
        loop(log=lambda logger, loss, step: logger.log({"train/loss": torch.ones(3)}, step)),
        "ValueError",
    ),
    ("never evaluated", loop(when_evaluate=lambda *args: False, final=False), "never evaluated"),
    (
        "evaluated every batch",
        loop(when_evaluate=lambda *args: True),
        "Each takes a hundred episodes",
    ),
    (
        "evaluated every epoch",
        loop(when_evaluate=lambda step, c, n: step % n == 0),
        "config.eval_interval steps",
    ),
    (
        "evaluated at the end only",
        loop(when_evaluate=lambda *args: False, final="twice"),
        "every config.eval_interval steps",
    ),
    ("not evaluated at the end", loop(final=False), "After the last of"),
    (
        "a fresh policy evaluated",
        loop(evaluated=lambda policy: noisy(policy)),
        "is not the policy as it was then",
    ),
    (
        "flow_num_steps hard-coded",
        loop(num_steps=lambda config: 10),
        "flow_num_steps=config.flow_num_steps",
    ),
    ("chunk_size hard-coded", loop(chunk_size=lambda config: 8), "ValueError: The policy returned"),
    ("never dumped", loop(dump=lambda logger: None), "dump_for_grading() was never called"),
    ("dumped at once", loop(when_dump=lambda step: step == 1), "before the training was over"),
    ("dumped at each step", loop(when_dump=lambda step: True), "before the training was over"),
    ("evaluated after the dump", evaluates_after_dump, "before the training was over"),
    ("not answered", train_not_answered, "ot answered yet"),
    ("other arguments", lambda policy, loader: None, "leave the function's name and arguments"),
)


def noisy(policy):
    policy = copy.deepcopy(policy)
    with torch.no_grad():
        policy.weight.add_(torch.randn_like(policy.weight))
    return policy


def counted_by_enumerate(policy, loader, normalizer, logger, config):
    """Steps from 0, settings by position, always a last evaluation and a last loss, two dumps."""
    optimizer = torch.optim.Adam(list(policy.parameters()), config.lr)
    policy.train()
    for epoch in range(config.num_epochs):
        for i, (state, chunk) in enumerate(loader):
            step = epoch * len(loader) + i
            loss = policy.compute_loss(state.to(config.device), chunk.to(config.device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % config.log_interval == 0:
                logger.log({"train/loss": loss, "train/epoch": epoch}, step)
            if step % config.eval_interval == 0:
                evaluate_policy(
                    policy,
                    normalizer,
                    config.device,
                    config.chunk_size,
                    config.video_size,
                    0,
                    config.flow_num_steps,
                    step,
                    logger,
                )
    logger.log({"train/loss": loss.detach()}, step)
    evaluate_policy(
        policy,
        normalizer,
        torch.device("cpu"),
        config.chunk_size,
        config.video_size,
        config.num_video_episodes,
        config.flow_num_steps,
        step + 1,
        logger,
        num_episodes=20,
    )
    logger.dump_for_grading()
    logger.dump_for_grading()


def with_iterators(policy, loader, normalizer, logger, config):
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.lr, foreach=False)
    total = config.num_epochs * len(loader)
    batches, since, step = iter(loader), [], 0
    while step < total:
        try:
            state, chunk = next(batches)
        except StopIteration:
            batches = iter(loader)
            state, chunk = next(batches)
        for parameter in policy.parameters():
            parameter.grad = None
        loss = policy.compute_loss(state, chunk)
        loss.backward()
        optimizer.step()
        since.append(loss.item())
        step += 1
        if step % config.log_interval == 0 or step == total:
            logger.log({"train/loss": sum(since) / len(since), "speed": 1.0}, step=np.int64(step))
            since = []
        if step % config.eval_interval == 0 or step == total:
            evaluate_policy(
                model=policy,
                normalizer=normalizer,
                device=config.device,
                chunk_size=config.chunk_size,
                video_size=config.video_size,
                num_video_episodes=config.num_video_episodes,
                flow_num_steps=config.flow_num_steps,
                step=step,
                logger=logger,
            )
    logger.dump_for_grading()


def looks_at_a_batch_first(policy, loader, normalizer, logger, config):
    print(next(iter(loader))[0].shape)
    loop()(policy, loader, normalizer, logger, config)


def copy_trained_and_copied_back(policy, loader, normalizer, logger, config):
    model = copy.deepcopy(policy)
    loop(evaluated=lambda policy: model, trained=lambda policy: model)(
        policy, loader, normalizer, logger, config
    )
    policy.load_state_dict(model.state_dict())


def compiled(policy, loader, normalizer, logger, config):
    loss = torch.compile(policy.compute_loss, mode="reduce-overhead")

    @torch.compile
    def loss_of(policy, state, chunk):
        return loss(state, chunk)

    loop(loss_of=loss_of)(torch.compile(policy), loader, normalizer, logger, config)


def tampers_with_batches(loss, optimizer):
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)


RIGHT_TRAIN = table(
    ("as asked", loop()),
    ("counted from 0 by enumerate", counted_by_enumerate),
    ("iterators, mean losses, gradients set to None", with_iterators),
    ("last evaluation twice", loop(final="twice")),
    (
        "gradients reset after the step",
        loop(update=lambda loss, o: (loss.backward(), o.step(), o.zero_grad())),
    ),
    ("a first look at a batch", looks_at_a_batch_first),
    ("a copy trained, and copied back", copy_trained_and_copied_back),
    ("compiled", compiled),
    (
        "fused Adam",
        loop(optimizer=lambda p, c: torch.optim.Adam(p.parameters(), lr=c.lr, fused=True)),
    ),
    (
        "parameters in groups",
        loop(
            optimizer=lambda p, c: torch.optim.Adam([{"params": list(p.parameters()), "lr": c.lr}])
        ),
    ),
    (
        "step + 1 logged",
        loop(log=lambda logger, loss, step: logger.log({"train/loss": loss.item()}, step - 1)),
    ),
    ("seeds set", loop(update=tampers_with_batches)),
    (
        "batches cleared when used",
        loop(
            loss_of=lambda p, s, c: (
                p.compute_loss(s, c),
                s.detach_(),
            )[0]
        ),
    ),
    (
        "evaluated in gradients switched off",
        loop(evaluated=lambda p: (torch.set_grad_enabled(True), p.eval())[1]),
    ),
)


# Q4.3 and Q4.4: flow matching.


class Flow(BasePolicy):
    """The right answer; the others change one thing of it."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(state_dim, action_dim, chunk_size)
        self.net = mlp(
            state_dim + chunk_size * action_dim + 1, *hidden_dims, chunk_size * action_dim
        )

    def velocity(self, state, a_tau, tau):
        return self.net(torch.cat([state, a_tau.flatten(1), tau[:, None]], dim=1)).view_as(a_tau)

    def draw(self, chunk):
        """(tau (B, 1, 1), noise)"""
        return torch.rand(len(chunk), 1, 1), torch.randn_like(chunk)

    def mix(self, chunk, noise, tau):
        return tau * chunk + (1 - tau) * noise

    def target(self, chunk, noise, a_tau):
        return chunk - noise

    def loss(self, v, target):
        return F.mse_loss(v, target)

    def compute_loss(self, state, action_chunk):
        tau, noise = self.draw(action_chunk)
        a_tau = self.mix(action_chunk, noise, tau)
        return self.loss(
            self.velocity(state, a_tau, tau.reshape(-1)), self.target(action_chunk, noise, a_tau)
        )

    def sample_actions(self, state, *, num_steps=10):
        a = torch.randn(len(state), self.chunk_size, self.action_dim)
        for i in range(num_steps):
            a = a + self.velocity(state, a, torch.full((len(state),), i / num_steps)) / num_steps
        return a


def changed(base=Flow, **methods):
    """The class with some of its methods, given without self."""
    return type(
        "FlowMatchingPolicy",
        (base,),
        {
            name: (lambda f: lambda self, *args, **kw: f(*args, **kw))(f)
            for name, f in methods.items()
        },
    )


def of_self(base=Flow, **methods):
    """The class with some of its methods, given with self."""
    return type("FlowMatchingPolicy", (base,), methods)


def drawn(tau=None, noise=None):
    return changed(
        draw=lambda chunk: (
            (tau or (lambda b: torch.rand(b, 1, 1)))(len(chunk)),
            (noise or torch.randn_like)(chunk),
        )
    )


def widen(tensor, like):
    return tensor.expand(like.shape)


class VelocityNoGrad(Flow):
    @torch.no_grad()
    def velocity(self, state, a_tau, tau):
        return super().velocity(state, a_tau, tau)


def by_net(self, state, action_chunk):
    tau, noise = self.draw(action_chunk)
    rows = torch.cat([state, self.mix(action_chunk, noise, tau).flatten(1), tau[:, 0]], 1)
    return F.mse_loss(self.net(rows).view_as(noise), action_chunk - noise)


def raw_tau(*shape):
    """compute_loss that hands tau to velocity in a shape of its own."""

    def compute_loss(self, state, chunk):
        tau, noise = torch.rand(len(chunk)), torch.randn_like(chunk)
        mixed = self.mix(chunk, noise, tau[:, None, None])
        return F.mse_loss(self.velocity(state, mixed, tau.reshape(-1, *shape)), chunk - noise)

    return of_self(compute_loss=compute_loss)


def seeded_draw(self, chunk):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(len(chunk), 1, 1, generator=generator), torch.randn(
        chunk.shape, generator=generator
    )


def tau_not_broadcast(self, state, chunk):
    tau, noise = torch.rand(len(chunk)), torch.randn_like(chunk)
    return F.mse_loss(self.velocity(state, tau * chunk + (1 - tau) * noise, tau), chunk - noise)


def tau_per_step(self, state, chunk):
    tau, noise = torch.rand(len(chunk), self.chunk_size, 1), torch.randn_like(chunk)
    mixed = tau * chunk + (1 - tau) * noise
    return F.mse_loss(self.velocity(state, mixed, tau[:, 0, 0]), chunk - noise)


def state_zero(self, state, chunk):
    return Flow.compute_loss(self, torch.zeros_like(state), chunk)


def asks_twice(self, state, chunk):
    return (Flow.compute_loss(self, state, chunk) + Flow.compute_loss(self, state, chunk)) / 2


def flow_no_grad(self, state, chunk):
    with torch.no_grad():
        return Flow.compute_loss(self, state, chunk)


def flow_grad_off(self, state, chunk):
    torch.set_grad_enabled(False)
    return Flow.compute_loss(self, state, chunk)


def chunk_overwritten(self, state, chunk):
    chunk.zero_()
    return Flow.compute_loss(self, state, chunk)


class FlowHardCoded(Flow):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(5, 2, 8, hidden_dims)


class FlowNoVelocity(MSE):
    pass


class FlowUnanswered(Flow):
    def velocity(self, state, a_tau, tau):
        raise NotImplementedError("Need to implement for Q4.3")


class FlowLossUnanswered(Flow):
    def compute_loss(self, state, action_chunk):
        raise NotImplementedError("Need to implement for Q4.3")


def velocity_of(rows):
    """The class whose network sees rows(state, flat a_tau, tau (B, 1)), padded with zeros."""

    def velocity(self, state, a_tau, tau):
        x = rows(state, a_tau.flatten(1), tau[:, None])
        return self.net(F.pad(x, (0, self.net[0].in_features - x.shape[1]))).view_as(a_tau)

    return of_self(velocity=velocity)


class HiddenFlowInPlainList(Flow):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        super().__init__(state_dim, action_dim, chunk_size, hidden_dims)
        self.layers = [*self._modules.pop("net")]
        self.out = self.layers[-1]

    def net(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


WRONG_FLOW = table(
    ("hidden layers in a plain list", HiddenFlowInPlainList, "nn.ModuleList or nn.Sequential"),
    ("tau reversed", changed(mix=lambda a, n, t: (1 - t) * a + t * n), "tau is reversed"),
    ("target A0 - A", changed(target=lambda a, n, x: n - a), "target is A0 - A"),
    (
        "reversed in both",
        changed(mix=lambda a, n, t: (1 - t) * a + t * n, target=lambda a, n, x: n - a),
        "tau is reversed",
    ),
    ("target A", changed(target=lambda a, n, x: a), "target is the chunk A"),
    ("target A0", changed(target=lambda a, n, x: n), "as in diffusion"),
    ("target A - a_tau", changed(target=lambda a, n, x: a - x), "target is A - a_tau"),
    ("target a_tau - A0", changed(target=lambda a, n, x: x - n), "target is a_tau - A0"),
    ("target A + A0", changed(target=lambda a, n, x: a + n), "target is A + A0"),
    ("target left out", changed(target=lambda a, n, x: 0 * a), "target is left out"),
    (
        "target A0 - A, summed",
        changed(target=lambda a, n, x: n - a, loss=lambda v, t: ((v - t) ** 2).sum((1, 2)).mean()),
        "target is A0 - A",
    ),
    ("velocity left out", changed(loss=lambda v, t: F.mse_loss(0 * v, t)), "velocity is left out"),
    (
        "tau not fed to the network",
        velocity_of(lambda s, a, t: torch.cat([s, a], 1)),
        "same whatever tau",
    ),
    (
        "tau as a whole number",
        velocity_of(lambda s, a, t: torch.cat([s, a, t.long()], 1)),
        "same whatever tau",
    ),
    ("state not fed", velocity_of(lambda s, a, t: torch.cat([a, t], 1)), "same whatever state"),
    ("a_tau not fed", velocity_of(lambda s, a, t: torch.cat([s, t], 1)), "same whatever a_tau"),
    (
        "only the first action fed",
        velocity_of(lambda s, a, t: torch.cat([s, a[:, :2], t], 1)),
        "numbers of a_tau leave",
    ),
    (
        "samples mixed",
        velocity_of(lambda s, a, t: torch.cat([s - s.mean(0), a, t], 1)),
        "row of the batch is for itself",
    ),
    (
        "noise in velocity",
        velocity_of(lambda s, a, t: torch.cat([s, a, t + torch.rand_like(t)], 1)),
        "draw nothing here",
    ),
    (
        "velocity flat",
        of_self(velocity=lambda self, s, a, t: Flow.velocity(self, s, a, t).flatten(1)),
        "the output is flat",
    ),
    (
        "velocity transposed",
        of_self(velocity=lambda self, s, a, t: Flow.velocity(self, s, a, t).transpose(1, 2)),
        "wrong way round",
    ),
    (
        "velocity takes tau (B, 1) only",
        of_self(
            raw_tau(1),
            velocity=lambda self, s, a, t: self.net(torch.cat([s, a.flatten(1), t], 1)).view_as(a),
        ),
        "tau comes as (B,)",
    ),
    (
        "velocity not flattened",
        of_self(velocity=lambda self, s, a, t: self.net(torch.cat([s, a, t], 1))),
        "tau comes as (B,)",
    ),
    ("velocity under no_grad", VelocityNoGrad, "No gradient reaches the velocity"),
    (
        "a_tau detached in velocity's first layer",
        of_self(
            velocity=lambda self, s, a, t: self.net[1:](
                self.net[0](torch.cat([s, a.flatten(1), t[:, None]], 1)).detach()
            ).view_as(a)
        ),
        "No gradient reaches net.0.weight",
    ),
    (
        "one tau for the batch",
        drawn(tau=lambda b: torch.rand(1, 1, 1).expand(b, 1, 1)),
        "whole batch shares one tau",
    ),
    ("one tau of one number", drawn(tau=lambda b: torch.rand(1, 1, 1)), ""),
    ("tau normal", drawn(tau=lambda b: torch.randn(b, 1, 1)), "tau goes from"),
    (
        "tau a time step",
        drawn(tau=lambda b: torch.randint(0, 100, (b, 1, 1)).float()),
        "tau goes from",
    ),
    (
        "tau in tenths",
        drawn(tau=lambda b: torch.randint(0, 10, (b, 1, 1)) / 10),
        "few different values of tau",
    ),
    ("tau squared", drawn(tau=lambda b: torch.rand(b, 1, 1) ** 2), "tau is not uniform"),
    ("tau of sigmoid", drawn(tau=lambda b: torch.randn(b, 1, 1).sigmoid()), "tau is not uniform"),
    ("tau in half the range", drawn(tau=lambda b: torch.rand(b, 1, 1) / 2), "tau is not uniform"),
    ("tau for each step", of_self(compute_loss=tau_per_step), "recovered from a_tau, the noise"),
    ("tau not broadcast", of_self(compute_loss=tau_not_broadcast), "tau[:, None, None]"),
    ("tau handed over as (B, 1)", raw_tau(1), "tau comes as (B,)"),
    (
        "tau handed over for each number",
        of_self(
            draw=lambda self, chunk: (torch.rand_like(chunk), torch.randn_like(chunk)),
            velocity=lambda self, s, a, t: Flow.velocity(self, s, a, t[: len(s)]),
        ),
        "one tau for each sample",
    ),
    ("noise uniform", drawn(noise=torch.rand_like), "it is uniform"),
    ("noise uniform around 0", drawn(noise=lambda a: 2 * torch.rand_like(a) - 1), "it is uniform"),
    (
        "noise uniform of variance 1",
        drawn(noise=lambda a: (torch.rand_like(a) - 0.5) * 12**0.5),
        "it is not normal",
    ),
    (
        "noise of half the size",
        drawn(noise=lambda a: torch.randn_like(a) / 2),
        "draw it from N(0, 1)",
    ),
    ("noise shifted", drawn(noise=lambda a: torch.randn_like(a) + 0.3), "draw it from N(0, 1)"),
    (
        "one noise for all samples",
        drawn(noise=lambda a: widen(torch.randn_like(a[:1]), a)),
        "all samples share one noise",
    ),
    (
        "one noise for all steps",
        drawn(noise=lambda a: widen(torch.randn_like(a[:, :1]), a)),
        "one chunk are not independent",
    ),
    (
        "one noise for all coordinates",
        drawn(noise=lambda a: widen(torch.randn_like(a[..., :1]), a)),
        "are not independent",
    ),
    (
        "noise in pairs",
        drawn(noise=lambda a: torch.randn_like(a[::2]).repeat_interleave(2, 0)),
        "samples share their noise",
    ),
    ("no noise", drawn(noise=torch.zeros_like), "the noise is left out"),
    ("no noise in the mixture", changed(mix=lambda a, n, t: t * a), "the noise is left out"),
    ("not interpolated", changed(mix=lambda a, n, t: a), "a_tau is the chunk itself"),
    ("noise alone", changed(mix=lambda a, n, t: n), "a_tau is the noise alone"),
    ("noise without its factor", changed(mix=lambda a, n, t: t * a + n), "noise lacks its factor"),
    (
        "chunk without its factor",
        changed(mix=lambda a, n, t: a + (1 - t) * n),
        "chunk lacks its factor",
    ),
    ("no factors", changed(mix=lambda a, n, t: a + n), "neither chunk nor noise"),
    (
        "roots",
        changed(mix=lambda a, n, t: t.sqrt() * a + (1 - t).sqrt() * n),
        "roots are diffusion's",
    ),
    (
        "other noise in the target",
        changed(target=lambda a, n, x: a - torch.randn_like(a)),
        "draw it once and use it in both",
    ),
    (
        "sum over all",
        changed(loss=lambda v, t: F.mse_loss(v, t, reduction="sum")),
        "sum over the batch too",
    ),
    ("L1", changed(loss=F.l1_loss), "mean absolute error"),
    ("root", changed(loss=lambda v, t: F.mse_loss(v, t).sqrt()), "do not take the root"),
    ("half", changed(loss=lambda v, t: F.mse_loss(v, t) / 2), "half of the squared error"),
    (
        "sum over coordinates",
        changed(loss=lambda v, t: ((v - t) ** 2).sum(-1).mean()),
        "over the coordinates only",
    ),
    (
        "per sample",
        changed(loss=lambda v, t: ((v - t) ** 2).mean((1, 2))),
        "one number for the whole batch",
    ),
    (".item()", changed(loss=lambda v, t: F.mse_loss(v, t).item()), ".item() and numpy cut"),
    (
        "detached",
        changed(loss=lambda v, t: F.mse_loss(v.detach(), t).requires_grad_()),
        "No gradient reaches the velocity",
    ),
    (
        "a constant added",
        changed(loss=lambda v, t: F.mse_loss(v, t) + 1),
        "squared difference between the velocity",
    ),
    ("half detached", changed(loss=half_detached), "its gradient is not that"),
    ("under no_grad", of_self(compute_loss=flow_no_grad), "No gradient reaches the velocity"),
    (
        "gradients off for good",
        of_self(compute_loss=flow_grad_off),
        "No gradient reaches the velocity",
    ),
    ("seed set", of_self(draw=seeded_draw), "draw the same noise"),
    (
        "seed set behind the draws",
        changed(loss=lambda v, t: (F.mse_loss(v, t), torch.manual_seed(0))[0]),
        "draw the same noise",
    ),
    ("state zero", of_self(compute_loss=state_zero), "hand state on"),
    ("asked twice", of_self(compute_loss=asks_twice), "calls velocity 2 times"),
    ("velocity not asked", of_self(compute_loss=by_net), "calls velocity 0 times"),
    ("chunk cleared in place", of_self(compute_loss=chunk_overwritten), "Hint"),
    (
        "a_tau handed over flat",
        of_self(
            compute_loss=lambda self, s, a: F.mse_loss(
                self.velocity(s, a.flatten(1), torch.rand(len(s))), a.flatten(1)
            )
        ),
        "called with chunks of shape",
    ),
    ("sizes hard-coded", FlowHardCoded, "take the sizes from the arguments"),
    ("no velocity", FlowNoVelocity, "velocity"),
    ("not answered", FlowUnanswered, "ot answered yet"),
    ("loss not answered", FlowLossUnanswered, "ot answered yet"),
    ("an instance", Flow(5, 2, 8, (4,)), "hand over the class itself"),
)


class Sinusoidal(Flow):
    """Features of tau, a network of its own, keyword arguments, its own order of drawing."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(state_dim, action_dim, chunk_size, hidden_dims)
        self.register_buffer("frequencies", 2 ** torch.arange(4))
        self.embed = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 1))

    def velocity(self, state, a_tau, tau):
        angles = math.pi * tau.reshape(-1, 1) * self.frequencies
        return super().velocity(
            state, a_tau, self.embed(torch.cat([angles.sin(), angles.cos()], -1)).squeeze(-1)
        )

    def compute_loss(self, state, action_chunk):
        noise = torch.randn(action_chunk.shape)
        tau = torch.rand(state.shape[0])
        x = torch.lerp(noise, action_chunk, tau.view(-1, 1, 1))
        v = self.velocity(state=state, a_tau=x, tau=tau)
        return ((action_chunk - noise - v) ** 2).flatten(1).sum(1).mean()


class FlowColumn(Flow):
    """tau as a column throughout, which velocity makes of a vector too; in place."""

    def velocity(self, state, a_tau, tau):
        return super().velocity(state, a_tau, tau.reshape(-1))

    def compute_loss(self, state, action_chunk):
        tau = torch.empty(len(state), 1).uniform_()
        noise = torch.empty_like(action_chunk).normal_()
        a_tau = noise.clone().mul_(1 - tau[..., None]).add_(tau[..., None] * action_chunk)
        v = self.velocity(state, a_tau, tau)
        v -= action_chunk - noise
        return v.pow(2).mean()

    def sample_actions(self, state, *, num_steps=10):
        with torch.no_grad():
            a = torch.empty(len(state), self.chunk_size, self.action_dim).normal_()
            for tau in torch.linspace(0, 1, num_steps + 1)[:-1]:
                a += self.velocity(state, a, tau.expand(len(state), 1)).mul_(1 / num_steps)
            return a


class ColumnInThousands(Flow):
    """A velocity that reads a column in another way than a vector."""

    def velocity(self, state, a_tau, tau):
        return super().velocity(state, a_tau, tau if tau.ndim == 1 else 1000 * tau[:, 0])

    compute_loss, sample_actions = raw_tau(1).compute_loss, FlowColumn.sample_actions


class ZeroHead(Flow):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        nn.init.zeros_(self.net[-1].weight), nn.init.zeros_(self.net[-1].bias)


class Forward(Flow):
    """velocity through forward, tau joined to each step of the chunk."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        BasePolicy.__init__(self, state_dim, action_dim, chunk_size)
        self.net = mlp(
            state_dim + chunk_size * (action_dim + 1), *hidden_dims, chunk_size * action_dim
        )

    def forward(self, state, a_tau, tau):
        columns = torch.cat([a_tau, tau[:, None, None].expand(-1, self.chunk_size, 1)], dim=-1)
        return self.net(torch.cat([columns.flatten(1), state], dim=1)).unflatten(
            1, (self.chunk_size, self.action_dim)
        )

    def velocity(self, state, a_tau, tau):
        return self(state, a_tau, tau)


class Compiled(Flow):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.net.compile()


RIGHT_FLOW = table(
    ("as asked", Flow),
    ("summed over the chunk", changed(loss=lambda v, t: ((v - t) ** 2).sum(dim=(1, 2)).mean())),
    (
        "sum over the batch's size",
        changed(loss=lambda v, t: F.mse_loss(v, t, reduction="sum") / len(v)),
    ),
    ("sinusoidal, lerp, noise first, keywords", Sinusoidal),
    ("column, in place", FlowColumn),
    ("last layer from zero", ZeroHead),
    ("forward, tau at each step", Forward),
    ("compiled", Compiled),
    ("1 - rand", drawn(tau=lambda b: 1 - torch.rand(b, 1, 1))),
    (
        "stratified tau",
        drawn(tau=lambda b: ((torch.randperm(b) + torch.rand(b)) / b).view(-1, 1, 1)),
    ),
    (
        "numpy's noise",
        drawn(noise=lambda a: torch.from_numpy(np.random.standard_normal(a.shape)).float()),
    ),
    ("float64 loss", changed(loss=lambda v, t: F.mse_loss(v.double(), t.double()))),
    ("shape (1,)", changed(loss=lambda v, t: F.mse_loss(v, t)[None])),
    ("from noise on", changed(mix=lambda a, n, t: n + t * (a - n))),
    ("sample_actions unanswered", of_self(sample_actions=BasePolicy.sample_actions)),
)


# Q4.4, Euler integration.


def euler(
    taus=lambda n: [i / n for i in range(n)],
    step=lambda n: 1 / n,
    start=torch.randn,
    result=lambda a, v: a,
    hand=lambda tau, batch: torch.full((batch,), float(tau)),
    default=10,
    count=lambda n: n,
    change=lambda a: a,
):
    """sample_actions, right as it stands, with one thing changed."""

    def sample_actions(self, state, *, num_steps=default):
        n = count(num_steps)
        a = v = start(len(state), self.chunk_size, self.action_dim)
        for tau in taus(n):
            v = self.velocity(state, a, hand(tau, len(state)))
            a = change(a + step(n) * v)
        return result(a, v)

    return of_self(sample_actions=sample_actions)


def midpoint(self, state, *, num_steps=10):
    a, h = torch.randn(len(state), self.chunk_size, self.action_dim), 1 / num_steps
    for i in range(num_steps):
        half = a + h / 2 * self.velocity(state, a, torch.full((len(state),), i * h))
        a = a + h * self.velocity(state, half, torch.full((len(state),), (i + 0.5) * h))
    return a


def never_asks(self, state, *, num_steps=10):
    return torch.randn(len(state), self.chunk_size, self.action_dim)


def drawn_tau(self, state, *, num_steps=10):
    a = torch.randn(len(state), self.chunk_size, self.action_dim)
    for _ in range(num_steps):
        a = a + self.velocity(state, a, torch.rand(len(state))) / num_steps
    return a


def keeps_the_start(self, state, *, num_steps=10):
    a = start = torch.randn(len(state), self.chunk_size, self.action_dim)
    for i in range(num_steps):
        tau = torch.full((len(state),), i / num_steps)
        a = start + self.velocity(state, start, tau) / num_steps
    return a


def seeds_its_noise(self, state, *, num_steps=10):
    torch.manual_seed(0)
    return Flow.sample_actions(self, state, num_steps=num_steps)


def states_averaged(self, state, *, num_steps=10):
    return Flow.sample_actions(
        self, state.mean(0, keepdim=True).expand_as(state), num_steps=num_steps
    )


def one_state_only(self, state, *, num_steps=10):
    return Flow.sample_actions(self, state[:1], num_steps=num_steps)


def positional_num_steps(self, state):
    return Flow.sample_actions(self, state, num_steps=10)


def sampling_unanswered(self, state, *, num_steps=10):
    raise NotImplementedError("Need to implement for Q4.4")


WRONG_EULER = table(
    ("from 1 to 0", euler(taus=lambda n: [1 - i / n for i in range(n)]), "tau runs from 1 to 0"),
    (
        "from 1 to 0, backwards",
        euler(taus=lambda n: [1 - i / n for i in range(n)], step=lambda n: -1 / n),
        "tau runs from 1 to 0",
    ),
    (
        "(n - 1) / n down to 0",
        euler(taus=lambda n: [(n - 1 - i) / n for i in range(n)]),
        "tau runs down",
    ),
    ("end of the step", euler(taus=lambda n: [(i + 1) / n for i in range(n)]), "START of the step"),
    (
        "middle of the step",
        euler(taus=lambda n: [(i + 0.5) / n for i in range(n)]),
        "the middle of the step",
    ),
    ("number of the step", euler(taus=range), "divide by num_steps"),
    ("linspace(0, 1, n)", euler(taus=lambda n: torch.linspace(0, 1, n)), "ends at 1 itself"),
    ("tau constant 0", euler(taus=lambda n: [0] * n), "tau moves on"),
    ("tau constant 1/2", euler(taus=lambda n: [0.5] * n), "tau moves on"),
    ("tau drawn", of_self(sample_actions=drawn_tau), "have different tau"),
    (
        "tau of another shape",
        euler(hand=lambda tau, b: torch.full((b, 3), float(tau))),
        "one tau for each sample",
    ),
    (
        "tau as the velocity cannot take it",
        euler(hand=lambda tau, b: torch.full((b, 1), float(tau))),
        "tau comes as (B,)",
    ),
    (
        "tau as a float",
        euler(hand=lambda tau, b: tau),
        "TypeError: 'float' object is not subscriptable",
    ),
    ("step of 1", euler(step=lambda n: 1), "not divided by num_steps"),
    ("step of 1 / (n + 1)", euler(step=lambda n: 1 / (n + 1)), "not by num_steps + 1"),
    ("step of 1 / (n - 1)", euler(step=lambda n: 1 / max(n - 1, 1)), "not by num_steps - 1"),
    ("step of 0.1", euler(step=lambda n: 0.1), "whatever num_steps"),
    ("sign flipped", euler(step=lambda n: -1 / n), "sign is wrong"),
    ("n + 1 steps", euler(taus=lambda n: [i / n for i in range(n + 1)]), "one step too many"),
    ("n - 1 steps", euler(taus=lambda n: [i / n for i in range(n - 1)]), "one step too few"),
    ("num_steps ignored", euler(count=lambda n: 10), "num_steps is ignored"),
    ("another default", euler(default=20), "num_steps is 10 where it is not given"),
    ("midpoint", of_self(sample_actions=midpoint), "the midpoint method are others"),
    ("from zeros", euler(start=torch.zeros), "it is zero"),
    ("from uniform noise", euler(start=torch.rand), "it is uniform"),
    ("from small noise", euler(start=lambda *shape: 0.1 * torch.randn(shape)), "Hint"),
    (
        "one noise for all",
        euler(start=lambda b, k, a: torch.randn(1, k, a).repeat(b, 1, 1)),
        "all samples share one noise",
    ),
    (
        "one noise for all, not repeated",
        euler(start=lambda b, k, a: torch.randn(1, k, a)),
        "called with chunks of shape",
    ),
    (
        "one noise for all steps",
        euler(start=lambda b, k, a: torch.randn(b, 1, a).repeat(1, k, 1)),
        "are not independent",
    ),
    (
        "noise of the wrong order",
        euler(start=lambda b, k, a: torch.randn(b, a, k)),
        "called with chunks of shape",
    ),
    (
        "flat noise",
        euler(start=lambda b, k, a: torch.randn(b, k * a)),
        "called with chunks of shape",
    ),
    ("seed set", of_self(sample_actions=seeds_its_noise), "starts from the same noise"),
    (
        "seed set at the end",
        euler(result=lambda a, v: (a, torch.manual_seed(0))[0]),
        "starts from the same noise",
    ),
    ("velocity returned", euler(result=lambda a, v: v), "last velocity"),
    ("result clipped", euler(result=lambda a, v: a.clamp(-1, 1)), "clipped to [-1, 1]"),
    ("clipped in each step", euler(change=lambda a: a.clamp(-1, 1)), "no clipping"),
    (
        "noise in each step",
        euler(change=lambda a: a + 0.1 * torch.randn_like(a)),
        "no noise, no clipping",
    ),
    ("every step from the start", of_self(sample_actions=keeps_the_start), "Hint"),
    ("result transposed", euler(result=lambda a, v: a.transpose(1, 2)), "wrong way round"),
    ("result flat", euler(result=lambda a, v: a.flatten(1)), "the output is flat"),
    ("result numpy", euler(result=lambda a, v: a.detach().numpy()), "returned a ndarray"),
    ("nothing returned", euler(result=lambda a, v: None), "returned a NoneType"),
    ("result not finite", euler(result=lambda a, v: a / 0), "not finite"),
    ("states averaged", of_self(sample_actions=states_averaged), "hand state on"),
    ("one state only", of_self(sample_actions=one_state_only), "called with chunks of shape"),
    ("velocity never asked", of_self(sample_actions=never_asks), "never calls velocity"),
    (
        "no num_steps",
        of_self(sample_actions=positional_num_steps),
        "leave the function's name and arguments",
    ),
    ("sizes hard-coded", euler(start=lambda b, k, a: torch.randn(b, 8, 2)), "Hint"),
    ("not answered", of_self(sample_actions=sampling_unanswered), "ot answered yet"),
    ("an instance", Flow(5, 2, 8, (4,)), "hand over the class itself"),
)


def while_loop(self, state, *, num_steps=10):
    a, tau, h = (
        torch.randn((state.shape[0], self.chunk_size, self.action_dim), device=state.device),
        0.0,
        1.0 / num_steps,
    )
    while tau < 1 - h / 2:
        a = a + h * self.velocity(state=state, a_tau=a, tau=state.new_full((len(state),), tau))
        tau += h
    return a


@torch.inference_mode()
def under_inference_mode(self, state, *, num_steps=10):
    a = torch.randn(len(state), self.chunk_size, self.action_dim)
    for tau in torch.arange(num_steps) / num_steps:
        a += self.velocity(state, a, tau.repeat(len(a))) / num_steps
    return a


class FlowAnyTau(Flow):
    """A velocity that takes tau in any shape, a number included."""

    def velocity(self, state, a_tau, tau):
        return super().velocity(
            state, a_tau, torch.as_tensor(tau, dtype=state.dtype).reshape(-1).expand(len(state))
        )


def any_tau(hand):
    return of_self(FlowAnyTau, sample_actions=euler(hand=hand).sample_actions)


def float64_steps(self, state, *, num_steps=10):
    a = torch.randn(len(state), self.chunk_size, self.action_dim)
    for i in np.linspace(0, 1, num_steps, endpoint=False):
        a = (
            a.double()
            + self.velocity(state, a, torch.full((len(state),), i).float()).double() / num_steps
        ).float()
    return a


RIGHT_EULER = table(
    ("as asked", Flow),
    ("while loop", of_self(sample_actions=while_loop)),
    ("linspace, no_grad, in place, tau (B, 1)", FlowColumn),
    ("inference mode, arange", of_self(sample_actions=under_inference_mode)),
    ("tau (B, 1, 1)", any_tau(lambda tau, b: torch.full((b, 1, 1), float(tau)))),
    ("tau of no dimension", any_tau(lambda tau, b: torch.tensor(float(tau)))),
    ("tau a float", any_tau(lambda tau, b: tau)),
    ("numpy, steps in float64", of_self(sample_actions=float64_steps)),
    ("a velocity still to be written", of_self(FlowUnanswered)),
    ("sinusoidal", Sinusoidal),
)


# What a network cannot say: the slips of a loop over layers.


def net_of(change):
    """The classes of both policies, whose network has other layers: those of change(layers)."""

    def changed_net(*widths):
        return nn.Sequential(*change(list(mlp(*widths))))

    class OfFlow(Flow):
        def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
            super().__init__(state_dim, action_dim, chunk_size, hidden_dims)
            width = chunk_size * action_dim
            self.net = changed_net(state_dim + width + 1, *hidden_dims, width)

    return mse(net=lambda s, a, k, h: changed_net(s, *h, a * k)), OfFlow


BOUNDED = (
    ("ReLU behind the last layer", lambda layers: [*layers, nn.ReLU()], "a ReLU or the like"),
    ("GELU behind the last layer", lambda layers: [*layers, nn.GELU()], "a ReLU or the like"),
    ("tanh behind the last layer", lambda layers: [*layers, nn.Tanh()], "tanh, clamp"),
    ("clamp behind the last layer", lambda layers: [*layers, nn.Hardtanh()], "tanh, clamp"),
    ("sigmoid behind the last layer", lambda layers: [*layers, nn.Sigmoid()], "sigmoid or softmax"),
    (
        "softmax behind the last layer",
        lambda layers: [*layers, nn.Softmax(dim=-1)],
        "sigmoid or softmax",
    ),
    ("no activations", lambda layers: layers[::2], "they come to one layer"),
    (
        "an activation before the first layer",
        lambda layers: [nn.ReLU(), *layers],
        "network's input",
    ),
)
WRONG_MSE += table(
    *((name, net_of(change)[0], phrase) for name, change, phrase in BOUNDED),
    (
        "chunks clamped",
        mse(sample=lambda self, state: MSE.sample_actions(self, state).clamp(-1, 1)),
        "tanh, clamp",
    ),
)
WRONG_FLOW += table(
    *((name, net_of(change)[1], phrase) for name, change, phrase in BOUNDED),
    ("tau read in two ways", ColumnInThousands, "reads in another way than a tau (B,)"),
)
WRONG_EULER += table(("tau read in two ways", ColumnInThousands, "in another way than a tau (B,)"))
WRONG_MSE += bounded(lambda bound: on_chunks(lambda p, a: F.mse_loss(bound(p), a)))
WRONG_FLOW += bounded(lambda bound: changed(loss=lambda v, t: F.mse_loss(bound(v), t)))
WRONG = {"Q4.1": WRONG_MSE, "Q4.2": WRONG_TRAIN, "Q4.3": WRONG_FLOW, "Q4.4": WRONG_EULER}
RIGHT = {"Q4.1": RIGHT_MSE, "Q4.2": RIGHT_TRAIN, "Q4.3": RIGHT_FLOW, "Q4.4": RIGHT_EULER}
