"""Training is faster where the machine can, and nothing else of a network changes."""

import pytest
import torch
from torch import nn

from pusht import speed
from pusht.networks import ResidualMLP
from pusht.speed import faster


class Agent(nn.Module):
    """A student's agent: two networks, and arithmetic of its own between them."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 8), nn.Linear(8, 2)
        self.between = None

    def forward(self, x):
        self.between = self.encoder(x)
        return self.decoder(self.between + torch.randn_like(self.between))


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """A processor with bfloat16."""
    monkeypatch.setattr(speed, "has_bfloat16", lambda: True)


def network():
    torch.manual_seed(0)
    return ResidualMLP([10, 32, 32, 32, 4], use_layernorm=True)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def test_a_network_trains_in_bfloat16_and_infers_in_float32():
    net, x = network(), torch.randn(5, 10)
    exact = net(x)
    with faster(net, adamw(net)) as how:
        trained = net(x)
        with torch.no_grad():
            inferred = net(x)
        evaluated = net.eval()(x)
    assert "bfloat16" in how
    assert trained.dtype == torch.float32 and not torch.equal(trained, exact)
    torch.testing.assert_close(trained, exact, rtol=0.05, atol=0.05)
    assert torch.equal(inferred, exact) and torch.equal(evaluated, exact)
    assert torch.equal(net.train()(x), exact)  # the run is over


def test_what_a_student_computes_between_networks_is_float32():
    agent = Agent()
    with faster(agent, adamw(agent)):
        agent(torch.randn(3, 4))
    assert agent.between.dtype == torch.float32


def test_a_network_that_fails_leaves_no_bfloat16_behind():
    net = network()
    with faster(net, adamw(net)), pytest.raises(RuntimeError):
        net(torch.randn(5, 11))
    assert not torch.is_autocast_enabled("cpu")


def test_weights_are_read_anew_after_each_step():
    """A cast that was kept would make every loss the first one."""
    net, x = network(), torch.randn(5, 10)
    optimizer, losses = adamw(net), []
    with faster(net, optimizer):
        for _ in range(20):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_processor_without_bfloat16_trains_in_float32(monkeypatch):
    monkeypatch.setattr(speed, "has_bfloat16", lambda: False)
    net, x = network(), torch.randn(5, 10)
    exact = net(x)
    with faster(net, adamw(net)) as how:
        assert torch.equal(net(x), exact)
    assert how == "This machine trains faster with fused optimiser steps."


@pytest.mark.parametrize("options", [{"foreach": False}, {"fused": False}])
def test_a_choice_that_was_made_stays(options):
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, **options)
    with faster(net, optimizer) as how:
        assert "fused" not in how
    assert not optimizer.param_groups[0]["fused"]


def test_fused_steps_are_the_same_steps():
    weights = []
    for fuse in (False, True):
        net = network()
        optimizer = adamw(net)
        if fuse:
            with faster(net, optimizer):
                pass
        for _ in range(5):
            optimizer.zero_grad()
            net(torch.ones(5, 10)).square().mean().backward()
            optimizer.step()
        weights.append(torch.cat([p.flatten() for p in net.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
