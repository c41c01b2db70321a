from dataclasses import replace

import pytest

from cifar_ray.capacity import (
    COHORT_SIZE,
    NodeKind,
    has_accelerator,
    most_cpus,
    place,
    place_cohorts,
    place_trials,
    with_accelerator,
    with_pools,
)
from cifar_ray.errors import CapacityError, ConfigurationError
from cifar_ray.settings import read_pools
from cifar_ray.studies import get_study
from cifar_ray.studies.options import SweepOptions

CPU_NODE = NodeKind(name="cpu", resources={"CPU": 4.0}, max_nodes=1)
GPU_POOL = NodeKind(name="gpu", resources={"CPU": 8.0, "GPU": 2.0}, max_nodes=3)


@pytest.mark.parametrize(
    ("demand", "num_trials"),
    [
        ({"CPU": 1.0, "GPU": 0.0}, 4 + 3 * 8),
        ({"CPU": 1.0, "GPU": 1.0}, 3 * 2),
        ({"CPU": 1.0, "GPU": 0.25}, 3 * 8),
        ({"CPU": 2.0, "GPU": 0.25}, 3 * 4),
        ({"CPU": 1.0, "GPU": 2.0}, 3),
        # a share of a GPU never reaches over two of them: 0.6 fits once on each
        ({"CPU": 1.0, "GPU": 0.6}, 3 * 2),
        ({"CPU": 0.5, "GPU": 0.0}, 8 + 3 * 16),
        # one of the cores may: Ray adds them up
        ({"CPU": 0.75, "GPU": 0.0}, 5 + 3 * 10),
    ],
)
def test_trials_at_once(demand: dict[str, float], num_trials: int) -> None:
    placement = place_trials([CPU_NODE, GPU_POOL], demand["CPU"], demand["GPU"])
    assert (placement.num_slots, placement.num_cohorts) == (num_trials, 0)


@pytest.mark.parametrize(("num_trials", "num_cohorts"), [(1, 1), (COHORT_SIZE, 1), (COHORT_SIZE + 1, 2), (1000, 6)])
def test_a_cohort_for_each_accelerator_as_many_as_are_needed(num_trials: int, num_cohorts: int) -> None:
    placement = place_cohorts([CPU_NODE, GPU_POOL], num_trials)
    assert (placement.cpus, placement.accelerators) == (1, 1)
    assert placement.num_cohorts == num_cohorts
    assert placement.num_slots == num_cohorts * COHORT_SIZE


@pytest.mark.parametrize(("num_trials", "cpus"), [(1, 16), (2, 8), (3, 5), (4, 4), (6, 4), (8, 2), (24, 1), (25, 0)])
def test_as_many_cores_as_let_all_trials_train_at_once(num_trials: int, cpus: int) -> None:
    kinds = [
        NodeKind(name="large", resources={"CPU": 16.0}, max_nodes=1),
        NodeKind(name="small", resources={"CPU": 4.0}, max_nodes=2),
    ]
    assert most_cpus(kinds, num_trials) == cpus


def test_without_accelerators_a_cohort_has_the_cores_of_a_node() -> None:
    placement = place_cohorts([CPU_NODE], 30)
    assert (placement.cpus, placement.accelerators, placement.num_cohorts) == (4, 0, 1)
    many_cores = NodeKind(name="big", resources={"CPU": 64.0}, max_nodes=2)
    assert place_cohorts([many_cores], 30).num_slots == 128
    with pytest.raises(CapacityError):
        place_cohorts([NodeKind(name="head", resources={}, max_nodes=1)], 30)


@pytest.mark.parametrize("demand", [{"CPU": 16.0, "GPU": 0.0}, {"CPU": 1.0, "GPU": 3.0}])
def test_a_trial_that_no_node_can_hold_is_refused_with_the_reason(demand: dict[str, float]) -> None:
    with pytest.raises(CapacityError) as caught:
        place_trials([CPU_NODE, GPU_POOL], demand["CPU"], demand["GPU"])
    assert f"{demand['CPU']:g} CPU" in caught.value.message
    assert "gpu: 8 CPU, 2 GPU" in caught.value.message


def test_a_head_without_cpus_holds_nothing() -> None:
    head = NodeKind(name="head", resources={"node:__internal_head__": 1.0}, max_nodes=1)
    assert head.trials_per_node({"CPU": 1.0}) == 0
    assert not has_accelerator([head, CPU_NODE])
    assert has_accelerator([head, GPU_POOL])


def test_of_a_cluster_that_grows_the_head_and_the_pools_count() -> None:
    head = NodeKind(name="head", resources={"CPU": 2.0, "node:__internal_head__": 1.0}, max_nodes=1)
    started = NodeKind(name="10.0.0.7", resources={"CPU": 8.0, "GPU": 1.0}, max_nodes=1)
    assert with_pools([head, started], ()) == [head, started]
    kinds = with_pools([head, started], read_pools("gpu:max=4,cpu=8,gpu=1"))
    assert [(kind.name, kind.max_nodes) for kind in kinds] == [("head", 1), ("gpu", 4)]


def test_workers_of_a_pool_that_the_head_has_not_been_told_of_count() -> None:
    h100 = NodeKind(name="10.0.0.8", resources={"CPU": 8.0, "GPU": 1.0}, max_nodes=1, accelerator="H100")
    kinds = with_pools([h100], read_pools("gpu:max=4,cpu=8,gpu=1,accelerator=T4"))
    assert [(kind.name, kind.max_nodes) for kind in with_accelerator(kinds, "H100")] == [("10.0.0.8", 1)]
    t4 = replace(h100, accelerator="T4")
    assert [kind.name for kind in with_pools([t4], read_pools("gpu:max=4,cpu=8,gpu=1,accelerator=T4"))] == ["gpu"]


def test_a_pool_that_is_switched_off_is_none() -> None:
    kinds = with_pools([], read_pools("gpu:max=0,cpu=4,gpu=1 cpu:max=4,cpu=8,gpu=0"))
    assert not has_accelerator(kinds)
    assert place(get_study("resnet"), SweepOptions(), kinds).num_slots == 32


def test_nodes_of_the_type_that_is_asked_for_count() -> None:
    kinds = with_pools([], read_pools("t4:max=4,cpu=8,gpu=1,accelerator=T4 any:max=2,cpu=8,gpu=1"))
    assert with_accelerator(kinds, None) == kinds
    assert [(kind.name, kind.max_nodes) for kind in with_accelerator(kinds, "T4")] == [("t4", 4)]
    with pytest.raises(CapacityError, match=r"type H100 \(nodes: t4: 8 CPU, 1 GPU \(T4\); any: 8 CPU, 1 GPU\)"):
        with_accelerator(kinds, "H100")


def test_a_sweeps_own_options_come_before_the_studys() -> None:
    resnet, cnn = get_study("resnet"), get_study("cnn")
    assert place(resnet, SweepOptions(), [CPU_NODE]).accelerators == 0
    assert place(resnet, SweepOptions(), [GPU_POOL]).accelerators == resnet.accelerators_per_trial
    assert place(resnet, SweepOptions(accelerators_per_trial=0.5), [GPU_POOL]).num_slots == 12
    assert place(cnn, SweepOptions(), [GPU_POOL]).num_cohorts == 2
    assert place(cnn, SweepOptions(no_cohort=True, cpus_per_trial=2), [CPU_NODE]).num_slots == 2
    with pytest.raises(ConfigurationError, match="train together"):
        place(cnn, SweepOptions(cpus_per_trial=2), [CPU_NODE])
