"""Scheduling: what Ray Tune with our settings costs where trials only sleep."""

from __future__ import annotations

from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target
from benchmarks.setting import Section, Setting, cut
from benchmarks.sleeping import NAP_S, NUM_EPOCHS, SleepingSweep, run_sleeping
from benchmarks.sweeps import ENVIRON

COUNTS = (30, 300, 1000)
QUICK_COUNTS = (30,)
FEWEST, MOST = COUNTS[0], COUNTS[-1]
KINDS = {"in a cohort": True, "one by one": False}
"""Whether the trials wait for an engine, as those of `cnn` do by default, or each sleeps in its own process."""
NUM_IMAGES = 100
"""Few, so that the driver's memory is that of its trials."""
MEGA = 1e6


def _series(what: str, kind: str, count: int) -> str:
    return f"scheduling/{what}, {count} trials {kind}"


def _figures_of(kind: str) -> tuple[Figure, ...]:
    at_most_a_twentieth = Target(kind="at most", value=0.05)
    return (
        *(
            Figure(
                name=f"scheduling: overhead of a trial-epoch, {count} trials {kind}",
                unit="s",
                ours=_series("overhead", kind, count),
                target=at_most_a_twentieth,
            )
            for count in COUNTS
        ),
        Figure(
            # the same, within the noise of ten per cent
            name=f"scheduling: a trial of {MOST} beside one of {FEWEST}, {kind}",
            unit="s",
            ours=_series("overhead", kind, MOST),
            opponents=(_series("overhead", kind, FEWEST),),
            ratio="ours / opponent",
            target=Target(kind="at most", value=1.1),
        ),
        Figure(
            name=f"scheduling: driver's peak memory, {MOST} trials {kind}",
            unit="MB",
            ours=_series("memory", kind, MOST),
            target=Target(kind="at most", value=1000),
        ),
        *(
            Figure(
                name=f"scheduling: until the first of {count} trials {kind} starts",
                unit="s",
                ours=_series("start", kind, count),
            )
            for count in COUNTS
        ),
    )


FIGURES = tuple(figure for kind in KINDS for figure in _figures_of(kind))


def measure(setting: Setting, readings: Readings) -> None:
    """A sweep of each kind and size, each in a fresh process."""
    data = cut(setting.data, NUM_IMAGES, NUM_IMAGES)
    for _ in range(SCHEDULING.rounds_of(setting)):
        for count in QUICK_COUNTS if setting.is_quick else COUNTS:
            for kind, is_cohort in KINDS.items():
                with Contender(setting, data=data, environ=ENVIRON) as side:
                    sleep: SleepingSweep = side.run(run_sleeping, count, setting.seed, setting.num_threads, is_cohort)
                _note(readings, sleep, kind, count)


def _note(readings: Readings, sleep: SleepingSweep, kind: str, count: int) -> None:
    """The overhead is what a trial-epoch takes beyond the sleeping, counted from the first trial's start."""
    beyond_s = sleep.run.seconds - sleep.start_s - sleep.slept_s
    readings.note(_series("start", kind, count), sleep.start_s)
    readings.note(_series("overhead", kind, count), beyond_s / sleep.run.num_epochs)
    readings.note(_series("memory", kind, count), sleep.peak_bytes / MEGA)


SCHEDULING = Section(
    name="scheduling",
    what=f"sweeps of {', '.join(map(str, COUNTS))} trials that sleep for {NUM_EPOCHS} epochs of {NAP_S:g} s",
    round_s=400,
    quick_round_s=60,
    figures=FIGURES,
    measure=measure,
    max_rounds=3,
)
