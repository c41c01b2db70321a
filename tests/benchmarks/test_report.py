import json
from pathlib import Path

from benchmarks.measuring import Figure, Readings, Target
from benchmarks.report import describe_run, judge_all, to_notes, to_table, write_json
from cifar_ray.data.split import TrainingData

FIGURES = (
    Figure(name="fast", unit="s", ours="a/ours", opponents=("a/b", "a/c"), target=Target(kind="at least", value=3.5)),
    Figure(
        name="dear",
        unit="s",
        ours="a/ours",
        opponents=("a/b",),
        ratio="ours / opponent",
        target=Target(kind="at most", value=0.1),
    ),
    Figure(name="large", unit="MB", ours="a/size"),
    Figure(name="unmeasured", unit="s", ours="a/nothing"),
)


def readings() -> Readings:
    taken = Readings()
    for ours, opponent in ((1.0, 4.0), (2.0, 8.0)):
        taken.note("a/ours", ours)
        taken.note("a/b", opponent)
    taken.note("a/size", 12345.6)
    return taken


def test_the_table_has_a_line_for_each_measured_figure_and_marks_misses() -> None:
    header, _, fast, dear, large = to_table(judge_all(FIGURES, readings())).splitlines()
    assert header.split() == ["figure", "ours", "baseline", "ratio", "target", "met"]
    assert fast.split("  ")[0] == "fast (n=2)"
    assert "1.5 (1–2) s" in fast
    assert "6 (4–8) s" in fast
    assert "4 faster" in fast
    assert fast.endswith("≥ 3.5   yes")
    assert "0.25 of it" in dear
    assert dear.endswith("≤ 0.1   NO")
    assert large.endswith("12346 MB")


def test_notes_name_the_opponent_the_machine_and_the_data(training_data: TrainingData) -> None:
    run = describe_run(training_data, seed=7, num_threads=2)
    notes = to_notes(judge_all(FIGURES, readings()), run)
    for expected in ("“fast”: b", "2 cores", "torch ", "seed 7", "commit ", "random, 180 training and 20 validation"):
        assert expected in notes


def test_the_json_holds_every_reading(training_data: TrainingData, tmp_path: Path) -> None:
    path = tmp_path / "out" / "bench.json"
    taken = readings()
    verdicts = judge_all(FIGURES, taken)
    write_json(path, describe_run(training_data, seed=0, num_threads=2), verdicts, taken)
    content = json.loads(path.read_text())
    assert content["readings"] == taken.series
    assert [figure["is_met"] for figure in content["figures"]] == [True, False, None]
    assert content["dataset"]["fingerprint"] == training_data.record.fingerprint
