"""Formats numbers and names for tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cifar_ray.cifar10 import CLASSES
from cifar_ray.errors import plain
from cifar_ray.provenance import Resumption
from cifar_ray.records import DatasetRecord, SweepRecord, TrialRecord
from cifar_ray.resource_use import Cost
from cifar_ray.storage.runs import State
from cifar_ray.studies import STUDIES
from cifar_ray.studies.options import PUBLISHED
from cifar_ray.studies.study import GENERATIONS, VALIDATION_SHARE, Budget
from cifar_ray.studies.trial_config import DEFAULTS, DESCRIPTIONS, Setting
from cifar_ray.wording import counted

MISSING = "–"
REPORTED = {name: study.published for name, study in STUDIES.items() if study.published}
"""By study, what the report found; it lacks the others."""


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as per cent, without the sign."""
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Both ends as per cent, such as `63.44 to 65.31`."""
    return MISSING if interval is None else f"{percent(interval[0], 2)} to {percent(interval[1], 2)}"


def seconds(duration_s: float) -> str:
    """`7 s`, `3 min 07 s` or `2 h 05 min`."""
    whole = round(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(duration_s / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def cost_text(cost: Cost) -> str:
    """The device-hours held, what they were used for, and their price where there is one."""
    parts = {
        "in epochs of use": cost.useful_s,
        "in trials that failed": cost.failed_s,
        "in epochs trained again": cost.repeated_s,
        "without an epoch to show": cost.idle_s,
    }
    shares = ", ".join(
        f"{percent(part_s / cost.held_s, 0)} % {name}" for name, part_s in parts.items() if cost.held_s and part_s
    )
    price = f"; {cost_amount(cost)}" if cost.price is not None else f" ({plain(cost.remark)})" if cost.remark else ""
    return f"{cost.held_s / 3600:.2f} {cost.device}-hours held{f': {shares}' if shares else ''}{price}"


def cost_amount(cost: Cost) -> str:
    """`12.34 USD`; MISSING where there is no price."""
    return MISSING if cost.price is None else f"{cost.price:,.2f} {plain(str(cost.currency))}"


def chosen_by(sweep: SweepRecord) -> str:
    """Where its configurations come from: a searcher, another sweep or the report."""
    changes = f" with {plain(', '.join(sweep.changes))}" if sweep.changes else ""
    if sweep.best_of == PUBLISHED:
        return f"the report's winner{changes}"
    return f"the best of {plain(sweep.best_of)}{changes}" if sweep.best_of else sweep.searcher


def budget_text(sweep: SweepRecord) -> str:
    """How long the sweep's trials may train, and what its finals train anew."""
    if sweep.searcher == "pbt":
        return population_text(sweep.budget)
    budget = f"ASHA: grace period {sweep.grace_period}, reduction factor {sweep.reduction_factor}"
    length = counted(sweep.epochs_of_finals, "epoch")
    finals = f"; finals: the best {sweep.num_finalists} on {counted(sweep.num_seeds, 'seed')} each, {length}"
    return f"{budget}, at most {counted(sweep.max_epochs, 'epoch')}{finals if sweep.num_finalists else ''}"


def population_text(budget: Budget) -> str:
    """The size of a population whose trials have this budget, and how long its generations are."""
    size = budget.num_trials // GENERATIONS
    return f"a population of {size}, {GENERATIONS} generations of {counted(budget.max_epochs, 'epoch')}"


def same_images(sweep: SweepRecord, *, is_best_of: bool = False) -> str:
    """The options by which another sweep has the same images; a share for validation is for `--best-of` alone."""
    source, share = sweep.dataset.source, sweep.dataset.validation_share
    data = "" if source == "cifar10" else f" --data {shlex.quote(source)}"
    held_out = f" --validation-share {share}" if is_best_of and share != VALIDATION_SHARE else ""
    return f"{data}{f' --seed {sweep.seed}' if sweep.seed else ''}{held_out}"


def resumed_text(resumption: Resumption, sweep: SweepRecord) -> str:
    """When the sweep was resumed, and in what that run differed from its first one."""
    found, first = {**resumption.versions, **resumption.hardware}, {**sweep.versions, **sweep.hardware}
    changes = [f"{name} {value}" for name, value in found.items() if value != first.get(name)]
    if resumption.commit != sweep.commit:
        changes.insert(0, f"commit {resumption.commit or 'unknown'}")
    return f"at {resumption.at}{': ' if changes else ''}{', '.join(changes)}"


def usage_text(sizes: Mapping[str, int]) -> str:
    """How many objects a sweep has in the store, and how large they are together."""
    return f"{counted(len(sizes), 'object')}, {sum(sizes.values()) / 2**20:,.1f} MiB"


def with_defaults(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials, with the default of each setting that only others have: a later version may have resumed."""
    usual = {name: value for name, value in DEFAULTS.items() if any(name in trial.config for trial in trials)}
    return [replace(trial, config=usual | dict(trial.config)) for trial in trials]


def setting(name: str, config: Mapping[str, Any], digits: int = 3) -> str:
    """A trial's setting; MISSING where it has none or does not use it."""
    model, value, described = config.get("model"), config.get(name), DESCRIPTIONS.get(name, Setting())
    is_unused = bool(described.optimizers) and config.get("optimizer") not in described.optimizers
    is_of_others = model is not None and bool(described.models) and model not in described.models
    is_off = described.is_method and value == DEFAULTS.get(name)
    if is_unused or is_of_others or is_off:
        return MISSING
    return value_text(value, digits)


def value_text(value: object, digits: int = 3) -> str:
    """One value of a setting; MISSING for None."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return plain(str(value)).replace("_", " ")


def outcome_name(trial: TrialRecord, state: State) -> str:
    """What became of a trial of a sweep in that state: an interrupted one's records still call some running."""
    return state if state == "interrupted" and trial.outcome == "running" else trial.outcome


def is_cifar10(dataset: DatasetRecord) -> bool:
    """Whether the classes are CIFAR-10's, whoever copied the images."""
    return set(dataset.classes) == set(CLASSES)


def data_name(dataset: DatasetRecord) -> str:
    """The data set's name, with a loud remark where it is not CIFAR-10."""
    name = plain(dataset.name)
    return name if is_cifar10(dataset) else f"{name} (NOT CIFAR-10)"


def caution(dataset: DatasetRecord, study: str) -> str | None:
    """What to know about the data, and about comparing with the report's column where the study has one.

    None for the official archive.
    """
    if dataset.source == "cifar10":
        return None
    name = plain(dataset.name)
    has_column = study in REPORTED
    if not is_cifar10(dataset):
        why = ": the report's column is on CIFAR-10 and not comparable" if has_column else ""
        return f"measured on {name}, which is not CIFAR-10{why}."
    source = plain(dataset.source)
    where = name if source == name else f"{name} ({source})"
    care = ": compare with the report's column with care" if has_column else ""
    return f"measured on {where}, a copy and not the official archive; a lossy copy scores lower{care}."
