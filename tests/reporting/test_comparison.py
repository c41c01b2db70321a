"""Comparisons of two real sweeps, and of made ones that differ in what must be said."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from cifar_ray.cli.main import main
from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.finals import Finals
from cifar_ray.provenance import Resumption
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult
from cifar_ray.reporting.comparison import Comparison, Contender, Score, compare
from cifar_ray.reporting.comparison_figure import BAND, comparison_figure
from cifar_ray.reporting.comparison_view import PAIRED, SELECTED, SINGLE, UNPAIRED, comparison_renderable, verdicts
from cifar_ray.reporting.leads import lead_of
from cifar_ray.reporting.paired import Paired
from cifar_ray.scrutiny import SeedScore
from cifar_ray.storage.answers import TestAnswers
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

RESULTS = Path(__file__).parents[2] / "docs/results"
ALONE, COHORT = "cnn-20261123-140840-f23b", "cnn-20261123-202106-86f1"
Put = Callable[..., None]


def printed(comparison: Comparison) -> str:
    file = io.StringIO()
    Console(file=file, width=100).print(comparison_renderable(comparison))
    return " ".join(file.getvalue().split())


def test_two_real_sweeps(tmp_path: Path) -> None:
    figure = tmp_path / "c.png"
    arguments = ["results", "compare", ALONE, COHORT, "--storage", str(RESULTS), "--figure", str(figure)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "test % 63.94 65.08 95 % interval 62.99 to 64.88 64.14 to 66.01" in text
    assert f"On the test set {COHORT} and {ALONE} are too close to call: 1.14 points" in text
    assert f"each {COHORT} leads {ALONE}" in text
    assert "val. % at same spend 63.70 66.16" in text
    assert "paired" in text
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_what_had_been_spent_is_the_records_own_sum() -> None:
    runs = RunStore(FolderStore(RESULTS))
    for contender in compare(runs, [ALONE, COHORT]).contenders:
        trials = runs.trials(contender.sweep.sweep_id)
        if contender.sweep.sweep_id == ALONE:
            assert contender.spent == pytest.approx(sum(trial.seconds for trial in trials))
        best = max(trial.best_validation_accuracy or 0 for trial in trials)
        score = contender.validation()
        assert score is not None
        assert score.accuracy == pytest.approx(best)


def test_the_best_at_a_spend_is_what_had_been_reached_by_then(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    worse = replace(epoch_metrics[3], validation_accuracy=0.01)
    broken = replace(epoch_metrics[2], validation_accuracy=0.99, train_loss=None)
    metrics = [epoch_metrics[0], epoch_metrics[1], broken, replace(worse, num_sharing=3)]
    contender = Contender(sweep=sweep_record, result=None, scores=None, metrics=metrics)
    assert [spent for spent, _ in contender.course] == pytest.approx([0.75, 1.5, 2.25, 2.5])
    assert [best for _, best in contender.course] == pytest.approx([0.15, 0.25, 0.25, 0.25])
    diverged = replace(contender, metrics=[broken, *metrics[:2]])
    assert [best for _, best in diverged.course] == [None, pytest.approx(0.15), pytest.approx(0.25)]
    assert diverged.validation(0.75) is None, "no epoch of finite losses"
    assert contender.validation(0.7) is None
    assert contender.validation(0.75) == Score(num_correct=750, num_images=5000)
    assert replace(contender, sweep=replace(sweep_record, accelerators_per_trial=0.0)).unit == "core-seconds"


def test_a_clear_lead_is_called_one(runs: RunStore, put: Put) -> None:
    put("cnn-1", 0.60)
    put("cnn-2", 0.64)
    put("cnn-3", 0.605)
    put("cnn-4")
    lines = verdicts(compare(runs, ["cnn-1", "cnn-2", "cnn-3", "cnn-4"]))
    assert lines[0].startswith("On the test set cnn-2 leads cnn-3 by 3.50 points, 95 % interval +2.16 to +4.84")
    assert lines[1].startswith("On the test set cnn-2 leads cnn-1 by 4.00 points")
    assert all("too close" in line for line in lines[2:])
    assert len(lines) == 5


RESUMED = Resumption(at="2026-01-01T00:00:00+00:00", commit="def", versions={}, hardware={})
ELSEWHERE = replace(RESUMED, commit="abc", hardware={"cpu_model": "another"})


@pytest.mark.parametrize(
    ("changes", "says", "has_verdict"),
    [
        ({}, None, True),
        ({"fingerprint": "cd" * 32}, "the training images differ", False),
        ({"grace_period": 2}, "budgets differ", True),
        ({"reduction_factor": 2}, "budgets differ", True),
        ({"commit": "def"}, "versions of the code differ", True),
        ({"resumptions": (RESUMED,)}, "versions of the code differ", True),
        ({"resumptions": (ELSEWHERE,)}, "machines differ", True),
        ({"definition": "[fixed]"}, "different definitions", True),
        ({"is_cohort": True}, "some trained in cohorts", True),
        ({"validation_share": 0.02}, "no validation accuracy is set against another", True),
        ({"num_trials": 3}, "budgets differ", True),
        ({"num_finalists": 2, "num_seeds": 2}, "budgets differ", True),
        ({"hardware": {"cpu_model": "another"}}, "machines differ", True),
        ({"hardware": {"cpus": "2", "accelerator_types": "T4"}}, "machines differ", True),
        ({"hardware": {"cpus": "4"}}, None, True),
        ({"accelerators_per_trial": 0.0}, "no same spend", True),
    ],
)
def test_cautions(runs: RunStore, put: Put, changes: dict[str, Any], says: str | None, has_verdict: bool) -> None:
    put("cnn-1", 0.6)
    put("cnn-2", 0.7, **changes)
    found = compare(runs, ["cnn-1", "cnn-2"])
    others = [text for text in found.cautions if not text.startswith("not finished: cnn-1, cnn-2")]
    assert [says in text for text in others] == [True] if says else others == []  # type: ignore[operator]
    assert (found.has_verdict, bool(verdicts(found))) == (has_verdict, has_verdict)
    assert (found.common_spent is None) == bool({"accelerators_per_trial", "validation_share"} & set(changes))
    assert ("On validation" in " ".join(verdicts(found))) == (has_verdict and found.common_spent is not None)


def test_other_classes_are_refused(runs: RunStore, put: Put) -> None:
    put("cnn-1")
    put("cnn-2", classes=("circle", "square"))
    done = CliRunner().invoke(main, ["results", "compare", "cnn-1", "cnn-2", "--storage", runs.objects.uri])
    assert done.exit_code == 2
    assert "cnn-2 on cifar10 (NOT CIFAR-10): their accuracies are of different tasks\nhint: " in done.output


def test_one_sweep_is_no_comparison(runs: RunStore, put: Put) -> None:
    put("cnn-1")
    with pytest.raises(ConfigurationError, match=r"(?m)two sweeps or more$"):
        compare(runs, ["cnn-1"])
    with pytest.raises(ConfigurationError, match="cnn-1 is the same one each time"):
        compare(runs, ["cnn-1", "cnn-1"])


def test_sweeps_without_an_epoch_and_hostile_names_are_drawn(runs: RunStore, put: Put, tmp_path: Path) -> None:
    put("cnn-1", 0.6)
    put("cnn-2", name="$x^$[red]\x1b[31m", commit="$")
    runs.write_metrics("cnn-2", [])
    figure = tmp_path / "c.png"
    arguments = ["cnn-1", "cnn-2", "--storage", runs.objects.uri, "--figure", str(figure)]
    done = CliRunner().invoke(main, ["results", "compare", *arguments])
    assert "$x^$[red] [31m" in done.output
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_answers_by_image_are_compared_in_pairs(runs: RunStore, put: Put, answer: Put) -> None:
    """The second is right where the first is, and on 60 images more: as of different images, too close to call."""
    put("cnn-1", 0.600)
    put("cnn-2", 0.606)
    put("cnn-3", 0.600)
    for sweep_id, num_correct, fingerprint in (("cnn-1", 6000, "cd"), ("cnn-2", 6060, "cd"), ("cnn-3", 6000, "ef")):
        answer(sweep_id, num_correct, fingerprint * 32)
    found = compare(runs, ["cnn-1", "cnn-2", "cnn-3"])
    assert any("the test images differ" in text for text in found.cautions)
    assert not any("test images" in text for text in compare(runs, ["cnn-1", "cnn-2"]).cautions)
    against_1, against_3 = verdicts(found)[:2]
    assert against_1.startswith("On the test set cnn-2 leads cnn-1 by 0.60 points, 95 % interval +0.4")
    assert "p = 1.7e-18; of 10,000 images 60 right by cnn-2 alone, 0 by cnn-1 alone." in against_1
    assert "too close to call" in against_3, "its answers are to other images"
    runs.write_answers(TestAnswers.pack("cnn-1", "cd" * 32, [0] * 10_000, [1] * 10_000))
    with pytest.raises(RecordError, match="the answers of sweep cnn-1 are damaged"):
        compare(runs, ["cnn-1", "cnn-2"])


def test_few_images_that_differ_are_no_lead_though_the_bootstrap_says_so() -> None:
    """Its interval is too narrow for so few; the exact test knows."""
    paired = Paired(num_images=10_000, only_first=5, only_second=0)
    assert paired.interval[0] > 0
    score = Score(num_correct=9000, num_images=10_000)
    found = [
        lead_of(score, "a", score, "b", paired=replace(paired, only_first=num_images)) for num_images in (5, 6, 3000)
    ]
    assert [each.is_clear for each in found] == [False, True, True]
    assert "too close to call" in found[0].text
    assert " leads " in found[1].text
    assert "p < 1e-300" in found[2].text


def test_what_another_sweep_has_found_is_not_had_for_less(runs: RunStore, put: Put) -> None:
    put("cnn-1")
    put("best-1", best_of="cnn-1")
    put("best-2", best_of="cnn-1")
    comparison = compare(runs, ["cnn-1", "best-1"])
    assert comparison.common_spent is None
    assert any("what the search took" in text for text in comparison.cautions)
    assert compare(runs, ["best-1", "best-2"]).common_spent is not None


def test_a_winner_of_several_seeds_shows_their_mean(runs: RunStore, put: Put) -> None:
    put("cnn-1", 0.60)
    put("cnn-2", 0.61)
    found = runs.test_scores("cnn-2")
    assert found is not None
    seeds = tuple(
        SeedScore(trial_id=f"t000{index}", seed=index, epoch=4, validation_accuracy=0.7, accuracy=accuracy)
        for index, accuracy in enumerate((0.61, 0.60, 0.59))
    )
    runs.write_test_scores(replace(found, seeds=seeds))
    arguments = ["cnn-1", "cnn-2", "--storage", runs.objects.uri]
    output = " ".join(CliRunner().invoke(main, ["results", "compare", *arguments]).output.split())
    assert "test %, mean of seeds – 60.00 (n = 3)" in output


def test_what_the_finals_trained_is_told_apart_from_the_search(tmp_path: Path) -> None:
    """The wall time and the price are of both."""
    sweeps = ["fast-20261126-082542-6d4f82a5", "cnn-20261126-151517-035ef72f"]
    figure = str(tmp_path / "c.png")
    done = CliRunner().invoke(main, ["results", "compare", *sweeps, "--storage", str(RESULTS), "--figure", figure])
    assert done.exit_code == 0, done.output
    output = " ".join(done.output.split())
    assert "epochs trained 24 + 52 in finals 900" in output
    assert "core-s, then finals" in output
    assert "finals: mean val. % 90.54 (n = 2) –" in output
    assert "some search by trainings shorter than their finals" in output
    assert "at same spend" not in output
    assert "On validation" not in output


@pytest.mark.parametrize(
    ("accuracy", "notes"),
    [(None, {PAIRED}), (0.60, {PAIRED, UNPAIRED}), (0.64, {UNPAIRED})],
    ids=["not scored yet", "a follower without answers", "a leader without answers"],
)
def test_the_notes_are_of_the_lines_above_them(
    runs: RunStore, put: Put, answer: Put, accuracy: float | None, notes: set[str]
) -> None:
    for sweep_id, each in (("cnn-1", 0.62), ("cnn-2", 0.61), ("cnn-3", accuracy)):
        put(sweep_id, each)
    answer("cnn-1", 6200)
    answer("cnn-2", 6100)
    said = printed(compare(runs, ["cnn-1", "cnn-2", "cnn-3"]))
    assert {note for note in (PAIRED, UNPAIRED) if note in said} == notes
    assert ("p = " in said) == (PAIRED in notes)


def test_a_lead_on_validation_alone_says_how_little_it_is(runs: RunStore, put: Put) -> None:
    """Of two sweeps that are not evaluated; there is no such lead between the means of several seeds."""
    for name in ("one", "two"):
        for seed in (0, 1):
            put(f"{name}-{seed}", study=name, seed=seed)
    assert SINGLE in printed(compare(runs, ["one-0", "two-0"]))
    over_seeds = printed(compare(runs, ["one-0", "one-1", "two-0", "two-1"]))
    assert (SINGLE in over_seeds, SELECTED in over_seeds) == (False, True)
    put("other", study="other", fingerprint="cd" * 32)
    apart = printed(compare(runs, ["one-0", "other"]))
    assert (SINGLE in apart, SELECTED in apart) == (False, True), "the table has their intervals all the same"


def test_the_figure_says_what_its_band_is_whatever_the_cautions(
    runs: RunStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr("cifar_ray.reporting.comparison_figure.set_note", lambda _, text: notes.append(text))
    put("one")
    put("two", commit="def")
    comparison_figure(compare(runs, ["one", "two"]))
    assert notes[0].startswith(f"{BAND}; not finished: one, two")
    assert "versions of the code differ" in notes[0]


def test_more_than_three_sweeps_stand_below_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns no accuracy is broken; nothing is written unasked."""
    monkeypatch.chdir(tmp_path)
    sweeps = sorted(folder.name for folder in RESULTS.glob("cnn-2026*"))
    done = CliRunner().invoke(main, ["results", "compare", *sweeps, "--storage", str(RESULTS)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    # below the table, too, lines may begin with an id
    rows = {line.split()[0]: line.split() for line in reversed(lines) if line.startswith(tuple(sweeps))}
    assert rows.keys() == set(sweeps)
    assert rows[ALONE][:6] == [ALONE, "0", "63.94", "62.99", "to", "64.88"]
    assert "a wider terminal has them" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", ["40", "50", "60"])
@pytest.mark.parametrize("num_sweeps", [2, 4])
def test_a_narrow_terminal_breaks_no_number(width: str, num_sweeps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    sweeps = [COHORT, ALONE, "cnn-24-seed-0", "cnn-24-seed-1"][:num_sweeps]
    done = CliRunner().invoke(main, ["results", "compare", *sweeps, "--storage", str(RESULTS)])
    assert done.exit_code == 0, done.output
    table = done.output.partition("caution")[0]
    assert max(map(len, table.splitlines())) <= int(width)
    assert "…" not in table
    for number in ("65.08", "63.94", "64.14", "62.99", *["66.20"] * (num_sweeps == 4)):
        assert number in table.split()


def test_ids_stay_whole_where_labels_can_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "66")
    done = CliRunner().invoke(main, ["results", "compare", ALONE, COHORT, "--storage", str(RESULTS)])
    assert done.output.split()[:2] == [ALONE, COHORT]


def test_a_comparison_for_a_program(runs: RunStore, put: Put, answer: Put, tmp_path: Path) -> None:
    put("cnn-1", 0.60, commit="0123456789ab-dirty")
    put("cnn-2", 0.64)
    answer("cnn-1", 6000)
    answer("cnn-2", 6400)
    arguments = ["results", "compare", "cnn-1", "cnn-2", "--storage", runs.objects.uri]
    assert " 0123456-dirty " in CliRunner().invoke(main, arguments).output
    done = CliRunner().invoke(main, [*arguments, "--json", "--figure", str(tmp_path / "c.png")])
    found = json.loads(done.stdout)
    first, second = found["contenders"]
    assert (first["id"], first["test"]["accuracy"], first["validation"]) == ("cnn-1", 0.6, 0.45)
    assert (second["commit"], second["grace_period"], second["unit"]) == ("abc", 1, "accelerator-seconds")
    assert (found["groups"], len(found["cautions"])) == ([], 2)
    lead = found["leads"][0]
    assert (lead["on"], lead["first"], lead["second"], lead["is_clear"]) == ("the test set", "cnn-2", "cnn-1", True)
    assert (lead["difference"], lead["p_value"] < 1e-9, lead["num_pairs"]) == (0.04, True, None)
    assert lead["interval"][0] < 0.04 < lead["interval"][1]
    assert lead["text"].startswith("On the test set cnn-2 leads cnn-1 by 4.00 points")
    assert "figure: " in done.stderr


def test_a_sweep_without_a_finite_epoch_has_no_accuracy(
    runs: RunStore, put: Put, epoch_metrics: list[EpochMetrics]
) -> None:
    put("cnn-1")
    put("cnn-2")
    runs.write_metrics("cnn-2", [replace(line, train_loss=None) for line in epoch_metrics[:4]])
    comparison = compare(runs, ["cnn-1", "cnn-2"])
    assert verdicts(comparison) == []
    assert comparison_figure(comparison).startswith(b"\x89PNG")


def test_sweeps_before_their_first_epoch_have_a_figure_all_the_same(runs: RunStore, put: Put) -> None:
    for sweep in ("cnn-1", "cnn-2"):
        put(sweep)
        runs.write_metrics(sweep, [])
    assert comparison_figure(compare(runs, ["cnn-1", "cnn-2"])).startswith(b"\x89PNG")


def test_the_mean_of_the_finals_counts_the_trainings_that_have_an_accuracy(
    runs: RunStore, put: Put, result: SweepResult, finals_of: Callable[..., Finals]
) -> None:
    put("cnn-1")
    put("cnn-2")
    runs.write_result(replace(result, finals=finals_of("t0000", 0.5, 0.5, 0.6, None)))
    done = CliRunner().invoke(main, ["results", "compare", "cnn-1", "cnn-2", "--storage", runs.objects.uri])
    assert "finals: mean val. % 55.00 (n = 2) –" in " ".join(done.output.split())
