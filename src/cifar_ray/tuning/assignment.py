"""What Ray Tune hands a trial: which one it is, its settings, and whose weights it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.object_store import ObjectStore
from cifar_ray.studies import TrialConfig

if TYPE_CHECKING:
    from cifar_ray.training.learner import Trial


def assign(trial_id: str, settings: Mapping[str, Any], parent: str | None = None) -> dict[str, Any]:
    """The assignment as plain values; `parent` is the trial from whose last weights this one starts."""
    return {"trial_id": trial_id, "settings": dict(settings), "parent": parent}


def assigned_trial(assignment: Mapping[str, Any], store: ObjectStore, sweep_id: str) -> Trial:
    """The assigned trial, with its checkpoints in `store`, and its parent's, if any. Loads torch."""
    from cifar_ray.training.learner import Trial  # noqa: PLC0415  # the driver assigns trials and needs no torch

    parent = assignment["parent"]
    return Trial(
        trial_id=assignment["trial_id"],
        config=TrialConfig.from_dict(assignment["settings"]),
        checkpoints=CheckpointStore(store, sweep_id, assignment["trial_id"]),
        parent=None if parent is None else CheckpointStore(store, sweep_id, parent),
    )
