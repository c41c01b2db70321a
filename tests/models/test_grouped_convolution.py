import pytest
import torch
from torch.nn import functional

from cifar_ray.models.grouped_convolution import grouped_convolution


@pytest.mark.parametrize("num_groups", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_conv2d(num_groups: int, memory_format: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    images = draw(5, 6 * num_groups, 14, 14).to(memory_format=memory_format).requires_grad_()
    weight, bias = draw(16 * num_groups, 6, 5, 5).requires_grad_(), draw(16 * num_groups).requires_grad_()
    ours = grouped_convolution(images, weight, bias, num_groups)
    expected = functional.conv2d(images, weight, bias, groups=num_groups)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    gradient = draw(*expected.shape)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (images, weight, bias), gradient),
        torch.autograd.grad(expected, (images, weight, bias), gradient),
        rtol=1e-12,
        atol=1e-12,
    )


def test_autocast_reaches_it() -> None:
    images, weight, bias = torch.randn(2, 6, 14, 14, requires_grad=True), torch.randn(16, 6, 5, 5), torch.randn(16)
    with torch.autocast("cpu", torch.bfloat16):
        values = grouped_convolution(images, weight.requires_grad_(), bias.requires_grad_(), 1)
    values.sum().backward()
    assert (values.dtype, images.grad is not None and images.grad.dtype) == (torch.bfloat16, torch.float32)
