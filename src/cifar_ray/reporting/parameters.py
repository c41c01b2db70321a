"""The settings in which a sweep's trials differ: how each is scaled, how much each mattered."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeGuard

from cifar_ray.errors import ConfigurationError
from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.reporting.score_rows import SETTINGS, setting_label
from cifar_ray.studies import Range, get_study
from cifar_ray.studies.space import SearchSpace
from cifar_ray.studies.study_file import parse_study

METHOD = (
    "PED-ANOVA (Watanabe et al. 2023, Optuna): how far the settings of the best tenth of the ended trials differ from "
    "those of all. It looks at one setting at a time; with few trials it is a hint, no proof."
)
MIN_TRIALS = 8
"""With fewer ended trials, no importance is computed."""
MAX_CHOICES = 8
"""A numeric setting with more values than that is shown as a range."""


def varied_parameters(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Each setting with its name, label, kind (`log`, `linear` or `choice`), bounds or values, and importance."""
    space = _space(sweep.study, sweep.definition)
    names = list(dict.fromkeys([*SETTINGS, *(name for trial in trials for name in trial.config)]))
    found = []
    for name in names:
        values = [trial.config.get(name) for trial in trials]
        if len({repr(value) for value in values}) < 2:
            continue
        described: dict[str, Any] = {"name": name, "label": setting_label(name)}
        domain = space.get(name)
        if isinstance(domain, Range):
            # the study may have searched another range when the sweep began
            numbers = [float(value) for value in values if _is_number(value) and (value > 0 or not domain.is_log)]
            ends = (*domain.ends, *numbers)
            described |= {"kind": "log" if domain.is_log else "linear", "low": min(ends), "high": max(ends)}
        else:
            described |= _scale(values)
        found.append(described)
    importance = _importance(found, trials)
    return [each | {"importance": importance.get(each["name"])} for each in found]


@lru_cache(maxsize=64)
def _space(study: str, definition: str | None) -> SearchSpace:
    """Empty where this version has no such study, or refuses what its file said."""
    try:
        return (get_study(study) if definition is None else parse_study(study, definition)).space
    except ConfigurationError:
        return {}


def _scale(values: Sequence[Any]) -> dict[str, Any]:
    distinct = {repr(value): value for value in values}
    numbers = [value for value in distinct.values() if _is_number(value)]
    if len(numbers) < len(distinct) or len(distinct) <= MAX_CHOICES:
        return {"kind": "choice", "values": sorted(distinct.values(), key=_order)}
    low, high = min(numbers), max(numbers)
    return {"kind": "log" if low > 0 and high / low > 10 else "linear", "low": low, "high": high}


def _importance(parameters: Sequence[Mapping[str, Any]], trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Shares that sum to 1, by setting; empty where too few trials have ended."""
    ended = [each for each in trials if each.outcome != "running" and each.best_validation_accuracy is not None]
    if len(ended) < MIN_TRIALS or len(parameters) < 2:
        return {}
    # takes 0.3 s to load, which a sweep without ended trials need not wait for
    import optuna  # noqa: PLC0415

    distributions = {each["name"]: _distribution(optuna, each) for each in parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # of settings that made no difference
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(direction="maximize")
            study.add_trials(
                [
                    optuna.create_trial(
                        params={each["name"]: _coordinate(each, trial.config.get(each["name"])) for each in parameters},
                        distributions=distributions,
                        value=trial.best_validation_accuracy,
                    )
                    for trial in ended
                ]
            )
            found = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        finally:
            optuna.logging.set_verbosity(level)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _distribution(optuna: Any, parameter: Mapping[str, Any]) -> Any:
    if parameter["kind"] == "choice":
        return optuna.distributions.CategoricalDistribution([repr(value) for value in parameter["values"]])
    is_log = parameter["kind"] == "log"
    return optuna.distributions.FloatDistribution(parameter["low"], parameter["high"], log=is_log)


def _coordinate(parameter: Mapping[str, Any], value: Any) -> Any:
    if parameter["kind"] == "choice":
        return repr(value)
    low = float(parameter["low"])
    return min(max(float(value), low), float(parameter["high"])) if _is_number(value) else low


def _is_number(value: object) -> TypeGuard[int | float]:
    # not NaN, nor an infinity, nor an integer that no float holds: a damaged record may have each
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _order(value: Any) -> tuple[bool, float, str]:
    return (not _is_number(value), float(value) if _is_number(value) else 0.0, repr(value))
