from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.cluster.on_kubernetes.quantities import quantity, spelled


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15890m", "15.89"),
        ("0.5", "0.5"),
        (2, "2"),
        ("32Gi", str(32 * 2**30)),
        ("1k", "1000"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("1Ei", str(2**60)),
        ("250u", "0.00025"),
        (".5G", "5e8"),
        (None, "0"),
        ("lots", "0"),
    ],
)
def test_reads_what_kubernetes_writes(text: object, number: str) -> None:
    assert quantity(text) == Decimal(number)


@given(st.text(max_size=12) | st.text(alphabet="0123456789.eE+-kMGiun", max_size=12))
def test_any_text_is_a_number_or_none(text: str) -> None:
    assert quantity(text).is_finite()


def test_prints_what_people_read() -> None:
    assert spelled("memory", quantity("32Gi")) == "32 GiB memory"
    assert spelled("cpu", quantity("500m")) == "0.5 cpu"
    assert spelled("nvidia.com/gpu", quantity("1")) == "1 nvidia.com/gpu"
