"""Runs what is measured part by part, and reports it: a table for people, every reading as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.measuring import Figure, Readings, Spread, Target, Verdict, judge
from cifar_ray.data.split import TrainingData
from cifar_ray.provenance import cpu_model, now, package_versions, source_commit
from cifar_ray.storage.folder import FolderStore

COLUMNS = ("figure", "ours", "baseline", "ratio", "target", "met")
MET = {True: "yes", False: "NO", None: ""}
GIB = 2**30
INTERRUPTED = 130


def describe_run(data: TrainingData, seed: int, num_threads: int) -> dict[str, Any]:
    """Machine, versions, seed and data. Call it before measuring, so that the load is that of other processes."""
    record = data.record
    return {
        "machine": {
            "cpu": cpu_model(),
            "cores": num_threads,
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
            "load": round(os.getloadavg()[0], 2),
        },
        "versions": package_versions(),
        "commit": source_commit(),
        "seed": seed,
        "dataset": {
            "name": record.name,
            "fingerprint": record.fingerprint,
            "train": len(data.train),
            "validation": len(data.validation),
        },
        "at": now(),
    }


def run_parts(
    parts: Mapping[str, Callable[[], None]],
    figures: Sequence[Figure],
    run: Mapping[str, Any],
    readings: Readings,
    out: Path,
) -> int:
    """Measure each part under its headline; the exit code.

    What was measured is kept after each part, and reported whatever ends the run.
    """

    def keep() -> list[Verdict]:
        verdicts = judge_all(figures, readings)
        write_json(out, run, verdicts, readings)
        return verdicts

    try:
        for headline, measure in parts.items():
            click.echo(headline)
            measure()
            keep()
    except KeyboardInterrupt:
        click.echo("interrupted: what was measured is kept")
        return INTERRUPTED
    finally:
        verdicts = keep()
        click.echo(f"\n{to_table(verdicts)}\n\n{to_notes(verdicts, run)}")
        if run.get("is_quick"):
            click.echo("quick: cut short, no numbers to quote")
        click.echo(f"every reading: {out}")
    return 0


def judge_all(figures: Iterable[Figure], readings: Readings) -> list[Verdict]:
    """Verdicts of the figures that were measured, in order."""
    verdicts = (judge(figure, readings.series) for figure in figures)
    return [verdict for verdict in verdicts if verdict is not None]


def to_table(verdicts: Sequence[Verdict]) -> str:
    """Lines of aligned columns; a target that was missed says NO."""
    rows = [COLUMNS, *(_row(verdict) for verdict in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def to_notes(verdicts: Sequence[Verdict], run: Mapping[str, Any]) -> str:
    """Which of several opponents counted, then machine, versions, commit, seed and data."""
    chosen = [
        f"baseline of “{verdict.figure.name}”: {(verdict.opponent_series or '').partition('/')[2]}"
        for verdict in verdicts
        if len(verdict.figure.opponents) > 1
    ]
    machine, data = run["machine"], run["dataset"]
    return "\n".join(
        [
            "medians (lowest–highest); a ratio is the median of each round's own",
            *chosen,
            f"machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
            + (f", {machine['accelerator']}" if "accelerator" in machine else "")
            + f"; load {machine['load']} beforehand",
            f"versions: {', '.join(f'{name} {version}' for name, version in run['versions'].items())}",
            f"commit {run['commit'] or 'unknown'}, seed {run['seed']}, at {run['at']}",
            f"data: {data['name']}, {data['train']} training and {data['validation']} validation images",
        ]
    )


def write_json(path: Path, run: Mapping[str, Any], verdicts: Sequence[Verdict], readings: Readings) -> None:
    """Write the run, its verdicts and every reading, atomically."""
    content = {**run, "figures": [asdict(verdict) for verdict in verdicts], "readings": readings.series}
    FolderStore(path.parent).write(path.name, f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode())


def _row(verdict: Verdict) -> tuple[str, ...]:
    figure = verdict.figure
    return (
        f"{figure.name} (n={verdict.num_rounds})",
        _spread(verdict.ours, figure.unit),
        _spread(verdict.opponent, figure.unit) if verdict.opponent else "",
        _ratio(verdict),
        _target(figure.target, "" if figure.opponents else f" {figure.unit}"),
        MET[verdict.is_met],
    )


def _spread(spread: Spread, unit: str) -> str:
    return f"{_numbers(spread)} {unit}"


def _ratio(verdict: Verdict) -> str:
    if verdict.ratio is None:
        return ""
    meaning = "faster" if verdict.figure.ratio == "opponent / ours" else "of it"
    return f"{_numbers(verdict.ratio)} {meaning}"


def _target(target: Target | None, unit: str) -> str:
    if target is None:
        return ""
    return f"{'≥' if target.kind == 'at least' else '≤'} {target.value:.4g}{unit}"


def _numbers(spread: Spread) -> str:
    median = _number(spread.median)
    return median if spread.low == spread.high else f"{median} ({_number(spread.low)}–{_number(spread.high)})"


def _number(value: float) -> str:
    """Three significant digits, or all before the decimal point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
