"""The command behind `make bench-gpu`: what one GPU does, without Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.gpu_figures import FIGURES
from benchmarks.gpu_training import measure_accuracy, measure_peaks, measure_resnet, measure_study
from benchmarks.measuring import Readings, Verdict
from benchmarks.quiet import quieten_lightning
from benchmarks.report import describe_run, judge_all, to_notes, to_table, write_json
from benchmarks.setting import OUT, load_data
from cifar_ray.errors import CifarRayError
from cifar_ray.training.device import choose_device

INTERRUPTED = 130


@click.command(help="Measure both ResNets, the study `cnn` in cohorts and the peaks of one GPU.")
@click.option("--repeats", type=click.IntRange(1, 100), default=3, show_default=True, help="Readings of each.")
@click.option("--to-accuracy", is_flag=True, help="Also train until the test accuracies are reached: some minutes.")
@click.option("--no-study", is_flag=True, help="Leave the study out.")
@click.option("--seed", default=0, show_default=True, help="Of split, batches, augmentation and configurations.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT / "bench-gpu.json", help="Where the JSON goes.")
def main(repeats: int, to_accuracy: bool, no_study: bool, seed: int, out: Path) -> None:
    """Run the parts and report what was measured."""
    device = choose_device()
    if device.type != "cuda":
        raise CifarRayError("torch sees no CUDA device here", "`make bench` measures the CPU")
    quieten_lightning()
    click.echo("loading the data")
    data = load_data(seed)
    run = describe_run(data, seed, len(os.sched_getaffinity(0)))
    run["machine"]["accelerator"] = torch.cuda.get_device_name(device)
    readings = Readings(lambda series, value: click.echo(f"    {series}: {value:.4g}"))
    parts: dict[str, Callable[[], None]] = {
        "measured peaks": lambda: measure_peaks(device, repeats, readings),
        "ResNets, some epochs of each": lambda: measure_resnet(data, repeats, seed, readings),
    }
    if not no_study:
        parts["the study `cnn` in one cohort, successive halving"] = lambda: measure_study(
            data, repeats, seed, readings
        )
    if to_accuracy:
        parts["training to the test accuracies"] = lambda: measure_accuracy(data, repeats, seed, readings)
    sys.exit(_run(parts, run, readings, out))


def _run(parts: Mapping[str, Callable[[], None]], run: Mapping[str, Any], readings: Readings, out: Path) -> int:
    """The exit code; whatever ends it, what was measured is reported, and kept part by part."""

    def keep() -> list[Verdict]:
        verdicts = judge_all(FIGURES, readings)
        write_json(out, run, verdicts, readings)
        return verdicts

    try:
        for what, measure in parts.items():
            click.echo(what)
            measure()
            keep()
    except KeyboardInterrupt:
        click.echo("interrupted: what was measured is kept")
        return INTERRUPTED
    finally:
        verdicts = keep()
        click.echo(f"\n{to_table(verdicts)}\n\n{to_notes(verdicts, run)}\nevery reading: {out}")
    return 0


if __name__ == "__main__":
    main()
