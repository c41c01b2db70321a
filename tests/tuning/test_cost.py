"""What a sweep holds, and its price."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from cifar_ray.prices import Prices
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.reporting.formats import cost_text
from cifar_ray.resource_use import ResourceUse
from cifar_ray.tuning import cost as cost_module
from cifar_ray.tuning.cost import Meter, cost_of, node_kind, with_kinds

PRICES = Prices(currency="USD", rates={("A100", "on_demand"): 4.0, ("A100", "spot"): 1.0})
GPU = {"CPU": 8.0, "GPU": 1.0}
A100 = {"ray.io/accelerator-type": "A100"}
SPOT = {"ray.io/market-type": "spot"}


@pytest.mark.parametrize("num_held", [3, 0])
def test_held_time_adds_to_that_of_earlier_drivers(
    sweep_record: SweepRecord, num_held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [50.0]
    monkeypatch.setattr(cost_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    sweep = replace(sweep_record, accelerators_per_trial=0.5)
    meter = Meter(sweep, ResourceUse(held_s=100.0, nodes={"10.0.0.9": "A100 spot"}))
    for seconds in (4.0, 2.0):
        clock[0] += seconds
        meter.count(num_held)
    assert meter.use.held_s == 100 + 6 * 0.5 * num_held
    assert meter.use.nodes == {"10.0.0.9": "A100 spot"}


@pytest.mark.parametrize(
    ("node", "device", "kind"),
    [
        ({"Resources": GPU, "Labels": A100}, "accelerator", "A100 on_demand"),
        ({"Resources": GPU, "Labels": A100 | SPOT}, "accelerator", "A100 spot"),
        ({"Resources": GPU, "Labels": SPOT}, "accelerator", "unknown spot"),
        ({"Resources": {"GPU": 1.0}, "Labels": None}, "accelerator", "unknown on_demand"),
        ({"Resources": GPU, "Labels": A100 | SPOT}, "core", "CPU spot"),
    ],
)
def test_kinds_of_nodes(node: dict[str, object], device: str, kind: str) -> None:
    assert node_kind(node, device) == kind


def test_an_address_with_nodes_of_several_kinds_has_no_price() -> None:
    head = {"NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0}}
    one, other = (
        {"NodeManagerAddress": "10.0.0.1", "Resources": GPU, "Labels": labels} for labels in (A100, A100 | SPOT)
    )
    assert with_kinds({"10.0.0.9": "A100 spot"}, [head, one, one], "accelerator") == {
        "10.0.0.1": "A100 on_demand",
        "10.0.0.9": "A100 spot",
    }
    for known, nodes in (({}, [one, other]), ({"10.0.0.1": "A100 on_demand"}, [other])):
        assert with_kinds(known, nodes, "accelerator") == {"10.0.0.1": "unknown on_demand"}


def test_in_a_sweep_without_accelerators_every_node_counts() -> None:
    head = {"NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0}}
    assert with_kinds({}, [head], "core") == {"10.0.0.1": "CPU on_demand"}


def test_kinds_share_the_price_as_they_shared_the_time(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    lines = [
        replace(epoch_metrics[0], node=node, seconds=seconds, num_sharing=1)
        for node, seconds in (("10.0.0.1", 900.0), ("10.0.0.2", 300.0), ("10.0.0.2", 2400.0))
    ]
    use = ResourceUse(held_s=7200.0, nodes={"10.0.0.1": "A100 on_demand", "10.0.0.2": "A100 spot"})
    cost = cost_of(replace(sweep_record, accelerators_per_trial=1.0), use, [], lines, PRICES)
    assert cost.price == pytest.approx(2 * (0.25 * 4.0 + 0.75 * 1.0))


def test_the_price_is_of_all_that_was_held(
    sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    sweep = replace(sweep_record, accelerators_per_trial=1.0)
    first, second = (
        replace(epoch_metrics[0], node=node, seconds=1800.0, num_sharing=1) for node in ("10.0.0.1", "10.0.0.2")
    )
    use = ResourceUse(held_s=7200.0, repeated_s=600.0, nodes={"10.0.0.1": "A100 on_demand", "10.0.0.2": "A100 spot"})
    cost = cost_of(sweep, use, [trial_record], [first, second], PRICES)
    assert (cost.useful_s, cost.failed_s, cost.repeated_s, cost.idle_s) == (3600.0, 0.0, 600.0, 3000.0)
    assert cost.price == pytest.approx(1 * 4.0 + 1 * 1.0)
    assert cost_text(cost) == (
        "2.00 accelerator-hours held: 50 % in epochs of use, 8 % in epochs trained again, "
        "42 % without an epoch to show; 5.00 USD"
    )
    unpriced = cost_of(sweep, replace(use, nodes={}), [trial_record], [first], PRICES)
    assert unpriced.price is None
    assert "no on_demand price of unknown" in cost_text(unpriced)
    assert cost_of(sweep, use, [trial_record], [first], None).remark is None


def test_a_sweep_without_an_epoch_has_no_price(sweep_record: SweepRecord) -> None:
    """Not nothing: its accelerators were held."""
    cost = cost_of(sweep_record, ResourceUse(held_s=7200.0, nodes={"10.0.0.1": "A100 spot"}), [], [], PRICES)
    assert cost.price is None
    assert "no epoch tells on which nodes its trials were" in cost_text(cost)


def test_nothing_was_held(sweep_record: SweepRecord) -> None:
    cost = cost_of(sweep_record, ResourceUse(), [], [], PRICES)
    assert (cost.held_s, cost.price) == (0.0, 0.0)
    assert cost_text(cost).startswith("0.00 accelerator-hours held")


def test_held_time_is_at_least_trained_time(sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]) -> None:
    """Two epochs of 1.5 s on half an accelerator, and what was trained again."""
    cost = cost_of(sweep_record, ResourceUse(held_s=1.0, repeated_s=2.0), [], epoch_metrics[:2], None)
    assert cost.held_s == 3.5
