"""Finds the objects of a sweep that nobody needs any more."""

from __future__ import annotations

from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore

NUM_NEWEST = 2
"""Of an unfinished trial's checkpoints: the newest, and the one before should that be damaged."""


def surplus(runs: RunStore, sweep_id: str) -> dict[str, int]:
    """Keys and bytes of what may go; UnknownNameError where there is no such sweep.

    Of a finished sweep: Ray Tune's own state, and all checkpoints but the winner's best. Of another: what no resumed
    trial and no future winner needs, that is all checkpoints but each trial's best and two newest, and parts of none.
    """
    runs.sweep(sweep_id)
    sizes = runs.objects.sizes(sweep_id)
    result = runs.result(sweep_id)
    trials = {found[0] for key in sizes if (found := layout.checkpoint_of(key))}
    if result is None:
        needed = {(trial, epoch) for trial in trials for epoch in _needed_epochs(runs, sweep_id, trial)}
        state = None
    else:
        winner = result.winner
        needed = {(winner.trial_id, winner.best_epoch)} if winner and winner.best_epoch else set()
        state = f"{layout.tune_state(sweep_id)}/"
    return {
        key: size
        for key, size in sizes.items()
        if ((found := layout.checkpoint_of(key)) and found not in needed) or (state and key.startswith(state))
    }


def _needed_epochs(runs: RunStore, sweep_id: str, trial: str) -> set[int]:
    checkpoints = CheckpointStore(runs.objects, sweep_id, trial)
    # one whose manifest is damaged is of no use, and is passed over when it is looked for
    best = checkpoints.by_accuracy(lambda message: None)[:1]
    return {*best, *checkpoints.epochs()[-NUM_NEWEST:]}
