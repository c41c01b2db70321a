"""The configurations that a sweep trains once more: the best of a finished sweep, or the report's winner."""

from __future__ import annotations

from dataclasses import replace

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.records import SweepRecord
from cifar_ray.storage.layout import check_sweep_id
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, TrialConfig
from cifar_ray.studies.options import PUBLISHED, SweepOptions
from cifar_ray.tuning.resuming import check_definition


def read_best(
    study: Study, runs: RunStore, options: SweepOptions, resumed: SweepRecord | None = None
) -> list[TrialConfig]:
    """As many configurations as the study's budget has trials, for its epochs, changed as `options` say.

    A `resumed` sweep that has begun them all has them in its own records: the other one may be gone.
    Raises ConfigurationError where `options.best_of` has no such configurations of the study.
    """
    begun = runs.trials(resumed.sweep_id) if resumed else []
    if resumed and len(begun) == resumed.num_trials:
        return [TrialConfig.from_dict(trial.config) for trial in begun]
    try:
        found = _published_winner(study) if options.best_of == PUBLISHED else _best_of_sweep(study, runs, options)
    except ConfigurationError as error:
        if resumed is None:
            raise
        missing = f"from it come the configurations that sweep {resumed.sweep_id} has not begun"
        raise ConfigurationError(f"{error.message}; {missing}", error.hint) from error
    return [replace(each, max_epochs=study.budget.max_epochs, **options.settings) for each in found]


def _published_winner(study: Study) -> list[TrialConfig]:
    assert study.published is not None, "the options were adapted to a study without"
    settings = {**study.fixed, **study.published.winner}
    return [TrialConfig(**settings, max_epochs=study.budget.max_epochs)]


def _best_of_sweep(study: Study, runs: RunStore, options: SweepOptions) -> list[TrialConfig]:
    sweep_id = check_sweep_id(options.best_of or "")
    result, num_trials = runs.result(sweep_id), study.budget.num_trials
    if result is None:
        raise ConfigurationError(f"no sweep {sweep_id} has finished", f"see cifar-ray results list{runs.flags}")
    if result.study != study.name:
        raise ConfigurationError(
            f"sweep {sweep_id} is of study {result.study}, not {study.name}", "take one of its own"
        )
    recorded = runs.sweep(sweep_id)
    check_definition(recorded, study.definition)
    if recorded.searcher == "pbt":
        raise ConfigurationError(
            f"no one configuration gave the weights of sweep {sweep_id}: it is of a population", "take another sweep"
        )
    if len(result.best_first) < num_trials:
        raise ConfigurationError(
            f"sweep {sweep_id} ranks {len(result.best_first)} trials, not {num_trials}", "take fewer --trials"
        )
    if options.validation_share is not None and (seed := recorded.seed) != options.sweep_seed:
        raise ConfigurationError(
            f"sweep {sweep_id} has held out the images of seed {seed}, and learnt from those of {options.sweep_seed}",
            f"add --seed {seed}",
        )
    trials = {trial.trial_id: trial for trial in runs.trials(sweep_id)}
    best = result.best_first[:num_trials]
    if missing := [trial_id for trial_id in best if trial_id not in trials]:
        raise RecordError.of_lost_trial(sweep_id, missing[0])
    return [TrialConfig.from_dict(trials[trial_id].config) for trial_id in best]
