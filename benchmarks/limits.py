"""Measures what limits a large sweep: ASHA's decisions, its records, the store, and the simulation of `plan`.

python -m benchmarks.limits
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from benchmarks.s3 import running_s3
from cifar_ray.planning.counted_asha import CountedASHA
from cifar_ray.records import EpochMetrics
from cifar_ray.settings import S3Settings
from cifar_ray.storage.object_store import ObjectStore, open_store
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Budget
from cifar_ray.tuning.epoch_report import METRIC, TIME_ATTRIBUTE, asha_settings

NUM_IMAGES = 5000
ROUNDS = 5
SIMULATION = """
import re, sys, time
from pathlib import Path
from cifar_ray.planning.curve_model import model_bank
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.simulation import simulate
from cifar_ray.planning.timing import assumed_timing
from cifar_ray.studies import get_study

def peak_mib():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

study, num_trials, num_workers = get_study("resnet"), int(sys.argv[1]), int(sys.argv[2])
bank = model_bank(study, 60.0)
budget = study.with_budget(num_trials=num_trials).budget
# reset the peak that Linux has recorded
Path("/proc/self/clear_refs").write_text("5")
before, began = peak_mib(), time.process_time()
outcome = simulate(budget, bank, assumed_timing(60.0, is_cohort=False), Fleet(num_workers=num_workers), 0)
print(f"{time.process_time() - began:.1f} s of one core, {peak_mib() - before:.1f} MiB beyond {before:.0f}; "
      f"{outcome.num_epochs:,} epochs; virtual time {outcome.wall_s:,.0f} s, driver busy {outcome.driver_s:,.0f}")
"""


def main() -> None:
    """Print every reading."""
    for num_recorded in (1_000, 10_000, 100_000):
        own, ours = _decision_s(num_recorded)
        print(
            f"ASHA, a result in a rung of {num_recorded:,}: Ray Tune's {1e3 * own:.3f} ms, counted {1e3 * ours:.4f} ms"
        )
    for num_trials, num_workers in ((10_000, 10_000), (100_000, 10_000)):
        command = [sys.executable, "-c", SIMULATION, str(num_trials), str(num_workers)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        print(f"simulation, {num_trials:,} trials on {num_workers:,} workers: {done.stdout.strip()}")
    with running_s3() as s3:
        os.environ.update(s3.environ)
        settings = S3Settings(endpoint_url=f"http://{s3.host}:{s3.port}", region="us-east-1")
        store = open_store(s3.storage, settings)
        _measure_books(RunStore(store))
        _measure_puts(store)


def _decision_s(num_recorded: int) -> tuple[float, float]:
    """Median seconds that Ray Tune's scheduler and the counted one take for one more result in a full rung."""
    from ray.tune.schedulers import ASHAScheduler  # noqa: PLC0415  # after the first line is out

    budget = Budget(num_trials=1, max_epochs=30)
    rng = random.Random(0)
    accuracies = [rng.randrange(NUM_IMAGES) / NUM_IMAGES for _ in range(num_recorded)]
    own, ours = ASHAScheduler(**asha_settings(budget)), CountedASHA(budget, NUM_IMAGES)
    first = own._brackets[0]._rungs[-1][1]
    counted = ours._brackets[0]._rungs[-1][1]
    for index, accuracy in enumerate(accuracies):
        first[str(index)] = counted[str(index)] = accuracy

    def report(scheduler: ASHAScheduler, number: int) -> None:
        trial = SimpleNamespace(trial_id=f"new {number}")
        scheduler.on_trial_add(None, trial)
        scheduler.on_trial_result(None, trial, {TIME_ATTRIBUTE: 1, METRIC: rng.randrange(NUM_IMAGES) / NUM_IMAGES})

    return _median_s(lambda number: report(own, number)), _median_s(lambda number: report(ours, number))


def _measure_books(runs: RunStore) -> None:
    """metrics.jsonl is written whole, by a thread for which each result copies the list of lines."""
    for num_lines in (1_000, 10_000, 100_000):
        lines = {
            (f"t{index // 3:05d}", index % 3): EpochMetrics(
                trial_id=f"t{index // 3:05d}",
                epoch=index % 3 + 1,
                train_loss=1.9648985862731934,
                train_accuracy=0.2496444433927536,
                validation_loss=1.6700804233551025,
                validation_accuracy=0.3898,
                learning_rate=0.003008186690550985,
                seconds=52.54319149300136,
                device="cpu, bf16-mixed",
                node="10.0.0.1",
                ended_at="2026-11-25T20:00:00.000+00:00",
            )
            for index in range(num_lines)
        }
        put_s = _median_s(lambda number, lines=lines: runs.write_metrics("limits", lines.values()), rounds=3)  # type: ignore[misc]
        copy_s = _median_s(lambda number, lines=lines: list(lines.values()))  # type: ignore[misc]
        num_bytes = sum(len(line.to_json(indent=None)) + 1 for line in list(lines.values())[:100]) / 100 * num_lines
        print(
            f"books, {num_lines:,} epochs: metrics.jsonl of {num_bytes / 1e6:.1f} MB put in {put_s:.2f} s; "
            f"the copy of its lines at each result {1e3 * copy_s:.3f} ms"
        )


def _measure_puts(store: ObjectStore) -> None:
    """Write objects of the size of a trial's record."""
    for num_threads in (1, 16):
        num_puts = 200 * (1 if num_threads == 1 else 5)
        with ThreadPoolExecutor(num_threads) as threads:
            began = time.perf_counter()
            list(threads.map(lambda number: store.write(f"limits/{number}", b"x" * 1500), range(num_puts)))
            print(
                f"store, {num_threads} at once: {num_puts / (time.perf_counter() - began):,.0f} puts of 1.5 kB a second"
            )


def _median_s(work: Callable[[int], object], rounds: int = ROUNDS) -> float:
    readings = []
    for number in range(rounds):
        began = time.perf_counter()
        work(number)
        readings.append(time.perf_counter() - began)
    return sorted(readings)[len(readings) // 2]


if __name__ == "__main__":
    main()
