"""The fixed backbones have the published sizes and read what they should; average and schedule
follow their formulas.
"""

import itertools
import math

import pytest
import torch
from torch import nn

from pusht import EMAModel, get_cosine_schedule_with_warmup
from pusht.networks import MLP, ConditionalUnet1D, ResidualMLP


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def linear(a: int, b: int) -> int:
    return a * b + b


# Residual MLP.


def test_residual_mlp_has_the_published_size():
    widths = [10, *[256] * 5, 32]
    assert (
        size(
            ResidualMLP(
                widths, activation_type="Mish", out_activation_type="Identity", use_layernorm=True
            )
        )
        == 276_256
    )
    assert size(ResidualMLP(widths)) == 276_256 - 4 * 2 * 256  # no normalisation unless asked for


def test_residual_mlp_computes_the_published_function():
    torch.manual_seed(0)
    model = ResidualMLP([3, 8, 8, 8, 8, 8, 4], use_layernorm=True).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(6, 3, dtype=torch.float64)
    weights = list(model.parameters())
    expected = x @ weights[0].T + weights[1]
    rest = weights[2:-2]
    for block in (rest[:8], rest[8:]):  # norm, linear, norm, linear: weight and bias of each
        inside = expected
        for scale, shift, weight, bias in (block[:4], block[4:]):
            centred = inside - inside.mean(dim=1, keepdim=True)
            inside = (
                centred / (centred.pow(2).mean(dim=1, keepdim=True) + 1e-6).sqrt() * scale + shift
            )
            inside = inside * torch.tanh(torch.log1p(inside.exp())) @ weight.T + bias
        expected = expected + inside
    expected = expected @ weights[-2].T + weights[-1]
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("widths", [[10, 32], [10, 8, 8, 32], [10, 8, 9, 8, 32]])
def test_residual_mlp_refuses_widths_that_make_no_blocks(widths):
    with pytest.raises(ValueError, match="odd number of equal hidden widths"):
        ResidualMLP(widths)


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="'Misch'"):
        ResidualMLP([10, 8, 8, 8, 32], activation_type="Misch")


# MLP.


def test_mlp_reads_the_second_input_where_told():
    torch.manual_seed(0)
    model = MLP([6, 16, 16, 4], append_dim=3, append_layers=[0, 2], activation_type="Mish")
    assert size(model) == linear(9, 16) + linear(16, 16) + linear(19, 4)
    x, z = torch.randn(5, 6), torch.randn(5, 3)
    assert model(x, z).shape == (5, 4)
    assert not torch.allclose(model(x, z), model(x, z + 1))
    weights = list(model.parameters())
    hidden = nn.functional.mish(torch.cat([x, z], dim=1) @ weights[0].T + weights[1])
    hidden = nn.functional.mish(hidden @ weights[2].T + weights[3])
    torch.testing.assert_close(
        model(x, z), torch.cat([hidden, z], dim=1) @ weights[4].T + weights[5]
    )


def test_mlp_normalises_before_every_activation_but_the_last():
    plain, normed = MLP([6, 16, 16, 4]), MLP([6, 16, 16, 4], use_layernorm=True)
    assert size(plain) == linear(6, 16) + linear(16, 16) + linear(16, 4)
    assert size(normed) - size(plain) == 2 * 2 * 16


def test_mlp_is_tanh_inside_and_identity_at_the_end_unless_told():
    model = MLP([2, 3, 2])
    weights = list(model.parameters())
    x = torch.randn(4, 2)
    torch.testing.assert_close(
        model(x), torch.tanh(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]
    )
    assert (MLP([2, 3, 2], out_activation_type="ReLU")(torch.randn(50, 2)) >= 0).all()


# U-Net.


def unet(**options) -> ConditionalUnet1D:
    torch.manual_seed(0)
    sizes = {
        "input_dim": 2,
        "global_cond_dim": 10,
        "diffusion_step_embed_dim": 32,
        "down_dims": [16, 32],
        "n_groups": 4,
    }
    return ConditionalUnet1D(**{**sizes, **options})


def test_unet_has_the_published_size():
    def block(channels_in, channels_out, condition=256 + 10, kernel=5):
        convolutions = channels_out * (channels_in * kernel + 1) + channels_out * (
            channels_out * kernel + 1
        )
        norms, film = 2 * 2 * channels_out, linear(condition, 2 * channels_out)
        return (
            convolutions
            + norms
            + film
            + (linear(channels_in, channels_out) if channels_in != channels_out else 0)
        )

    encoder = linear(256, 1024) + linear(1024, 256)
    down = (
        block(2, 64) + block(64, 128) + block(128, 256) + (64 * (64 * 3 + 1) + 128 * (128 * 3 + 1))
    )
    middle = block(256, 256)
    up = block(512, 128) + block(256, 64) + (128 * (128 * 4 + 1) + 64 * (64 * 4 + 1))
    model = ConditionalUnet1D(
        input_dim=2,
        global_cond_dim=10,
        diffusion_step_embed_dim=256,
        down_dims=[64, 128, 256],
        kernel_size=5,
        n_groups=4,
    )
    assert size(model) == encoder + down + middle + up + linear(64, 2)


def published_unet(parameters, sample, step, condition, widths, groups):
    """The published network, a tensor after the other, from its parameters: encoder, way down,
    middle, way up, last layer.
    """
    rest = iter(parameters)

    def take(count):
        return [next(rest) for _ in range(count)]

    half = next(iter(parameters)).shape[1] // 2
    angles = step[:, None] * torch.exp(torch.arange(half) * (-math.log(10_000) / (half - 1)))
    embedded = torch.cat([angles.sin(), angles.cos()], dim=1)
    w1, b1, w2, b2 = take(4)
    features = torch.cat([nn.functional.mish(embedded @ w1.T + b1) @ w2.T + b2, condition], dim=1)

    def read_block(channels_in, channels_out):
        return take(10 + 2 * (channels_in != channels_out))

    def block(x, weights):
        convolve, norm, mish = nn.functional.conv1d, nn.functional.group_norm, nn.functional.mish
        w, b, scale, shift = weights[:4]
        out = mish(norm(convolve(x, w, b, padding=w.shape[2] // 2), groups, scale, shift))
        film = (mish(features) @ weights[8].T + weights[9])[:, :, None]
        out = film[:, : len(w)] * out + film[:, len(w) :]
        w, b, scale, shift = weights[4:8]
        out = mish(norm(convolve(out, w, b, padding=w.shape[2] // 2), groups, scale, shift))
        return out + (convolve(x, *weights[10:]) if len(weights) > 10 else x)

    levels = len(widths)
    down = [read_block(a, b) for a, b in itertools.pairwise([sample.shape[2], *widths])]
    downsample = [take(2) for _ in range(levels - 1)]
    middle = read_block(widths[-1], widths[-1])
    up = [read_block(2 * widths[i + 1], widths[i]) for i in reversed(range(levels - 1))]
    upsample = [take(2) for _ in range(levels - 1)]
    x, kept = sample.transpose(1, 2), []
    for i in range(levels):
        x = block(x, down[i])
        kept.append(x)
        if i < levels - 1:
            x = nn.functional.conv1d(x, *downsample[i], stride=2, padding=1)
    x = block(x, middle)
    for weights, wider in zip(up, upsample, strict=True):
        x = nn.functional.conv_transpose1d(
            block(torch.cat([x, kept.pop()], dim=1), weights), *wider, stride=2, padding=1
        )
    return nn.functional.conv1d(x, *take(2)).transpose(1, 2)


def test_unet_computes_the_published_function():
    widths = [8, 16, 24]
    model = unet(down_dims=widths)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    sample, step, condition = (
        torch.randn(4, 16, 2),
        torch.tensor([0.0, 30, 60, 99]),
        torch.randn(4, 10),
    )
    expected = published_unet(list(model.parameters()), sample, step, condition, widths, groups=4)
    torch.testing.assert_close(model(sample, step, condition), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_unet_prints_nothing_when_it_is_made(capfd):
    unet()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "batch, horizon, levels", [(1, 16, [16, 32]), (3, 16, [16, 32, 64]), (2, 8, [16, 32])]
)
def test_unet_gives_noise_of_the_actions_shape(batch, horizon, levels):
    sample = torch.randn(batch, horizon, 2)
    assert (
        unet(down_dims=levels)(sample, torch.zeros(batch), torch.randn(batch, 10)).shape
        == sample.shape
    )


def test_unet_depends_on_sample_step_and_condition_of_its_own_row():
    model = unet()
    sample, step, condition = (
        torch.randn(4, 16, 2),
        torch.tensor([0, 30, 60, 99]),
        torch.randn(4, 10),
    )
    out = model(sample, step, condition)
    for changed in (
        (sample + torch.eye(4)[2][:, None, None], step, condition),
        (sample, step - torch.tensor([0, 0, 1, 0]), condition),
        (sample, step, condition + torch.eye(4)[2][:, None]),
    ):
        differs = (model(*changed) - out).abs().amax(dim=(1, 2)) > 1e-4
        assert differs.tolist() == [False, False, True, False]


def test_unet_takes_the_step_as_a_number_too():
    model = unet()
    sample, condition = torch.randn(3, 16, 2), torch.randn(3, 10)
    expected = model(sample=sample, timestep=torch.full((3,), 7), global_cond=condition)
    for step in (7, 7.0, torch.tensor(7), torch.tensor([7]), torch.full((3,), 7.0)):
        torch.testing.assert_close(model(sample, step, condition), expected)


def test_unet_works_without_a_condition():
    assert unet(global_cond_dim=0)(torch.randn(2, 16, 2), 3).shape == (2, 16, 2)


def test_unet_tells_order_in_time():
    model = unet()
    sample, condition = torch.randn(1, 16, 2), torch.randn(1, 10)
    assert not torch.allclose(
        model(sample.flip(1), 5, condition), model(sample, 5, condition).flip(1), atol=1e-3
    )


def test_every_unet_weight_gets_a_gradient():
    model = unet()
    model(
        torch.randn(4, 16, 2), torch.tensor([1, 20, 50, 80]), torch.randn(4, 10)
    ).square().sum().backward()
    idle = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0
    ]
    assert idle == []


# Average and schedule.


@pytest.mark.parametrize("power", [2 / 3, 0.75])
def test_ema_follows_its_formula(power):
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    ema = EMAModel(parameters=model.parameters(), power=power)
    expected = [p.detach().clone() for p in model.parameters()]
    for t in range(20):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        decay = 1 - (1 + t) ** -power
        expected = [
            decay * a + (1 - decay) * p.detach()
            for a, p in zip(expected, model.parameters(), strict=True)
        ]
        ema.step(model.parameters())
    kept = [p.detach().clone() for p in model.parameters()]
    target = nn.Linear(3, 2).double()
    ema.copy_to(target.parameters())
    for ours, should, raw, now in zip(
        target.parameters(), expected, kept, model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.detach(), should, rtol=1e-12, atol=1e-12)
        assert torch.equal(raw, now) and not torch.allclose(ours, raw)


def test_ema_decay_rises_to_its_limit():
    ema = EMAModel(nn.Linear(1, 1).parameters(), power=0.75, max_decay=0.99)
    decays = []
    for steps in (0, 1, 10, 100, 10**6):
        ema.num_steps = steps
        decays.append(ema.decay())
    assert decays[0] == 0 and decays == sorted(decays) and decays[-1] == 0.99


def test_ema_goes_on_from_its_state():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    ema = EMAModel(model.parameters())

    def drift():
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1.5).add_(0.1)
        return model.parameters()

    for _ in range(3):
        ema.step(drift())
    other = EMAModel(nn.Linear(3, 2).parameters())
    other.load_state_dict(ema.state_dict())
    parameters = list(drift())
    ema.step(parameters)
    first = [a.clone() for a in ema.averages]
    other.step(parameters)
    assert all(torch.equal(a, b) for a, b in zip(first, other.averages, strict=True))


def test_ema_gradients_stay_out_of_it():
    model = nn.Linear(3, 2)
    ema = EMAModel(model.parameters())
    ema.step(model.parameters())
    ema.copy_to(model.parameters())
    assert not any(a.requires_grad for a in ema.averages) and all(
        p.requires_grad for p in model.parameters()
    )


def rates(warmup: int, total: int, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = get_cosine_schedule_with_warmup(
        optimizer=optimizer, num_warmup_steps=warmup, num_training_steps=total
    )
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"] / 2)
        optimizer.step()
        schedule.step()
    return seen


def test_schedule_rises_linearly_peaks_at_one_and_falls_to_zero():
    seen = rates(50, 250, 260)
    assert seen[:51] == pytest.approx([t / 50 for t in range(51)])
    assert max(seen) == seen[50] == 1
    assert seen[50:251] == pytest.approx(
        [(1 + math.cos(math.pi * t / 200)) / 2 for t in range(201)]
    )
    assert seen[250:] == pytest.approx([0] * 10, abs=1e-12)


def test_schedule_without_warmup_starts_at_its_peak():
    assert rates(0, 10, 11)[0] == 1 and rates(0, 10, 11)[-1] == pytest.approx(0, abs=1e-12)
