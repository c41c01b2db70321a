"""Compares searchers by sweeps of one study that differ in nothing else.

CIFAR_RAY_DATA=/path/to/cifar10 python -m benchmarks.searchers --seed 0 --searcher tpe --to FOLDER
cifar-ray results compare SWEEP SWEEP ... --storage FOLDER

The searchers are those of a sweep. ASHA is Ray Tune's own and gets the results of a pass in the order of the trials'
numbers: it stops fewer trials than a cohort's sweep, which judges a pass together (docs/decisions/0015). The trials
train as one cohort in this process, since starting Ray would take longer than these short trials. The number of
concurrent trials is the same for all searchers but `pbt`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, get_args

import click
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from cifar_ray.data.sources import load_images, resolve_source
from cifar_ray.data.split import TrainingData, split
from cifar_ray.provenance import cpu_model, now, package_versions, source_commit
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.layout import trial_id
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.studies.study import Searcher
from cifar_ray.training.cohort import Cohort
from cifar_ray.tuning.assignment import assigned_trial
from cifar_ray.tuning.epoch_report import asha_settings, to_result
from cifar_ray.tuning.listed_search import ListedSearch
from cifar_ray.tuning.resuming import search_fields
from cifar_ray.tuning.searchers import open_search


def sweep(
    study: Study, record: SweepRecord, data: TrainingData, runs: RunStore, num_threads: int, checkpoints: Path
) -> None:
    """Run the sweep and store its metrics."""
    first = study.sample(record.seed)
    search = ListedSearch(first) if study.searcher == "random" else open_search(study, record, first, runs)
    num_at_once = study.trials_at_once if study.searcher != "random" else study.with_searcher("tpe").trials_at_once
    scheduler = ASHAScheduler(**asha_settings(record.budget))
    store = FolderStore(checkpoints)
    cohort = Cohort(data, data_seed=record.seed, num_threads=num_threads)
    metrics: list[EpochMetrics] = []
    alive: set[str] = set()
    num_begun = 0
    while alive or num_begun < record.num_trials:
        while len(alive) < num_at_once and num_begun < record.num_trials:
            name = trial_id(num_begun)
            given: Any = search.suggest(name)
            if given is None:
                break
            cohort.add(assigned_trial(given, store, record.sweep_id))
            scheduler.on_trial_add(None, SimpleNamespace(trial_id=name))
            alive.add(name)
            num_begun += 1
        for line in cohort.train_epoch(alive):
            metrics.append(line)
            result = to_result(line)
            trial = SimpleNamespace(trial_id=line.trial_id)
            goes_on = scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE and line.is_finite
            if goes_on:
                search.on_trial_result(line.trial_id, result)
            else:
                cohort.remove(line.trial_id)
                alive.discard(line.trial_id)
                search.on_trial_complete(line.trial_id, result)
    cohort.close()
    runs.write_metrics(record.sweep_id, metrics)


def _thinned(source: str, num_images: int, seed: int) -> TrainingData:
    """About `num_images`, evenly spread over the training images, split as in a sweep."""
    images = load_images(source, "train", read_settings())
    step = max(1, len(images.labels) // num_images)
    name = f"{images.name}, every {step}th image"
    return split(replace(images, name=name, images=images.images[::step], labels=images.labels[::step]), seed)


@click.command()
@click.option("--study", "name", default="cnn", show_default=True)
@click.option("--searcher", type=click.Choice(get_args(Searcher)), required=True)
@click.option("--seed", type=int, required=True)
@click.option("--trials", type=int, default=40, show_default=True)
@click.option("--max-epochs", type=int, default=8, show_default=True)
@click.option("--images", type=int, default=10_000, show_default=True, help="Of the training part.")
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="A store's folder.")
def main(
    name: str, searcher: Searcher, seed: int, trials: int, max_epochs: int, images: int, threads: int, folder: Path
) -> None:
    """Run one sweep and store its record and metrics."""
    study = get_study(name).with_budget(num_trials=trials, max_epochs=max_epochs).with_searcher(searcher).with_seeds(0)
    if not study.is_cohort:
        raise click.UsageError(f"the trials of {name} do not train in a cohort, as those here do: take `cnn`")
    data = _thinned(resolve_source(None, read_settings()), images, seed)
    record = SweepRecord(
        sweep_id=f"{name}-{searcher}-{seed}",
        **search_fields(study, SweepOptions(seed=seed)),
        accelerators_per_trial=0.0,
        cpus_per_trial=float(threads),
        dataset=data.record,
        versions=package_versions(),
        commit=source_commit(),
        hardware={"cpu_model": cpu_model(), "cpus": str(threads)},
        started_at=now(),
        is_cohort=True,
    )
    runs = RunStore(FolderStore(folder.absolute()))
    runs.create_sweep(record)
    with TemporaryDirectory() as checkpoints:
        sweep(study, record, data, runs, threads, Path(checkpoints))
    metrics = runs.metrics(record.sweep_id)
    best = max(line.validation_accuracy for line in metrics)
    click.echo(f"{record.sweep_id}: {len(metrics)} epochs, best validation accuracy {100 * best:.2f} %")


if __name__ == "__main__":
    main()
