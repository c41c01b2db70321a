"""Writes the report of an evaluation as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cifar_ray.errors import plain
from cifar_ray.records import SweepRecord, SweepResult, TestScores
from cifar_ray.reporting.finals_rows import HEADING, NOTE, finals_rows
from cifar_ray.reporting.formats import (
    MISSING,
    budget_text,
    caution,
    chosen_by,
    cost_text,
    percent,
    resumed_text,
    seconds,
)
from cifar_ray.reporting.score_rows import report_note, score_columns
from cifar_ray.wording import counted

CURVES = "figures/curves.png"
CONFUSION = "figures/confusion.png"


def scores_table(scores: Sequence[TestScores]) -> str:
    """Test scores, ours beside the report's, accuracies in per cent."""
    labels, columns = score_columns(scores)
    rows = [[label, *(column.cells.get(label, MISSING) for column in columns)] for label in labels]
    return _table(["", *(column.heading for column in columns)], rows)


def confusion_table(scores: TestScores) -> str:
    """Images by true class (rows) and predicted class (columns)."""
    classes = list(scores.accuracy_by_class)
    rows = [[name, *map(str, row)] for name, row in zip(classes, scores.confusion_matrix, strict=True)]
    return _table(["true ↓ predicted →", *classes], rows)


def report_markdown(
    scores: Sequence[TestScores],
    sweeps: Mapping[str, SweepRecord],
    results: Mapping[str, SweepResult],
    usage: Mapping[str, str] | None = None,
) -> str:
    """The whole document; `sweeps`, `results` and `usage`, what each takes up in the store, are by sweep id.

    Figures are linked relative to it.
    """
    parts = ["# Test scores of the sweeps' winners", "Accuracies in per cent.", scores_table(scores)]
    cautions = dict.fromkeys(f"{each.study}: {text}" for each in scores if (text := caution(each.dataset, each.study)))
    notes = [text for text in (*cautions, report_note(scores)) if text]
    if notes:
        parts.append("\n".join(f"- {_escape(text)}" for text in notes))
    for each in scores:
        parts += _section(each, sweeps[each.sweep_id], results.get(each.sweep_id), (usage or {}).get(each.sweep_id))
    return "\n\n".join(parts) + "\n"


def _section(scores: TestScores, sweep: SweepRecord, result: SweepResult | None, usage: str | None) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in scores.versions.items())
    hardware = ", ".join(f"{name}: {value}" for name, value in sweep.hardware.items() if value)
    anew = f", retrained with seed {scores.seeds[0].seed}" if scores.seeds else ""
    lines = [
        f"winner: trial {scores.trial_id}{anew}, epoch {scores.epoch}, validation accuracy "
        f"{percent(scores.validation_accuracy, 2)} %; scored on {scores.device} at {scores.scored_at}",
        f"data: {scores.dataset.name} (source: {scores.dataset.source}), {scores.dataset.num_train:,} images to train, "
        f"{scores.dataset.num_validation:,} to validate; SHA-256 {scores.dataset.fingerprint[:12]} (train), "
        f"{scores.test_fingerprint[:12]} (test)",
        f"seed {sweep.seed}; searcher: {chosen_by(sweep)}; {budget_text(sweep)}",
        f"commit {sweep.commit or 'unknown'} (sweep), {scores.commit or 'unknown'} (test); {versions}",
        f"hardware: {hardware}",
        *(f"resumed {resumed_text(each, sweep)}" for each in sweep.resumptions),
    ]
    if result is not None:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(result.outcomes.items()))
        lines.append(
            f"cost: {counted(sweep.num_trials, 'trial')} ({outcomes}){_and_finals(result)}, "
            f"{counted(result.num_epochs, 'epoch')}, "
            f"{seconds(result.wall_s)} of wall time{' with pauses' if sweep.has_pauses else ''}, "
            f"{seconds(result.accelerator_seconds)} of accelerators"
        )
        if result.cost:
            lines.append(f"held: {cost_text(result.cost)}")
    if usage:
        lines.append(f"store: {usage}, before this report")
    lines += [f"remark: {remark}" for remark in scores.remarks]
    return [
        f"## {_escape(scores.study)}: sweep {_escape(scores.sweep_id)}",
        "\n".join(f"- {_escape(line)}" for line in lines),
        *([_escape(NOTE), _table(HEADING, finals_rows(result.finals))] if result and result.finals else []),
        f"![Accuracy by epoch of every trial](../../{scores.sweep_id}/report/{CURVES})",
        f"![Predicted by true class](../../{scores.sweep_id}/report/{CONFUSION})",
        confusion_table(scores),
    ]


def _and_finals(result: SweepResult) -> str:
    num_trained = sum(len(each.retrainings) for each in result.finals.finalists) if result.finals else 0
    return f" and {counted(num_trained, 'training')} of its finals" if num_trained else ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    alignment = [":--", *["--:"] * (len(heading) - 1)]
    lines = [[_escape(cell) for cell in row] for row in (heading, *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (lines[0], alignment, *lines[1:]))


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, whatever a name or an error holds."""
    # an underscore inside a word is no emphasis, and reads better bare
    return re.sub(r"[\\`*\[\]<>|~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", plain(text)).replace("&", "&amp;")
