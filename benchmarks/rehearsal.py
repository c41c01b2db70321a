"""Compares the simulation of `plan` with Ray Tune's own loop, on the same sleeping trials.

    python -m benchmarks.rehearsal

A trial sleeps through its epochs and reports a sampled curve, so that the machine's speed and load do not matter; Ray
counts logical CPUs. The simulation knows curves and epoch times, and of Ray only its usual overheads.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from cifar_ray.planning.counted_asha import METRIC, TIME_ATTRIBUTE, asha_settings
from cifar_ray.planning.curve_bank import TrialCurve
from cifar_ray.planning.curve_model import model_bank
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.search import drawn
from cifar_ray.planning.simulation import simulate
from cifar_ray.planning.timing import Timing
from cifar_ray.studies import Budget, get_study

EPOCH_S = 0.5
MAX_EPOCHS = 9
MOST_WORKERS = 6


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A sweep."""

    num_workers: int
    num_trials: int = 24
    reduction_factor: int = 3
    seed: int = 0


SETTINGS = (
    Setting(num_workers=2),
    Setting(num_workers=4),
    Setting(num_workers=6),
    Setting(num_workers=4, reduction_factor=2),
    Setting(num_workers=4, num_trials=48),
    Setting(num_workers=4, seed=1),
)


def main() -> None:
    """Print real and simulated wall times of each setting."""
    import ray  # noqa: PLC0415  # after its environment is set

    os.environ.update({"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"})
    study = get_study("cnn").with_budget(max_epochs=MAX_EPOCHS)
    bank = model_bank(study, EPOCH_S)
    ray.init(num_cpus=MOST_WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    timing = replace(Timing(), setup_s=0.0, teardown_s=0.0)
    for setting in SETTINGS:
        budget = Budget(num_trials=setting.num_trials, max_epochs=MAX_EPOCHS, reduction_factor=setting.reduction_factor)
        curves = list(islice(drawn(bank, setting.seed), setting.num_trials))
        real_s, num_real = _run_for_real(budget, curves, setting.num_workers)
        outcome = simulate(
            budget, bank, timing, Fleet(num_workers=setting.num_workers), setting.seed, curves=iter(curves)
        )
        print(
            f"{setting.num_workers} workers, {setting.num_trials} trials, factor {setting.reduction_factor}, seed "
            f"{setting.seed}: real {real_s:.1f} s from the first epoch to the last, {num_real} epochs; simulated "
            f"{outcome.wall_s:.1f} s ({100 * (outcome.wall_s / real_s - 1):+.0f} %), {outcome.num_epochs} epochs",
            flush=True,
        )


def _run_for_real(budget: Budget, curves: list[TrialCurve], num_workers: int) -> tuple[float, int]:
    """Run by Ray Tune: seconds from the start of the first epoch to the end of the last, and the number of epochs."""
    from ray import tune  # noqa: PLC0415
    from ray.tune.schedulers import ASHAScheduler  # noqa: PLC0415

    def sleep(config: dict[str, Any]) -> None:
        for epoch, accuracy in enumerate(curves[config["index"]].accuracies, 1):
            began = time.time()
            time.sleep(EPOCH_S)
            tune.report({TIME_ATTRIBUTE: epoch, METRIC: accuracy, "began": began, "ended": time.time()})

    with tempfile.TemporaryDirectory() as folder:
        settings = {key: value for key, value in asha_settings(budget).items() if key not in ("metric", "mode")}
        results = tune.Tuner(
            tune.with_resources(sleep, {"CPU": 1}),
            param_space={"index": tune.grid_search(list(range(len(curves))))},
            tune_config=tune.TuneConfig(
                metric=METRIC,
                mode="max",
                scheduler=ASHAScheduler(**settings),
                max_concurrent_trials=num_workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
    last = [result.metrics for result in results if result.metrics]
    num_epochs = sum(int(each[TIME_ATTRIBUTE]) for each in last)
    # a trial's first epoch began this long before its last one ended
    begin = min(each["ended"] - each["time_total_s"] for each in last)
    return max(each["ended"] for each in last) - begin, num_epochs


if __name__ == "__main__":
    main()
