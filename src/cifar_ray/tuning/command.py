"""The command line of a tuning job: makes a checked plan of the options, then runs the sweep."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path

import click

from cifar_ray.capacity import (
    NodeKind,
    most_cpus,
    place,
    place_without_cohorts,
    with_accelerator,
)
from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.sources import load_images, resolve_source
from cifar_ray.data.split import split
from cifar_ray.errors import (
    CifarRayError,
    DataError,
    StorageError,
    SweepExistsError,
)
from cifar_ray.finals import describe
from cifar_ray.prices import read_prices
from cifar_ray.provenance import Resumption, now
from cifar_ray.records import SweepRecord, SweepResult
from cifar_ray.settings import Settings, read_settings
from cifar_ray.storage import layout
from cifar_ray.storage.object_store import ObjectStore, open_store
from cifar_ray.storage.patient_store import PATIENCE_S, PatientStore, may_come_up
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import VALIDATION_SHARE, Study, TrialConfig, fits_cohort, get_study, study_files
from cifar_ray.studies.flags import sweep_flags
from cifar_ray.studies.options import SweepOptions
from cifar_ray.studies.study_file import parse_study
from cifar_ray.studies.trial_config import check_effects
from cifar_ray.tuning.best_of import read_best
from cifar_ray.tuning.connecting import connect, is_on_cluster
from cifar_ray.tuning.description import describe_sweep, driver_provenance
from cifar_ray.tuning.finals import keep_chosen, run_with_finals
from cifar_ray.tuning.nodes import read_node_kinds
from cifar_ray.tuning.preflight import check_every_node, choose_storage
from cifar_ray.tuning.resuming import (
    as_begun,
    check_drawn,
    check_finished,
    check_same,
    find_begun,
    has_more_trials,
)
from cifar_ray.tuning.signals import only_driver
from cifar_ray.tuning.sweep import SweepPlan
from cifar_ray.tuning.trackers import check_trackers
from cifar_ray.wording import counted

STORE_PERIOD_S = 5.0
"""Between two looks for a store that is not up yet."""


def tune_command(study_name: str) -> click.Command:
    """The command of the study's `jobs/tune_*.py`."""
    study = get_study(study_name)

    @click.command(
        help=f"Sweep the study {study.name!r} ({study.title}) with ASHA on the Ray cluster that this runs on: "
        f"{study.budget.num_trials} trials of at most {study.budget.max_epochs} epochs by default."
    )
    @sweep_flags
    def command(options: SweepOptions) -> None:
        connect()
        run_job(study, options, read_settings())

    return command


def tune_own_command(folder: Path) -> click.Command:
    """The command of `jobs/tune_own.py`: the study is defined by a file in the folder."""

    @click.command()
    @click.argument("name", metavar="STUDY")
    @sweep_flags
    def command(name: str, options: SweepOptions) -> None:
        """Sweep the study that STUDY.toml, beside this script, defines, on the Ray cluster that this runs on."""
        study = get_study(name, study_files(folder))
        connect()
        run_job(study, options, read_settings())

    return command


def run_job(study: Study, options: SweepOptions, settings: Settings) -> None:
    """Check everything that can be checked at once, then run the sweep on the connected cluster."""
    ends_at = None if options.time_limit_s is None else time.monotonic() + options.time_limit_s
    if not options.resume:
        options.adapt(study)  # rejects values out of range before the cluster or the store is asked
    sweep_id = layout.check_sweep_id(options.sweep_id or layout.new_id(study.name))
    check_trackers(settings)
    prices = read_prices(settings.prices) if settings.prices else None
    kinds = read_node_kinds(settings.worker_pools)
    fitting = with_accelerator(kinds, options.accelerator)
    storage = choose_storage(options.storage, settings, num_nodes=sum(kind.max_nodes for kind in kinds))
    store = open_store(storage, settings.s3)
    patient = PatientStore(store)
    runs = RunStore(patient)
    _check_store(store, options)
    with only_driver(store, sweep_id, patient):
        recorded = _find_recorded(runs, sweep_id, study, options, storage)
        study = _as_it_began(study, recorded, options)
        if recorded and has_more_trials(runs, recorded, options):
            recorded = replace(recorded, num_trials=options.trials or recorded.num_trials)
        elif recorded and (result := runs.result(sweep_id)):
            check_finished(recorded, study, options)
            # the driver that wrote the result may have been killed before it had removed all of them
            keep_chosen(options.keep, runs, sweep_id)
            return _say_result(result, storage, options)
        if recorded:
            options = as_begun(options, recorded)
        study = options.adapt(study)
        configs = read_best(study, runs, options, recorded) if options.best_of else study.sample(options.sweep_seed)
        # another sweep's configurations may have settings that the study lacks
        study = replace(study, is_cohort=study.is_cohort and all(map(fits_cohort, configs)))
        plan = _make_plan(study, configs, options, settings, fitting, sweep_id, storage, recorded)
        plan = replace(plan, prices=prices, keep=options.keep, ends_at=ends_at)
        if recorded is None:
            check_effects(configs, options.settings)
            runs.create_sweep(plan.sweep)
        else:
            _record_resumption(runs, recorded, study, configs, fitting)
        _say_plan(plan)
        if options.cpus_per_trial is None and not study.is_cohort:
            _say_idle_cores(plan, fitting)
        _say_result(run_with_finals(plan, runs, click.echo), storage, options)


def _check_store(store: ObjectStore, options: SweepOptions) -> None:
    """Whoever submits a job with a mistake in its store is told at once; a job that is retried waits for the store."""
    ends_at, has_told = time.monotonic() + PATIENCE_S, False
    while True:
        try:
            return check_every_node(store)
        except StorageError as error:
            if not (options.start_or_resume and may_come_up(error)) or time.monotonic() > ends_at:
                raise
            if not has_told:
                click.echo(f"the store is tried for {PATIENCE_S / 60:g} minutes: {error.message}")
                has_told = True
        time.sleep(STORE_PERIOD_S)


def _find_recorded(
    runs: RunStore, sweep_id: str, study: Study, options: SweepOptions, storage: str
) -> SweepRecord | None:
    """The record of the sweep to resume; None where a new one begins. SweepExistsError where its id is taken."""
    if options.resume or (options.start_or_resume and runs.has_sweep(sweep_id)):
        return find_begun(runs, sweep_id, study)
    if runs.has_sweep(sweep_id):
        raise SweepExistsError.of(sweep_id, storage)
    return None


def _as_it_began(study: Study, recorded: SweepRecord | None, options: SweepOptions) -> Study:
    """With --resume, a study whose file has changed goes on by the text that its sweep began with."""
    if not (recorded and options.resume and recorded.definition not in (None, study.definition)):
        return study
    click.echo(f"{study.name}.toml has changed since {recorded.sweep_id} began: going on by the text in its record")
    return parse_study(study.name, recorded.definition)


def _record_resumption(
    runs: RunStore, recorded: SweepRecord, study: Study, configs: list[TrialConfig], kinds: list[NodeKind]
) -> None:
    """Put into the sweep's record that it goes on, with as many trials as `recorded` has."""
    sweep_id = recorded.sweep_id
    # finals take their settings from the records
    if not runs.finals(sweep_id).has_sweep(layout.finals(sweep_id)):
        check_drawn(recorded, runs.trials(sweep_id), configs, study)
    if runs.sweep(sweep_id).num_trials < recorded.num_trials:
        runs.add_trials(sweep_id, recorded.num_trials)
    runs.add_resumption(sweep_id, Resumption(at=now(), **driver_provenance(kinds)))


def _make_plan(
    study: Study,
    configs: list[TrialConfig],
    options: SweepOptions,
    settings: Settings,
    kinds: list[NodeKind],
    sweep_id: str,
    storage: str,
    recorded: SweepRecord | None,
) -> SweepPlan:
    placement = place(study, options, kinds)
    images = _load_training_images(options, settings, recorded)
    data = split(images, options.sweep_seed, options.validation_share or VALIDATION_SHARE)
    sweep = describe_sweep(sweep_id, study, options, placement, kinds, data.record)
    if recorded is not None:
        check_same(recorded, sweep)
        # a cohort's engines use the CPUs that a node has now
        sweep = replace(recorded, cpus_per_trial=placement.cpus) if recorded.is_cohort else recorded
    return SweepPlan(
        sweep=sweep,
        configs=configs,
        study=None if study.searcher == "random" else study,
        data=data,
        storage=storage,
        max_concurrent_trials=min(placement.num_slots, study.trials_at_once),
        num_cohorts=placement.num_cohorts,
        accelerator=options.accelerator,
        finals=place_without_cohorts(study, options, kinds) if sweep.num_finalists else None,
    )


def _load_training_images(options: SweepOptions, settings: Settings, recorded: SweepRecord | None) -> ImageSet:
    """The images that `options` name, else those that the sweep was begun with, else those of the environment."""
    if options.data is None and recorded is not None:
        try:
            return _load(recorded.dataset.source, settings)
        except (DataError, StorageError) as error:
            if settings.data is None:
                raise
            # the same images may be elsewhere by now: `check_same` compares their fingerprint
            click.echo(f"{error.message}; taking those of CIFAR_RAY_DATA")
    return _load(resolve_source(options.data, settings), settings)


def _load(source: str, settings: Settings) -> ImageSet:
    click.echo(f"loading data {source}")
    return load_images(source, "train", settings)


def _say_plan(plan: SweepPlan) -> None:
    sweep = plan.sweep
    networks = {0: "", 1: " as one network"}.get(plan.num_cohorts, f" as {plan.num_cohorts} networks")
    at_once = f"{plan.max_concurrent_trials} at once{networks}"
    click.echo(
        f"sweep {sweep.sweep_id}: {counted(sweep.num_trials, 'trial')} of {sweep.study}, "
        f"at most {counted(sweep.max_epochs, 'epoch')}, {at_once}, data {sweep.dataset.name}, "
        f"results in {plan.storage}"
    )


def _say_idle_cores(plan: SweepPlan, kinds: list[NodeKind]) -> None:
    """A line where each trial could have more cores. Those of a cohort's study are too small to gain by them."""
    sweep = plan.sweep
    cpus = most_cpus(kinds, min(plan.max_concurrent_trials, sweep.num_trials))
    if sweep.device == "core" and cpus > sweep.cpus_per_trial:
        click.echo(
            f"cores stand idle: each trial has {sweep.cpus_per_trial:g}, with --cpus-per-trial {cpus} it has {cpus}"
        )


def _say_result(result: SweepResult, storage: str, options: SweepOptions) -> None:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(result.outcomes.items()))
    click.echo(f"sweep {result.sweep_id} finished in {result.wall_s:.0f} s: {outcomes}")
    winner = result.winner
    if winner is None or winner.best_validation_accuracy is None:
        raise CifarRayError(
            f"no trial of sweep {result.sweep_id} finished an epoch with a finite loss",
            f"see the errors in {storage}/{result.sweep_id}/trials/*/trial.json",
        )
    best = "best of the search" if result.finals else "winner"
    click.echo(
        f"{best} {winner.trial_id}: validation accuracy {100 * winner.best_validation_accuracy:.2f} % "
        f"after epoch {winner.best_epoch}; results in {storage}/{result.sweep_id}"
    )
    if result.finals:
        click.echo(describe(result.finals))
    store = f" --storage {shlex.quote(options.storage)}" if options.storage else ""
    command = "cifar-ray job submit evaluate" if is_on_cluster() else "python jobs/evaluate_best.py"
    click.echo(f"next: `{command} {result.sweep_id}{store}` scores it once on the test set")
