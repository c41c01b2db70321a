"""What a sweep's record says of a driver: its options, source, packages and nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifar_ray.capacity import ACCELERATOR, NodeKind, Placement
from cifar_ray.provenance import cpu_model, now, package_versions, source_commit
from cifar_ray.records import DatasetRecord, SweepRecord
from cifar_ray.studies import Study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.tuning.resuming import search_fields


def describe_sweep(
    sweep_id: str,
    study: Study,
    options: SweepOptions,
    placement: Placement,
    kinds: list[NodeKind],
    dataset: DatasetRecord,
) -> SweepRecord:
    """The record of a sweep that would begin now."""
    return SweepRecord(
        **search_fields(study, options),
        sweep_id=sweep_id,
        accelerators_per_trial=placement.accelerators,
        cpus_per_trial=placement.cpus,
        dataset=dataset,
        **driver_provenance(kinds),
        started_at=now(),
        is_cohort=placement.num_cohorts > 0,
    )


def driver_provenance(kinds: list[NodeKind]) -> dict[str, Any]:
    """The fields of a record that say by what source and packages, and on what, this driver runs."""
    return {"versions": package_versions(), "commit": source_commit(), "hardware": _hardware(kinds)}


def _hardware(kinds: list[NodeKind]) -> Mapping[str, str]:
    def total(name: str) -> str:
        return f"{sum(kind.resources.get(name, 0) * kind.max_nodes for kind in kinds):g}"

    return {
        "nodes": str(sum(kind.max_nodes for kind in kinds)),
        "cpus": total("CPU"),
        "cpu_model": cpu_model(),
        "accelerators": total(ACCELERATOR),
        "accelerator_types": ", ".join(sorted({kind.accelerator for kind in kinds if kind.accelerator})),
    }
