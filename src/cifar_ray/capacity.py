"""How many trials of a sweep fit the cluster at once, now and at its autoscaler's limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cifar_ray.errors import CapacityError, ConfigurationError
from cifar_ray.settings import WorkerPool
from cifar_ray.studies import Study
from cifar_ray.studies.options import SweepOptions

ACCELERATOR = "GPU"
TYPE_LABEL = "ray.io/accelerator-type"
"""Ray's label of a node for the type of its accelerators."""
COHORT_SIZE = 16
"""Trials that train as one network: more gain little (docs/performance.md)."""
TRIALS_PER_CPU = 2
"""Trials per core in a cohort, on a node with many cores."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a sweep's trials are spread over the cluster."""

    cpus: float
    """For each trial, or each cohort."""
    accelerators: float
    """For each trial, or each cohort."""
    num_cohorts: int
    """0 where each trial trains by itself."""
    num_slots: int
    """Trials that can train at once."""


@dataclass(frozen=True, kw_only=True)
class NodeKind:
    """Nodes of one size."""

    name: str
    resources: Mapping[str, float]
    max_nodes: int
    """How many there are, or may become."""
    accelerator: str = ""
    """The type of its accelerators, as Ray names it; empty where it has none, or the type is unknown."""

    def __str__(self) -> str:
        size = f"{self.name}: {self.resources.get('CPU', 0):g} CPU, {self.resources.get(ACCELERATOR, 0):g} GPU"
        return f"{size} ({self.accelerator})" if self.accelerator else size

    def trials_per_node(self, demand: Mapping[str, float]) -> int:
        """How many trials fit one node."""
        asked = {name: amount for name, amount in demand.items() if amount > 0}
        shares = [_fits(name, self.resources.get(name, 0.0), amount) for name, amount in asked.items()]
        return min(shares, default=0)


def _fits(name: str, available: float, amount: float) -> int:
    """How often `amount` fits; a share of an accelerator never spans two of them, one of the cores may."""
    if name == ACCELERATOR and amount < 1:
        return math.floor(available) * math.floor(1 / amount + 1e-9) + math.floor(
            (available - math.floor(available)) / amount + 1e-9
        )
    return math.floor(available / amount + 1e-9)


def with_pools(alive: Sequence[NodeKind], pools: Sequence[WorkerPool]) -> list[NodeKind]:
    """The nodes that the cluster may have: those alive or, where there are `pools`, these and the head node.

    Also living workers of none of the pools: theirs was added after the head node started, so its environment lacks it.
    """
    if not pools:
        return list(alive)
    # a pool's maximum includes the nodes that it has already started
    others = [
        kind
        for kind in alive
        if "node:__internal_head__" in kind.resources or not any(_is_of(kind, pool) for pool in pools)
    ]
    return others + [
        NodeKind(
            name=pool.name,
            resources={"CPU": pool.num_cpus, ACCELERATOR: pool.num_gpus},
            max_nodes=pool.max_nodes,
            accelerator=pool.accelerator,
        )
        for pool in pools
        if pool.max_nodes > 0
    ]


def _is_of(kind: NodeKind, pool: WorkerPool) -> bool:
    """Whether the pool may have started such a node."""
    has_its_number = kind.resources.get(ACCELERATOR, 0.0) == pool.num_gpus
    return has_its_number and (not pool.accelerator or pool.accelerator == kind.accelerator)


def with_accelerator(kinds: Sequence[NodeKind], accelerator: str | None) -> list[NodeKind]:
    """Those with that type of accelerator, or all where it is None; CapacityError where there are none."""
    found = [kind for kind in kinds if accelerator in (None, kind.accelerator)]
    if kinds and not found:
        raise CapacityError(
            f"no node has an accelerator of type {accelerator} (nodes: {_listed(kinds)})",
            "give --accelerator one of theirs, or leave it out to take any",
        )
    return found


def has_accelerator(kinds: Sequence[NodeKind]) -> bool:
    """Whether any node has an accelerator."""
    return any(kind.resources.get(ACCELERATOR, 0) > 0 for kind in kinds)


def is_in_cohorts(study: Study, options: SweepOptions) -> bool:
    """Whether its trials train in cohorts; ConfigurationError where they do and yet `options` give each a share."""
    if not study.is_cohort or options.no_cohort:
        return False
    if (options.cpus_per_trial, options.accelerators_per_trial) != (None, None):
        raise ConfigurationError(
            f"the trials of {study.name} train together, on all that a node has",
            "add --no-cohort to give each of them --cpus-per-trial or --accelerators-per-trial",
        )
    return True


def place(study: Study, options: SweepOptions, kinds: Sequence[NodeKind]) -> Placement:
    """The placement of a sweep with these options; CapacityError where no node can ever hold one of its trials."""
    if is_in_cohorts(study, options):
        return place_cohorts(kinds, study.trials_at_once)
    return place_without_cohorts(study, options, kinds)


def place_without_cohorts(study: Study, options: SweepOptions, kinds: Sequence[NodeKind]) -> Placement:
    """As `place`, for trials that each train by themselves, whatever the study says."""
    cpus, accelerators = options.cpus_per_trial, options.accelerators_per_trial
    if accelerators is None:
        accelerators = study.accelerators_per_trial if has_accelerator(kinds) else 0.0
    return place_trials(kinds, 1.0 if cpus is None else cpus, accelerators)


def place_trials(kinds: Sequence[NodeKind], cpus: float, accelerators: float) -> Placement:
    """As many trials as fit, each training by itself; CapacityError where no node can ever hold one."""
    num_fitting = _count_fitting(kinds, {"CPU": cpus, ACCELERATOR: accelerators})
    return Placement(cpus=cpus, accelerators=accelerators, num_cohorts=0, num_slots=num_fitting)


def place_cohorts(kinds: Sequence[NodeKind], num_trials: int) -> Placement:
    """As few cohorts as hold the trials: one for each accelerator, or one for all cores of a node without."""
    if has_accelerator(kinds):
        cpus, accelerators = 1.0, 1.0
    else:
        cpus, accelerators = float(math.floor(max((kind.resources.get("CPU", 0.0) for kind in kinds), default=0))), 0.0
    num_fitting = _count_fitting(kinds, {"CPU": max(cpus, 1.0), ACCELERATOR: accelerators})
    size = max_cohort_size(cpus)
    num_cohorts = min(num_fitting, math.ceil(num_trials / size))
    return Placement(cpus=cpus, accelerators=accelerators, num_cohorts=num_cohorts, num_slots=num_cohorts * size)


def max_cohort_size(cpus: float) -> int:
    """The most members of a cohort on `cpus` cores."""
    return max(COHORT_SIZE, TRIALS_PER_CPU * int(cpus))


def most_cpus(kinds: Sequence[NodeKind], num_trials: int) -> int:
    """The most cores that each of so many trials can have, all at once; 0 where not all have one."""
    largest = math.floor(max((kind.resources.get("CPU", 0.0) for kind in kinds), default=0))
    return next((cpus for cpus in range(largest, 0, -1) if _num_fitting(kinds, {"CPU": cpus}) >= num_trials), 0)


def _num_fitting(kinds: Sequence[NodeKind], demand: Mapping[str, float]) -> int:
    return sum(kind.trials_per_node(demand) * kind.max_nodes for kind in kinds)


def _count_fitting(kinds: Sequence[NodeKind], demand: Mapping[str, float]) -> int:
    """How often the demand fits the cluster; CapacityError where no node can ever meet it."""
    total = _num_fitting(kinds, demand)
    if total < 1:
        asked = ", ".join(f"{amount:g} {name}" for name, amount in demand.items() if amount > 0)
        raise CapacityError(
            f"no node can hold one trial, which asks for {asked} (nodes: {_listed(kinds)})",
            "lower --cpus-per-trial or --accelerators-per-trial, or add larger nodes",
        )
    return total


def _listed(kinds: Sequence[NodeKind]) -> str:
    return "; ".join(map(str, kinds)) or "none"
