"""The command behind `make bench`: measure both sides, print the table, keep every reading."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.catalogue import SECTIONS
from benchmarks.measuring import Readings, Verdict
from benchmarks.report import describe_run, judge_all, to_notes, to_table, write_json
from benchmarks.setting import OUT, Section, Setting, cut, load_data
from cifar_ray.errors import CifarRayError

QUICK_TRAIN, QUICK_VALIDATION = 10_000, 1_000
INTERRUPTED = 130


@click.command(help="Measure the package against what the public tutorials do, on the same data and seeds.")
@click.option("--section", "names", multiple=True, type=click.Choice(list(SECTIONS)), help="Only this one; repeatable.")
@click.option("--repeats", type=click.IntRange(1, 100), help="Rounds, each a reading of every side.  [default: 5]")
@click.option("--quick", "is_quick", is_flag=True, help="One round of little work, to see that everything runs.")
@click.option("--seed", default=0, show_default=True, help="Of split, batches, augmentation and configurations.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT / "bench.json", help="Where the JSON goes.")
def main(names: Sequence[str], repeats: int | None, is_quick: bool, seed: int, out: Path) -> None:
    """Run the sections, whatever becomes of each, and report what was measured, which is kept after each."""
    setting = _prepare(repeats or (1 if is_quick else 5), is_quick, seed, out)
    run = describe_run(setting.data, setting.seed, setting.num_threads) | {"is_quick": setting.is_quick}
    sections = [SECTIONS[name] for name in dict.fromkeys(names)] or list(SECTIONS.values())
    readings = Readings(lambda series, value: click.echo(f"    {series}: {value:.4g}"))
    failed: list[str] = []
    status = 0

    def keep() -> list[Verdict]:
        verdicts = judge_all((figure for section in sections for figure in section.figures), readings)
        write_json(out, run, verdicts, readings)
        return verdicts

    # stopped by others is stopped all the same
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for section in sections:
            if not _run(section, setting, readings):
                failed.append(section.name)
            keep()
    except KeyboardInterrupt:
        click.echo("interrupted: what was measured is kept")
        status = INTERRUPTED
    finally:
        _report(keep(), run, out)
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


def _run(section: Section, setting: Setting, readings: Readings) -> bool:
    """Measure a section; whether it came to its end."""
    num_rounds = section.rounds_of(setting)
    expected_s = num_rounds * (section.quick_round_s if setting.is_quick else section.round_s)
    click.echo(f"{section.name}: {section.what}; {num_rounds} rounds, about {expected_s / 60:.0f} min")
    started = time.monotonic()
    try:
        section.measure(setting, readings)
    except CifarRayError as error:
        error.show()
        return False
    finally:
        click.echo(f"  {section.name} took {time.monotonic() - started:.0f} s")
    return True


def _report(verdicts: Sequence[Verdict], run: Mapping[str, Any], out: Path) -> None:
    click.echo(f"\n{to_table(verdicts)}\n\n{to_notes(verdicts, run)}")
    if run["is_quick"]:
        click.echo("quick: cut short, no numbers to quote")
    click.echo(f"every reading: {out}")


if __name__ == "__main__":
    main()
