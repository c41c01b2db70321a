"""Builds the JSON that the page shows: all sweeps of a store, and everything recorded about one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pydantic_core

from cifar_ray.errors import CifarRayError, UnknownNameError
from cifar_ray.finals import Finals, describe
from cifar_ray.progress.asha import milestones
from cifar_ray.progress.ranking import best_first, best_of
from cifar_ray.provenance import now, seconds_between
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.reporting.finals_rows import HEADING, NOTE, finals_rows
from cifar_ray.reporting.formats import (
    REPORTED,
    budget_text,
    caution,
    chosen_by,
    cost_amount,
    cost_text,
    is_cifar10,
    outcome_name,
    percent,
    resumed_text,
    same_images,
    setting,
    with_defaults,
)
from cifar_ray.reporting.parameters import METHOD, varied_parameters
from cifar_ray.reporting.score_rows import SETTINGS, report_note, score_columns
from cifar_ray.reporting.seed_means import seed_means
from cifar_ray.resource_use import Cost
from cifar_ray.statistics import wilson_interval
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore, State, SweepSummary
from cifar_ray.wording import counted


def page_payload(runs: RunStore, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Rows of the sweeps that have details (by id, what `sweep_payload` gives), and means over seeds; else of all."""
    found = _overviews(runs, runs.sweep_ids() if details is None else details)
    return {
        "generated_at": now(),
        "store": runs.objects.uri,
        "sweeps": [row for row, _ in found],
        "seed_means": seed_means(summary for _, summary in found if summary),
        "details": details or {},
    }


def sweep_rows(runs: RunStore) -> list[dict[str, Any]]:
    """A row for each sweep, the newest first."""
    return [row for row, _ in _overviews(runs, runs.sweep_ids())]


def to_json(payload: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """JSON text; NaN and infinities become null."""
    return pydantic_core.to_json(payload, inf_nan_mode="null").decode()


def sweep_payload(runs: RunStore, sweep_id: str) -> dict[str, Any]:
    """One sweep's records, and what is derived from them; CifarRayError where they cannot be read."""
    summary = runs.summary(sweep_id)
    sweep, result, scores = summary.sweep, summary.result, summary.scores
    search, finals = _so_far(runs, sweep), None if result else _finals_so_far(runs, sweep)
    trials = with_defaults(search.trials)
    checkpoints: dict[str, list[int]] = defaultdict(list)
    for key in runs.objects.keys(layout.trials(sweep_id)):
        if (found := layout.checkpoint_of(key)) and key.endswith(f"/{layout.MANIFEST}"):
            checkpoints[found[0]].append(found[1])
    same_config, configs = _without_repetition([trial.config for trial in trials])
    same_settings, settings = _without_repetition([_settings(trial) for trial in trials])
    return {
        "row": _row(summary, search, finals),
        "sweep": asdict(sweep)
        | {
            "chosen_by": chosen_by(sweep),
            "budget": budget_text(sweep),
            "same_images": same_images(sweep, is_best_of=True),
            "commits": [commit or "unknown" for commit in sweep.commits],
            "resumed": [resumed_text(each, sweep) for each in sweep.resumptions],
        },
        "rungs": milestones(sweep.budget),
        "settings": [{"name": name, "label": label} for name, label in SETTINGS.items()],
        "parameters": varied_parameters(sweep, trials),
        "importance_method": METHOD,
        "alike": {"config": same_config, "settings": same_settings},
        "trials": [
            asdict(trial) | {"config": config, "settings": shown, "checkpoints": checkpoints[trial.trial_id]}
            for trial, config, shown in zip(trials, configs, settings, strict=True)
        ],
        "metrics": _columns(search.metrics),
        "evaluation": None if scores is None else _evaluation(scores),
        "finals": _finals(result.finals) if result else _running_finals(finals, summary.state),
    }


def sweep_document(runs: RunStore, sweep_id: str) -> dict[str, Any]:
    """One sweep for a script: its row and the records behind it, the trials best first."""
    summary = runs.summary(sweep_id)
    search = _so_far(runs, summary.sweep)
    result, scores = summary.result, summary.scores
    row = _row(summary, search, None if result else _finals_so_far(runs, summary.sweep))
    trials = best_first(search.trials)
    ranked = [trial.trial_id for trial in trials if trial.best_validation_accuracy is not None]
    return row | {
        "sweep": asdict(summary.sweep),
        "ranking": list(result.best_first) if result else ranked,
        "winner_settings": next((trial.config for trial in trials if trial.trial_id == row["winner"]), None),
        "trials": [asdict(trial) for trial in trials],
        "finals": asdict(result.finals) if result and result.finals else None,
        "scores": asdict(scores) if scores else None,
    }


def _overviews(runs: RunStore, sweep_ids: Iterable[str]) -> list[tuple[dict[str, Any], SweepSummary | None]]:
    found = [each for sweep_id in sweep_ids if (each := _overview(runs, sweep_id))]
    return sorted(found, key=lambda each: str(each[0].get("started_at")), reverse=True)


def _overview(runs: RunStore, sweep_id: str) -> tuple[dict[str, Any], SweepSummary | None] | None:
    """The sweep's row and summary; where it cannot be read, a row that says why, and None. None if it is gone."""
    try:
        summary = runs.summary(sweep_id)
        sweep = summary.sweep
        # a finished sweep's outcomes are in its result: its trials need not be read
        is_over = summary.result is not None
        search, finals = (None, None) if is_over else (_so_far(runs, sweep), _finals_so_far(runs, sweep))
        return _row(summary, search, finals), summary
    except UnknownNameError:
        return None
    except CifarRayError as error:
        return {"id": sweep_id, "state": "unreadable", "problem": error.message, "hint": error.hint}, None


def _row(summary: SweepSummary, search: SoFar | None, finals: SoFar | None) -> dict[str, Any]:
    sweep, result, scores, heartbeat = summary.sweep, summary.result, summary.scores, summary.heartbeat
    trials = search.trials if search else []
    best = (result.winner if result else None) or best_of(trials)
    best_accuracy = best.best_validation_accuracy if best else None
    all_trials = [*trials, *(finals.trials if finals else ())]
    all_lines = [line for each in (search, finals) if each for line in each.metrics]
    last_sign = max((line.ended_at for line in all_lines if line.ended_at), default="")
    silent_since = summary.silent_since
    has_driver = summary.state == "running" and silent_since is None
    return {
        "id": sweep.sweep_id,
        "study": sweep.study,
        "state": summary.state,
        "heartbeat": heartbeat,
        "silent_since": silent_since,
        "data": sweep.dataset.name,
        "is_cifar10": is_cifar10(sweep.dataset),
        "caution": caution(sweep.dataset, sweep.study),
        "seed": sweep.seed,
        "started_at": sweep.started_at,
        "finished_at": result.finished_at if result else None,
        "num_trials": sweep.num_trials,
        "max_epochs": sweep.max_epochs,
        "outcomes": dict(result.outcomes if result else Counter(str(trial.outcome) for trial in trials)),
        "num_epochs": result.num_epochs if result else sum(trial.num_epochs for trial in all_trials),
        "best_trial": best.trial_id if best else None,
        "best_interval": None if best_accuracy is None else _interval(best_accuracy, sweep.dataset.num_validation),
        "winner": _winner(result, scores) or (best.trial_id if best else None),
        "best_validation": result.validation_accuracy if result else best_accuracy,
        "num_validation": sweep.dataset.num_validation,
        "is_retrained": bool(result and result.finals and result.finals.winner),
        "test": {"accuracy": scores.accuracy, "interval": scores.accuracy_interval} if scores else None,
        "wall_s": result.wall_s if result else _seconds_so_far(sweep.started_at, now() if has_driver else last_sign),
        # the last interruption is no pause until the sweep is resumed
        "has_pauses": bool(sweep.resumptions) or len(sweep.interruptions) > (summary.state == "interrupted"),
        "accelerator_s": (
            result.accelerator_seconds if result else sum(trial.accelerator_seconds for trial in all_trials)
        ),
        "has_accelerators": sweep.accelerators_per_trial > 0,
        "cost": _cost(result.cost) if result and result.cost else None,
    }


def _interval(accuracy: float, num_images: int) -> tuple[float, float]:
    return wilson_interval(round(accuracy * num_images), num_images)


def _winner(result: SweepResult | None, scores: TestScores | None) -> str | None:
    """The trial that was or will be scored: with finals, not always the best of the search."""
    if scores is not None:
        return scores.trial_id
    return result.best_first[0] if result and result.best_first else None


def _finals(finals: Finals | None) -> dict[str, Any] | None:
    if finals is None:
        return None
    return {"text": describe(finals), "heading": HEADING, "rows": finals_rows(finals), "note": NOTE}


@dataclass(frozen=True, kw_only=True)
class SoFar:
    """What the store holds so far about a search, or about its finals."""

    sweep: SweepRecord
    trials: Sequence[TrialRecord]
    metrics: Sequence[EpochMetrics]


def _so_far(runs: RunStore, sweep: SweepRecord) -> SoFar:
    metrics = runs.metrics(sweep.sweep_id)
    return SoFar(sweep=sweep, trials=runs.trials_so_far(sweep.sweep_id, metrics), metrics=metrics)


def _finals_so_far(runs: RunStore, sweep: SweepRecord) -> SoFar | None:
    """None until they begin."""
    nested, name = runs.finals(sweep.sweep_id), layout.finals(sweep.sweep_id)
    return _so_far(nested, nested.sweep(name)) if sweep.num_finalists and nested.has_sweep(name) else None


def _running_finals(finals: SoFar | None, state: State) -> dict[str, Any] | None:
    if finals is None:
        return None
    sweep, trials = finals.sweep, finals.trials
    done, planned = sum(trial.num_epochs for trial in trials), sweep.num_trials * sweep.max_epochs
    return {
        "text": f"{counted(sweep.num_trials, 'training')} of {counted(sweep.max_epochs, 'epoch')}: {done} of {planned} "
        "epochs so far.",
        "heading": ("training", "outcome", "epochs", "best validation %"),
        "rows": [
            [each.trial_id, outcome_name(each, state), str(each.num_epochs), percent(each.best_validation_accuracy, 2)]
            for each in trials
        ],
        "note": "The best settings retrained: the mean over seeds chooses the winner once all have ended.",
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return asdict(cost) | {"idle_s": cost.idle_s, "text": cost_text(cost), "amount": cost_amount(cost)}


def _seconds_so_far(start: str, end: str) -> float | None:
    try:
        return seconds_between(start, end)
    except (ValueError, TypeError):
        return None


def _settings(trial: TrialRecord) -> dict[str, str]:
    """Every setting as tables print it."""
    return {name: setting(name, trial.config) for name in dict.fromkeys([*SETTINGS, *trial.config])}


def _without_repetition(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all rows have alike, and each row without it: most settings are one in all trials."""
    alike = dict(rows[0]) if rows else {}
    for row in rows:
        # True equals 1, which the page shows otherwise
        alike = {name: value for name, value in alike.items() if name in row and repr(row[name]) == repr(value)}
    return alike, [{name: value for name, value in row.items() if name not in alike} for row in rows]


_CURVES = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate")


def _columns(metrics: Sequence[EpochMetrics]) -> dict[str, dict[str, Any]]:
    """By trial: a list for each field, in the order in which epochs were reported; `order` counts over all trials."""
    trials: dict[str, dict[str, Any]] = {}
    for order, line in enumerate(metrics):
        columns = trials.setdefault(line.trial_id, defaultdict(list))
        columns["order"].append(order)
        for name in (*_CURVES, "seconds", "num_sharing", "node", "ended_at", "device"):
            columns[name].append(_short(getattr(line, name)))
    return trials


def _short(value: Any) -> Any:
    """Floats rounded to six digits: more than a screen shows, and half as long."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _evaluation(scores: TestScores) -> dict[str, Any]:
    labels, columns = score_columns([scores])
    published = REPORTED.get(scores.study)
    rows = dict(zip(scores.accuracy_by_class, scores.confusion_matrix, strict=True))
    return {
        "scores": asdict(scores),
        "labels": labels,
        "columns": [asdict(column) for column in columns],
        "note": report_note([scores]),
        "caution": caution(scores.dataset, scores.study),
        "class_intervals": {
            name: wilson_interval(row[index], sum(row)) if sum(row) else None
            for index, (name, row) in enumerate(rows.items())
        },
        "report": {"by_class": dict(published.accuracy_by_class)} if published else None,
    }
