"""What the newer networks promise before their first step."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cifar_ray.models import build_model
from cifar_ray.models.nf_resnet import NfResNet, StandardisedConv2d
from cifar_ray.models.speed_net import EPSILON, SpeedNet
from cifar_ray.studies import TrialConfig

BASE = {"max_epochs": 1, "learning_rate": 0.1, "optimizer": "sgd", "weight_decay": 0.0, "dropout": 0.0}


def coloured_images(count: int) -> torch.Tensor:
    """Neighbouring pixels and channels go together, as in photographs."""
    noise = torch.randn(count, 3, 34, 34, generator=torch.Generator().manual_seed(0))
    smooth = functional.avg_pool2d(noise, 3, stride=1)
    return smooth + smooth.mean(dim=1, keepdim=True)


def test_whitening_takes_patches_apart_and_evens_out_what_varies() -> None:
    net, images = SpeedNet(), coloured_images(200)
    net.whiten(images)
    values = net.whitening(images)
    assert torch.equal(values[:, :12], -values[:, 12:])
    flat = values[:, :12].transpose(0, 1).flatten(1).double()
    covariance = flat @ flat.T / flat.shape[1]
    assert torch.allclose(covariance - torch.diag(covariance.diagonal()), torch.zeros(12, 12).double(), atol=1e-3)
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
    variances = torch.linalg.eigvalsh(patches.T @ patches / len(patches))
    assert torch.allclose(covariance.diagonal(), variances / (variances + EPSILON), atol=1e-4)


def test_whitening_makes_no_noise_of_what_hardly_varies() -> None:
    """On JPEG images, half of the directions do not."""
    net, images = SpeedNet(), coloured_images(200)
    images[:, 2] = images[:, 1]
    net.whiten(images)
    noise = torch.randn(100, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert net.whitening(noise).std(dim=(0, 2, 3)).max() < 3.2


def test_the_whitening_and_the_gains_stay_as_they_are() -> None:
    net = SpeedNet()
    net.whiten(coloured_images(50))
    before = net.whitening.weight.clone()
    net(coloured_images(8)).sum().backward()
    gains = {f"blocks.{block}.norm{index}.weight" for block in range(3) for index in (1, 2)}
    assert {name for name, each in net.named_parameters() if each.grad is None} == {"whitening.weight", *gains}
    assert torch.equal(net.whitening.weight, before)


def test_convolutions_of_the_speed_net_start_as_the_identity() -> None:
    net = build_model(TrialConfig.from_dict({**BASE, "model": "speed_net"}))
    first = net.get_submodule("blocks.0.conv1")
    images = torch.randn(2, 24, 8, 8)
    assert torch.allclose(first(images)[:, :24], images, atol=1e-6)
    assert len(first.weight[24:].unique()) > 8000, "the others are drawn"


def test_a_deep_block_of_the_speed_net_is_its_plain_form() -> None:
    net = build_model(TrialConfig.from_dict({**BASE, "model": "speed_net", "block_depth": 3, "widening": 0.5})).eval()
    block = net.get_submodule("blocks.1")
    norms = {name: each for name, each in net.state_dict().items() if "norm" in name and each.is_floating_point()}
    net.load_state_dict(
        {name: (each + torch.randn_like(each) / 10).abs() for name, each in norms.items()}, strict=False
    )
    values = torch.randn(4, 32, 8, 8)

    def step(index: int, inputs: torch.Tensor, *, pools: bool = False) -> torch.Tensor:
        norm = block.get_submodule(f"norm{index}")
        result = functional.conv2d(inputs, block.get_submodule(f"conv{index}").weight, padding=1)
        result = result.unflatten(2, (4, 2)).unflatten(4, (4, 2)).amax(dim=(3, 5)) if pools else result
        mean, variance, bias = (each[:, None, None] for each in (norm.running_mean, norm.running_var, norm.bias))
        return (result - mean) / variance.sqrt() * norm.weight[:, None, None] + bias

    first = functional.gelu(step(1, values, pools=True))
    expected = functional.gelu(step(3, functional.gelu(step(2, first))) + first)
    assert torch.allclose(block(values), expected, atol=1e-4)


def test_the_speed_nets_logits_are_a_ninth_of_its_dense_layers() -> None:
    net, images = SpeedNet().eval(), coloured_images(2)
    values = net.blocks(functional.gelu(net.whitening(images))).amax(dim=(2, 3))
    assert torch.allclose(net(images), values @ net.dense.weight.T / 9, atol=1e-5)


def test_running_statistics_take_two_fifths_of_a_batch() -> None:
    net, seen = SpeedNet(), []
    norm = net.get_submodule("blocks.0.norm1")
    norm.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    net(coloured_images(8))
    assert torch.allclose(norm.running_mean, 0.4 * seen[0], atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"block_depth": 3, "widening": 0.55}])
def test_the_flip_equivariant_speed_net_takes_an_image_for_its_mirror_image(settings: dict[str, object]) -> None:
    """After a pass that moved its statistics; the plain one does not."""
    images = coloured_images(16)
    differences = []
    for is_equivariant in (True, False):
        values = {**BASE, "model": "speed_net", "flip_equivariant": is_equivariant, **settings}
        net = build_model(TrialConfig.from_dict(values))
        assert isinstance(net, SpeedNet)
        net.whiten(images)
        with torch.no_grad():
            net(images)
            net.eval()
            logits = net(images)
            differences.append(float((logits - net(images.flip(3))).abs().max() / logits.std()))
    assert differences[0] < 1e-4
    assert differences[1] > 0.1


def test_the_flip_equivariant_whitening_is_that_of_images_and_their_mirror_images() -> None:
    images = coloured_images(200)
    both = torch.cat([images, images.flip(3)])
    mirrored, plain = SpeedNet(is_flip_equivariant=True), SpeedNet()
    mirrored.whiten(images)
    plain.whiten(both)
    filters, expected = (net.whitening.weight[:12].flatten(1) for net in (mirrored, plain))
    # the same up to order and sign
    assert torch.allclose(filters.T @ filters, expected.T @ expected, atol=1e-4)
    odd, even = mirrored.whitening.weight[:12].chunk(2)
    assert torch.equal(odd.flip(3), -odd)
    assert torch.equal(even.flip(3), even)


def test_convolutions_of_the_flip_equivariant_speed_net_start_as_the_identity() -> None:
    net = SpeedNet(is_flip_equivariant=True)
    images = torch.randn(2, 64, 8, 8)
    values = net.get_submodule("blocks.0.conv2")(images)
    assert torch.allclose(values, images, atol=1e-6)
    whitened, values = images[:, :24], net.get_submodule("blocks.0.conv1")(images[:, :24])
    assert torch.allclose(values[:, :24], whitened, atol=1e-6)


def test_filters_are_standardised() -> None:
    layer = StandardisedConv2d(16, 8, kernel_size=3)
    with torch.no_grad():
        layer.weight.add_(3.0).mul_(7.0)
    filters = layer.standardised_weight().flatten(1)
    assert filters.mean(dim=1).abs().max() < 1e-6
    assert torch.allclose(filters.var(dim=1, correction=0) * filters.shape[1], torch.ones(8), atol=1e-4)


def test_the_gradient_of_standardised_filters() -> None:
    layer = StandardisedConv2d(2, 3, kernel_size=3).double()
    assert torch.autograd.gradcheck(lambda values: layer(values), torch.randn(1, 2, 5, 5).double().requires_grad_())
    weight = layer.weight.detach().clone().requires_grad_()

    def apply(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, torch.ones(1, 2, 5, 5).double())

    assert torch.autograd.gradcheck(apply, weight)


@pytest.mark.parametrize("depth", [18, 34])
def test_variance_stays_near_one_without_batch_norm(depth: int) -> None:
    torch.manual_seed(0)
    net = NfResNet(depth=depth, dropout=0.0).eval()
    deviations, given = [], []
    for module in net.modules():
        if isinstance(module, StandardisedConv2d):
            module.register_forward_hook(lambda _m, _i, values: deviations.append(values.std().item()))
        if hasattr(module, "skip_gain"):
            nn.init.ones_(module.skip_gain)
            module.conv1.register_forward_hook(lambda _m, inputs, _o: given.append(inputs[0].var(dim=(0, 2, 3)).mean()))
    with torch.no_grad():
        net(torch.randn(16, 3, 32, 32))
    assert min(deviations) > 0.5
    assert max(deviations) < 2
    assert min(given).sqrt() > 0.85
    assert max(given).sqrt() < 1.15


def test_blocks_start_as_their_shortcuts() -> None:
    net = NfResNet(depth=18, dropout=0.0)
    values = torch.randn(2, 64, 8, 8)
    assert torch.equal(net.blocks[0](values), values)
