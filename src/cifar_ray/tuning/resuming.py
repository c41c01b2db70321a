"""Says whether a sweep has to be resumed, how, and whether the one at hand is the one that was begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cifar_ray.errors import ConfigurationError, UnknownNameError
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import VALIDATION_SHARE, Study, TrialConfig
from cifar_ray.studies.options import SweepOptions
from cifar_ray.studies.study import GENERATIONS


def resume_flags_hint(sweep_id: str) -> str:
    """How an interrupted sweep goes on."""
    return f"resume it: --sweep-id {sweep_id} --resume"


def find_begun(runs: RunStore, sweep_id: str, study: Study) -> SweepRecord:
    """Its record; UnknownNameError where there is no such sweep, ConfigurationError where it is of another study."""
    try:
        recorded = runs.sweep(sweep_id)
    except UnknownNameError as error:
        raise UnknownNameError(
            error.message, f"{error.hint}; --start-or-resume, in place of --resume, begins one that has left nothing"
        ) from error
    if recorded.study != study.name:
        raise ConfigurationError(
            f"sweep {sweep_id} is of study {recorded.study}, not {study.name}",
            f"continue with `cifar-ray job submit {recorded.study} --sweep-id {sweep_id} --resume`",
        )
    return recorded


def has_more_trials(runs: RunStore, recorded: SweepRecord, options: SweepOptions) -> bool:
    """Whether it is resumed for more trials than it has; ConfigurationError where it cannot have any more."""
    if not options.resume or options.trials is None or options.trials <= recorded.num_trials:
        return False
    if recorded.searcher == "pbt":
        why = "a population is bred from its first"
    elif recorded.best_of:
        why = "they are another sweep's best"
    elif runs.finals(recorded.sweep_id).has_sweep(layout.finals(recorded.sweep_id)):
        why = "its finals have begun, among those that it has"
    elif runs.test_scores(recorded.sweep_id) is not None:
        why = "its winner has been scored on the test set, which is opened once"
    else:
        return True
    raise ConfigurationError(
        f"sweep {recorded.sweep_id} of {recorded.num_trials} trials cannot have more: {why}", "start another sweep"
    )


def as_begun(options: SweepOptions, recorded: SweepRecord) -> SweepOptions:
    """The options; those left open are what the sweep was begun with, whatever its study's own have become."""
    own = vars(_options_of(recorded))
    left_open = [name for name, value in vars(options).items() if value is None or value is False or value == ()]
    begun = replace(options, **{name: own[name] for name in left_open})
    if options.reduction_factor is None and begun.grace_period == begun.max_epochs:
        # nobody asked for a factor, which would do nothing: what differs is the grace period
        begun = replace(begun, reduction_factor=None)
    return begun


def check_finished(recorded: SweepRecord, study: Study, options: SweepOptions) -> None:
    """Raise ConfigurationError where options that shape a search differ from a finished sweep's own.

    Its images and what its trials took of the cluster are not compared.
    """
    options = as_begun(options, recorded)
    asked = replace(
        recorded,
        **search_fields(options.adapt(study), options),
        is_cohort=recorded.is_cohort and not options.no_cohort,
        dataset=replace(recorded.dataset, validation_share=options.validation_share or VALIDATION_SHARE),
    )
    check_same(recorded, asked)


def search_fields(study: Study, options: SweepOptions) -> dict[str, Any]:
    """The fields of a sweep's record that its options, and its study as adapted to them, determine by themselves."""
    budget = study.trial_budget
    return {
        "study": study.name,
        "definition": study.definition,
        "seed": options.sweep_seed,
        "num_trials": budget.num_trials,
        "max_epochs": budget.max_epochs,
        "grace_period": budget.grace_period,
        "reduction_factor": budget.reduction_factor,
        "searcher": study.searcher,
        "num_finalists": study.finalists,
        "num_seeds": study.seeds,
        "final_epochs": study.final_epochs,
        "best_of": options.best_of,
        "changes": tuple(f"{name}={value}" for name, value in sorted(options.settings.items())),
    }


def check_same(recorded: SweepRecord, sweep: SweepRecord) -> None:
    """Raise ConfigurationError, which lists the differences, unless the resumed sweep is as it was recorded."""
    check_definition(recorded, sweep.definition)
    names = ["num_seeds", "searcher", "best_of", "seed", "num_trials", "max_epochs", "grace_period", "is_cohort"]
    names += ["reduction_factor"] if recorded.grace_period < recorded.max_epochs else []
    names += ["accelerators_per_trial", *([] if recorded.is_cohort else ["cpus_per_trial"])]
    pairs = {name: (getattr(recorded, name), getattr(sweep, name)) for name in names}
    pairs["settings"] = (", ".join(recorded.changes) or "its own", ", ".join(sweep.changes) or "its own")
    pairs["validation_share"] = (recorded.dataset.validation_share, sweep.dataset.validation_share)
    pairs["data"] = (recorded.dataset.fingerprint[:12], sweep.dataset.fingerprint[:12])
    changed = [f"{name} was {old}, now {new}" for name, (old, new) in pairs.items() if old != new]
    if changed:
        raise ConfigurationError(
            f"sweep {recorded.sweep_id} was started otherwise: {'; '.join(changed)}",
            "leave out options that say otherwise; cluster and images must be of the kind that it was begun with, too",
        )


def check_definition(recorded: SweepRecord, definition: str | None) -> None:
    """Raise ConfigurationError unless the sweep's study was defined by that text; None stands for the package's own."""
    if recorded.definition != definition:
        has_it = f" (its {layout.SWEEP_RECORD} has the text, by which --resume goes on)" if recorded.definition else ""
        raise ConfigurationError(
            f"sweep {recorded.sweep_id} began with another definition of {recorded.study}",
            f"restore that{has_it}, or start another sweep",
        )


def check_drawn(
    recorded: SweepRecord, trials: Sequence[TrialRecord], configs: Sequence[TrialConfig], study: Study
) -> None:
    """Raise ConfigurationError unless trials would train what their records say: a changed study draws otherwise.

    Where a searcher has chosen their settings, the study must still allow these.
    """
    if sum(trial.has_ended for trial in trials) == recorded.num_trials:
        return
    drawn = {layout.trial_id(index): config.to_dict() for index, config in enumerate(configs)}
    fixed = {name: value for name, value in configs[0].to_dict().items() if name not in study.space}
    for trial in trials:
        # a setting that the record does not know yet has its default
        was = TrialConfig.from_dict(trial.config).to_dict()
        if recorded.searcher == "random":
            pairs = {name: (was[name], value) for name, value in drawn[trial.trial_id].items()}
        else:
            pairs = {name: (was[name], value) for name, value in fixed.items()}
            pairs |= {name: (was[name], space) for name, space in study.space.items() if was[name] not in space}
        changed = [f"{name} was {old}, now {new}" for name, (old, new) in pairs.items() if old != new]
        if changed:
            raise ConfigurationError(
                f"{recorded.study} draws other settings than when sweep {recorded.sweep_id} began, of "
                f"{trial.trial_id}: {'; '.join(changed)}",
                f"resume with the version that began it ({recorded.commit or 'unknown'}), or start another sweep",
            )


def _options_of(sweep: SweepRecord) -> SweepOptions:
    """The options that the sweep was begun with, as far as they matter."""
    is_population = sweep.searcher == "pbt"
    return SweepOptions(
        trials=sweep.num_trials,
        max_epochs=sweep.max_epochs * (GENERATIONS if is_population else 1),
        grace_period=None if is_population else sweep.grace_period,
        reduction_factor=sweep.reduction_factor if sweep.grace_period < sweep.max_epochs else None,
        seeds=sweep.num_seeds,
        best_of=sweep.best_of,
        validation_share=share if (share := sweep.dataset.validation_share) != VALIDATION_SHARE else None,
        setting=sweep.changes,
        searcher=sweep.searcher,
        seed=sweep.seed,
        accelerators_per_trial=None if sweep.is_cohort else sweep.accelerators_per_trial,
        cpus_per_trial=None if sweep.is_cohort else sweep.cpus_per_trial,
        no_cohort=not sweep.is_cohort,
    )


def lacking_weights(runs: RunStore, sweep: SweepRecord, result: SweepResult) -> list[TrialRecord]:
    """The trials that may be scored, if their best checkpoint has not reached the store and training can bring it back.

    A trial that ASHA stops has ended for Ray Tune, whatever becomes of its last uploads.
    """
    if sweep.searcher == "pbt":
        return []  # the next generation may have begun from the winner
    # which finalist wins is decided by a mean, and all its trainings are scored
    scored = runs.trials(sweep.sweep_id) if sweep.parent else [result.winner] if result.winner else []
    return [trial for trial in scored if trial.outcome != "failed" and _lacks_weights(runs, sweep.sweep_id, trial)]


def _lacks_weights(runs: RunStore, sweep_id: str, trial: TrialRecord) -> bool:
    newest = max(CheckpointStore(runs.objects, sweep_id, trial.trial_id).epochs(), default=0)
    # with a later one there, the best was there too and has been lost since: a resumed trial begins after it
    return newest < (trial.best_epoch or 0)
