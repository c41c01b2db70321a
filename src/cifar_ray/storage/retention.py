"""Finds the objects of a sweep that may be removed, and removes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cifar_ray.errors import ConfigurationError
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.storage.uploading import epochs_to_keep

# scores before the result: otherwise that of a resumed sweep would be given those of another winner. Records of trials
# before their checkpoints: otherwise a resumed sweep would count them, and not train them again. Their epochs next:
# otherwise they would be counted as those of other trials of the same number, which a searcher chooses anew
_FIRST = ("test_scores.json", layout.RESULT, "trial.json", "metrics.jsonl", layout.MANIFEST)


def surplus(runs: RunStore, sweep_id: str) -> dict[str, int]:
    """Keys and bytes of what may be removed.

    In a finished sweep, all checkpoints but the best of its winner and, if it had finals, of each training of their
    winner. In any other, what neither a resumed trial nor a future winner needs: all checkpoints but each trial's best
    and two newest. Incomplete ones may go, too. UnknownNameError where there is no such sweep; ConfigurationError for
    finals, which go with their sweep.
    """
    if parent := runs.sweep(sweep_id).parent:
        # the best training may be of a configuration that lost, and a driver at work holds the lease of the parent
        raise ConfigurationError(f"{sweep_id!r} are the finals of {parent!r}", "name that sweep, which they belong to")
    result = runs.result(sweep_id)
    winner = result.winner if result else None
    chosen = result.finals.winner if result and result.finals else None
    found = _surplus(runs, sweep_id, None if result is None else [winner.trial_id] if winner else [])
    nested = runs.finals(sweep_id)
    retrained = [each.trial_id for each in chosen.retrainings] if chosen else []
    in_finals = _surplus(nested, layout.finals(sweep_id), None if result is None else retrained)
    found |= {f"{sweep_id}/{key}": size for key, size in in_finals.items()}
    return {key: found[key] for key in manifests_first(found)}


def everything(runs: RunStore, sweep_id: str) -> dict[str, int]:
    """Keys and bytes of all that there is of a sweep but a lease; UnknownNameError where there is no such sweep.

    In the order in which to remove them. Broken off, that leaves a sweep without test scores or one that has not
    finished: it can be removed again, and a driver that resumes it trains what is missing.
    """
    if not runs.has_sweep(sweep_id):
        runs.sweep(sweep_id)  # raises the error that names similar ones
    sizes = runs.objects.sizes(sweep_id)
    sizes.pop(layout.lease(sweep_id), None)
    in_finals = f"{sweep_id}/{layout.finals(sweep_id)}/"

    def place(key: str) -> tuple[bool, bool, int]:
        name = key.rpartition("/")[2]
        stage = _FIRST.index(name) if name in _FIRST else len(_FIRST)
        is_ahead = key.startswith(in_finals) or key in (layout.test_scores(sweep_id), layout.result(sweep_id))
        return not is_ahead, name == layout.SWEEP_RECORD, stage

    # of the trials the last: a driver counts those that there are
    order = sorted(sorted(sizes, reverse=True), key=place)
    return {key: sizes[key] for key in order}


def manifests_first(keys: Iterable[str]) -> list[str]:
    """The order in which to remove checkpoints: broken off, it leaves none that looks whole."""
    return sorted(keys, key=lambda key: not key.endswith(layout.MANIFEST))


def _surplus(runs: RunStore, sweep_id: str, chosen: Iterable[str] | None) -> dict[str, int]:
    """For a sweep or its finals: all but the best of the `chosen` trials, which is None while it has not finished."""
    sizes = runs.objects.sizes(sweep_id)
    trials = {found[0] for key in sizes if (found := layout.checkpoint_of(key))}
    needed = (
        {(trial, epoch) for trial in trials for epoch in _epochs_to_keep(runs, sweep_id, trial)}
        if chosen is None
        else {(trial, _epoch_to_score(runs, sweep_id, trial)) for trial in chosen}
    )
    return {key: size for key, size in sizes.items() if (found := layout.checkpoint_of(key)) and found not in needed}


def remove_keys(runs: RunStore, keys: Iterable[str], is_lost: Callable[[], bool] = lambda: False) -> int:
    """Delete these objects, in their order, until `is_lost()`; returns the number deleted."""
    number = 0
    for key in keys:
        if is_lost():
            break
        runs.objects.delete(key)
        number += 1
    return number


def _epoch_to_score(runs: RunStore, sweep_id: str, trial: str) -> int | None:
    """The epoch that the evaluation takes, by the manifests: the records may differ if an epoch was trained again."""
    best = CheckpointStore(runs.objects, sweep_id, trial).load_best(lambda message: None)
    return best.epoch if best else None


def _epochs_to_keep(runs: RunStore, sweep_id: str, trial: str) -> set[int]:
    """The epochs that the trial itself would keep. One with a damaged manifest is of no use to anybody."""
    return epochs_to_keep(CheckpointStore(runs.objects, sweep_id, trial).accuracies(lambda message: None))
