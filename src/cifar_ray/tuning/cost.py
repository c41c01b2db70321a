"""Counts how much of its cluster a sweep holds, how much of that was useful, and what it costs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import ray

from cifar_ray.capacity import ACCELERATOR, TYPE_LABEL
from cifar_ray.prices import Prices
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.resource_use import Cost, ResourceUse

PERIOD_S = 1.0
"""Seconds between two counts."""
LOOK_PERIOD_S = 30.0
"""Seconds between two looks at the cluster's nodes."""
SPOT = "spot"
MARKET_LABEL = "ray.io/market-type"
UNKNOWN = "unknown on_demand"


class Meter:
    """Adds up, over all drivers of a sweep, the seconds of accelerators (or of cores) that it holds."""

    def __init__(self, sweep: SweepRecord, before: ResourceUse) -> None:
        """`before` is what earlier drivers have counted."""
        self._sweep = sweep
        self.use = before
        self._counted = time.monotonic()
        self._looked = float("-inf")

    def is_due(self) -> bool:
        """Whether it is time to count."""
        return time.monotonic() - self._counted >= PERIOD_S

    def count(self, num_held: int) -> None:
        """Add the time since the last count, in which `num_held` trials or cohorts held their devices."""
        now = time.monotonic()
        held_s = (now - self._counted) * self._sweep.num_held * num_held
        self._counted = now
        nodes = self.use.nodes
        if now - self._looked > LOOK_PERIOD_S and ray.is_initialized():
            self._looked = now
            nodes = with_kinds(nodes, ray.nodes(), self._sweep.device)
        self.use = replace(self.use, held_s=self.use.held_s + held_s, nodes=nodes)

    def repeat(self, line: EpochMetrics) -> None:
        """Count an epoch that was trained again."""
        repeated_s = self.use.repeated_s + line.share_s * self._sweep.num_held
        self.use = replace(self.use, repeated_s=repeated_s)


def node_kind(node: Mapping[str, Any], device: str) -> str:
    """A node's kind as a price table names it, such as `A100 spot` or `CPU on_demand`."""
    labels = node.get("Labels") or {}
    accelerator = labels.get(TYPE_LABEL) or "unknown"
    market = SPOT if labels.get(MARKET_LABEL) == SPOT else "on_demand"
    return f"{'CPU' if device == 'core' else accelerator} {market}"


def with_kinds(known: Mapping[str, str], nodes: Iterable[Mapping[str, Any]], device: str) -> dict[str, str]:
    """`known`, and by address the kinds of those `nodes` that have the device.

    An address with nodes of several kinds, as where one machine hosts several pools, is of unknown kind.
    """
    kinds = dict(known)
    for node in nodes:
        if device == "core" or node.get("Resources", {}).get(ACCELERATOR, 0) > 0:
            address, kind = str(node["NodeManagerAddress"]), node_kind(node, device)
            kinds[address] = kind if kinds.get(address, kind) == kind else UNKNOWN
    return kinds


def cost_of(
    sweep: SweepRecord,
    use: ResourceUse,
    trials: Iterable[TrialRecord],
    metrics: Iterable[EpochMetrics],
    prices: Prices | None,
) -> Cost:
    """The cost of a sweep that has ended."""
    failed = {trial.trial_id for trial in trials if trial.outcome == "failed"}
    seconds: defaultdict[bool, float] = defaultdict(float)
    kinds: defaultdict[str, float] = defaultdict(float)
    for line in metrics:
        share = line.share_s * sweep.num_held
        seconds[line.trial_id in failed] += share
        kinds[use.nodes.get(str(line.node), UNKNOWN)] += share
    trained_s = seconds[False] + seconds[True] + use.repeated_s
    cost = Cost(
        device=sweep.device,
        # epochs are timed where they are trained, and held time by the driver: their sum may exceed it
        held_s=max(use.held_s, trained_s),
        useful_s=seconds[False],
        failed_s=seconds[True],
        repeated_s=use.repeated_s,
    )
    return _priced(cost, kinds, prices) if prices else cost


def _priced(cost: Cost, kinds: Mapping[str, float], prices: Prices) -> Cost:
    """Price the held time, split between the kinds of nodes in proportion to the training on each."""
    total, price = sum(kinds.values()), 0.0
    if not total and cost.held_s:
        return replace(cost, remark="no epoch tells on which nodes its trials were")
    for kind, trained_s in kinds.items():
        accelerator, market = kind.split(" ")
        rate = prices.rate(accelerator, market)
        if rate is None:
            return replace(cost, remark=f"the table of prices has no {market} price of {accelerator}")
        price += cost.held_s / 3600 * trained_s / total * rate
    return replace(cost, price=price, currency=prices.currency)
