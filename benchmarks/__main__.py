"""The command behind `make bench`: measures both sides of every comparison."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from benchmarks.measuring import Readings
from benchmarks.report import describe_run, run_parts
from benchmarks.sections.checkpoints import CHECKPOINTS
from benchmarks.sections.cohort import COHORT
from benchmarks.sections.data_path import DATA
from benchmarks.sections.peak import PEAK
from benchmarks.sections.resnet import RESNET
from benchmarks.sections.scheduling import SCHEDULING
from benchmarks.sections.single import SINGLE
from benchmarks.sections.sweep import SWEEP
from benchmarks.setting import OUT, Section, Setting, cut, load_data
from cifar_ray.errors import CifarRayError

SECTIONS = {section.name: section for section in (DATA, SINGLE, RESNET, COHORT, SWEEP, SCHEDULING, CHECKPOINTS, PEAK)}
"""In the order in which they run."""
QUICK_TRAIN, QUICK_VALIDATION = 10_000, 1_000


@click.command(help="Measure the package against what the public tutorials do, on the same data and seeds.")
@click.option("--section", "names", multiple=True, type=click.Choice(list(SECTIONS)), help="Only this one; repeatable.")
@click.option("--repeats", type=click.IntRange(1, 100), help="Rounds, each a reading of every side.  [default: 5]")
@click.option("--quick", "is_quick", is_flag=True, help="One round of little work, to see that everything runs.")
@click.option("--seed", default=0, show_default=True, help="Of split, batches, augmentation and configurations.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT / "bench.json", help="Where the JSON goes.")
def main(names: Sequence[str], repeats: int | None, is_quick: bool, seed: int, out: Path) -> None:
    """Run the sections, even if some fail, and report the results, which are saved after each."""
    setting = _prepare(repeats or (1 if is_quick else 5), is_quick, seed, out)
    run = describe_run(setting.data, setting.seed, setting.num_threads) | {"is_quick": setting.is_quick}
    sections = [SECTIONS[name] for name in dict.fromkeys(names)] or list(SECTIONS.values())
    readings = Readings(lambda series, value: click.echo(f"    {series}: {value:.4g}"))
    failed: list[str] = []
    parts = {_headline(section, setting): partial(_measure, section, setting, readings, failed) for section in sections}
    figures = [figure for section in sections for figure in section.figures]
    # handled as Ctrl-C is
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = run_parts(parts, figures, run, readings, out)
    if failed:
        click.echo(f"not measured to the end: {', '.join(failed)}", err=True)
    sys.exit(status or int(bool(failed)))


def _prepare(num_rounds: int, is_quick: bool, seed: int, out: Path) -> Setting:
    click.echo("loading the data")
    data = load_data(seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    log_path = out.with_name(f"{out.stem}-output.log")
    log_path.unlink(missing_ok=True)
    return Setting(
        data=cut(data, QUICK_TRAIN, QUICK_VALIDATION) if is_quick else data,
        seed=seed,
        num_rounds=num_rounds,
        is_quick=is_quick,
        num_threads=len(os.sched_getaffinity(0)),
        log_path=log_path,
    )


def _headline(section: Section, setting: Setting) -> str:
    num_rounds = section.rounds_of(setting)
    expected_s = num_rounds * (section.quick_round_s if setting.is_quick else section.round_s)
    return f"{section.name}: {section.what}; {num_rounds} rounds, about {expected_s / 60:.0f} min"


def _measure(section: Section, setting: Setting, readings: Readings, failed: list[str]) -> None:
    """Measure a section; if it fails, say why and add its name to `failed`."""
    started = time.monotonic()
    try:
        section.measure(setting, readings)
    except CifarRayError as error:
        error.show()
        failed.append(section.name)
    finally:
        click.echo(f"  {section.name} took {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
