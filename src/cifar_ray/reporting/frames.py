"""Reads a sweep into pandas frames: for notebooks, and for files that other tools read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
import pyarrow

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.progress.ranking import best_first
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.storage.runs import RunStore, open_sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

ExportFormat = Literal["parquet", "csv", "json"]


@dataclass(frozen=True, kw_only=True)
class SweepFrames:
    """What the store holds about a sweep, finished or not."""

    sweep: SweepRecord
    result: SweepResult | None
    """None until it finishes."""
    scores: TestScores | None
    """None until its winner is evaluated."""
    trials: pd.DataFrame
    """A row for each trial, the best first: the fields of TrialRecord, each setting, sweep_id and dataset.

    A setting that shares its name with a field is `config_<name>`. A running trial has its epochs so far.
    """
    epochs: pd.DataFrame
    """A row for each trial and epoch: the fields of EpochMetrics, sweep_id and dataset."""


def load_sweep(uri: str | PathLike[str]) -> SweepFrames:
    """The sweep at `<store>/<sweep id>`: an `s3://` URI or a folder, such as `results pull` makes.

    Credentials and endpoint come from the environment. UnknownNameError where there is no such sweep, StorageError
    where the store refuses, ConfigurationError where the URI is malformed or names the output of `results export`.
    """
    runs, sweep_id = open_sweep(uri)
    frames = read_frames(runs, sweep_id)
    tables = {f"{sweep_id}/trials.{kind}" for kind in get_args(ExportFormat)}
    if frames.trials.empty and (found := tables.intersection(runs.objects.keys(sweep_id))):
        raise ConfigurationError(
            f"{uri} has no records of trials, only what `cifar-ray results export` has made of them",
            f"load the sweep from its store or from what `results pull` has fetched, or read {min(found)} with pandas",
        )
    return frames


def read_frames(runs: RunStore, sweep_id: str) -> SweepFrames:
    """The sweep with that id; the store's errors pass through."""
    sweep = runs.sweep(sweep_id)
    trials = runs.trials_so_far(sweep_id)
    return SweepFrames(
        sweep=sweep,
        result=runs.result(sweep_id),
        scores=runs.test_scores(sweep_id),
        trials=_trials_frame(sweep, trials),
        epochs=_epochs_frame(sweep, runs.metrics(sweep_id)),
    )


def export_frames(frames: SweepFrames, folder: Path, kind: ExportFormat) -> list[Path]:
    """Write `trials` and `epochs` in that format, and the sweep's record beside them; returns the paths.

    RecordError where a setting has values of several types, which Parquet cannot hold in one column;
    ConfigurationError where nothing can be written.
    """
    assert kind in get_args(ExportFormat)
    try:
        return _export(frames, folder, kind)
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}", "write to another folder") from error


def _export(frames: SweepFrames, folder: Path, kind: ExportFormat) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frame in (("trials", frames.trials), ("epochs", frames.epochs)):
        paths.append(path := folder / f"{name}.{kind}")
        if kind == "parquet":
            _write_parquet(frame, path)
        elif kind == "csv":
            frame.map(_as_cell).rename(columns=_as_cell).to_csv(path, index=False)
        else:
            # pandas' own JSON keeps 15 decimals, which truncates a small learning rate
            rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
            path.write_text(json.dumps(rows, indent=2, allow_nan=False))
    paths.append(record := folder / "sweep.json")
    record.write_text(frames.sweep.to_json(), encoding="utf-8")
    return paths


def _as_cell(value: object) -> object:
    """Lists and mappings as JSON; text that a spreadsheet would run as a formula behind a quote; all else as it is."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    try:
        frame.to_parquet(path, engine="pyarrow", index=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise RecordError(f"not to be had as Parquet: {error.args[0]}", "take --format json or csv") from error


def _trials_frame(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> pd.DataFrame:
    rows = [_of_sweep(sweep) | _trial_row(trial) for trial in best_first(trials)]
    names = [name for name in TrialRecord.__dataclass_fields__ if name != "config"]
    frame = pd.DataFrame(rows, columns=None if rows else [*_of_sweep(sweep), *names])
    return frame.astype({"best_epoch": "Int64", "best_validation_accuracy": "float64"})


def _trial_row(trial: TrialRecord) -> dict[str, Any]:
    row = {name: value for name, value in asdict(trial).items() if name != "config"}
    return row | {
        f"config_{name}" if name in row or name in ("sweep_id", "dataset") else name: value
        for name, value in trial.config.items()
    }


def _epochs_frame(sweep: SweepRecord, metrics: Sequence[EpochMetrics]) -> pd.DataFrame:
    rows = [_of_sweep(sweep) | asdict(line) for line in metrics]
    names = [*_of_sweep(sweep), *EpochMetrics.__dataclass_fields__]
    return pd.DataFrame(rows, columns=names).astype({"train_loss": "float64", "validation_loss": "float64"})


def _of_sweep(sweep: SweepRecord) -> dict[str, str]:
    """The columns in every row by which rows of several sweeps can be told apart in one frame."""
    return {"sweep_id": sweep.sweep_id, "dataset": sweep.dataset.name}
