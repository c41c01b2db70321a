"""The command behind `make bench-gpu`: what one GPU does, without Ray."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click
import torch

from benchmarks.gpu_figures import FIGURES
from benchmarks.gpu_training import measure_accuracy, measure_peaks, measure_resnet, measure_study
from benchmarks.measuring import Readings
from benchmarks.quiet import quieten_lightning
from benchmarks.report import describe_run, run_parts
from benchmarks.setting import OUT, load_data
from cifar_ray.errors import CifarRayError
from cifar_ray.training.device import choose_device


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
    arguments = (data, repeats, seed, readings)
    parts = {
        "measured peaks": partial(measure_peaks, device, repeats, readings),
        "ResNets, some epochs of each": partial(measure_resnet, *arguments),
    }
    if not no_study:
        parts["the study `cnn` in one cohort, successive halving"] = partial(measure_study, *arguments)
    if to_accuracy:
        parts["training to the test accuracies"] = partial(measure_accuracy, *arguments)
    sys.exit(run_parts(parts, FIGURES, run, readings, out))


if __name__ == "__main__":
    main()
