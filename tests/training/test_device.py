"""What a device computes in."""

import pytest
import torch

from cifar_ray.training.device import choose_precision


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bf16-mixed"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, "32-true"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        # torch knows nothing of it
        ({}, "32-true"),
        ({"avx512_bf16": True}, "bf16-mixed"),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_that_is_faster(
    capabilities: dict[str, object], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision(torch.device("cpu")) == precision
