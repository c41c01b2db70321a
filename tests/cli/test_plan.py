"""`cifar-ray plan` as a person types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cifar_ray.cli.main import main
from cifar_ray.errors import ConfigurationError
from cifar_ray.planning import planner
from cifar_ray.planning.finished_sweep import FinishedSweep

RESULTS = str(Path(__file__).parents[2] / "docs" / "results")
ALONE, COHORT = "cnn-20261123-140840-f23b", "cnn-20261123-202106-86f1"
FAST = "fast-20261127-103736-1b5cbc14"
SMALL = ("--trials", "8", "--workers", "1,2", "--reduction-factor", "4", "--simulations", "3")


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments])


def test_curves_from_the_store_make_a_table_and_a_figure(tmp_path: Path) -> None:
    figure = tmp_path / "plan.png"
    done = plan("cnn", "--curves", COHORT, "--storage", RESULTS, *SMALL, "--figure", str(figure))
    assert done.exit_code == 0, done.output
    assert "check of the mechanics" in done.output
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "simulating" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("next: cifar-ray job submit cnn"), "what to do with the advice"


def test_a_plan_for_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (prices := tmp_path / "prices.toml").write_text('currency = "EUR"\n[CPU]\non_demand = 0.5\n')
    monkeypatch.setenv("CIFAR_RAY_PRICES", str(prices))
    monkeypatch.chdir(tmp_path)
    done = plan("cnn", "--curves", COHORT, "--storage", RESULTS, *SMALL, "--deadline", "1s", "--json")
    found = json.loads(done.stdout)
    assert [(each["workers"], each["trials"], each["reduction_factor"]) for each in found["setups"]] == [
        *((workers, 8, 4) for workers in (1, 2)),
        *((workers, 30, None) for workers in (1, 2)),
    ]
    assert [each["is_full_search"] for each in found["setups"]] == [False, False, True, True]
    for each in found["setups"]:
        assert each["cost"]["mean"] == pytest.approx(0.5 * each["hours"]["mean"])
        assert each["accuracy"]["low"] <= each["accuracy"]["mean"] <= each["accuracy"]["high"] < 1
    assert (found["advised"] in found["setups"], found["is_met"], found["currency"]) == (True, False, "EUR")
    assert found["command"].startswith("cifar-ray job submit cnn --trials 8")
    assert not list(tmp_path.glob("*.png"))


def test_curves_by_the_path_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def simulate(request: object, finished: Sequence[FinishedSweep], *_: object) -> None:
        taken.extend(each.sweep.sweep_id for each in finished)
        raise ConfigurationError("enough")

    monkeypatch.setattr(planner, "make_plan", simulate)
    plan("cnn", "--curves", f"{RESULTS}/{COHORT}/", "--curves", ALONE, "--storage", RESULTS)
    assert taken == [COHORT, ALONE]


@pytest.mark.parametrize(("factor", "rungs"), [("2", [1, 2, 4, 8, 16, 30]), ("3", [1, 3, 9, 27, 30])])
def test_the_rungs_are_of_the_sweep_that_is_planned(factor: str, rungs: list[int], tmp_path: Path) -> None:
    """Not of the study, which has another factor and more trials."""
    figure = str(tmp_path / "plan.png")
    done = plan(
        "cnn", "--trials", "8", "--reduction-factor", factor, "--workers", "1", "--simulations", "2", "--figure", figure
    )
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines() if line.strip().startswith("epoch ")]
    assert [int(row[1].rstrip(",")) for row in rows] == rungs
    assert rows[0][-1] == "8.0", "all begin"


def test_a_seed_changes_no_forecast_and_its_help_says_so(tmp_path: Path) -> None:
    def shown(seed: str) -> list[str]:
        done = plan("cnn", *SMALL, "--seed", seed, "--figure", str(tmp_path / "plan.png"))
        return done.stdout[done.stdout.index("ASHA's rungs") :].splitlines()

    first, second = shown("0"), shown("7")
    assert second == [*first[:-1], f"{first[-1]} --seed 7"]
    assert "No forecast depends on it" in " ".join(plan("--help").output.split())


def test_a_deadline_and_prices_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "EUR"\n[A100]\non_demand = 3.0\n')
    monkeypatch.setenv("CIFAR_RAY_PRICES", str(prices))
    done = plan(
        "fast",
        "--epoch-s",
        "5",
        "--accelerator",
        "A100",
        "--deadline",
        "1h",
        *SMALL,
        "--figure",
        str(tmp_path / "p.png"),
    )
    assert done.exit_code == 0, done.output
    assert "the best of these set-ups within 1 h 00 min" in done.output
    assert "EUR" in done.output


def test_cpu_in_small_letters_is_no_accelerator(tmp_path: Path) -> None:
    done = plan("cnn", "--accelerator", "cpu", *SMALL, "--figure", str(tmp_path / "plan.png"))
    assert done.exit_code == 0, done.output
    assert "core-hours" in done.output
    assert "accelerator-hours" not in done.output
    assert "--accelerator" not in done.stdout.splitlines()[-1], "a job on CPUs names no type"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cnnn"], "did you mean cnn, cnn-ema?"),
        (["cnn", "--workers", "two"], "--workers: 'two' is not a list of numbers"),
        (["cnn", "--workers", "0"], "--workers: 0 is out of range"),
        (["cnn", "--workers", "1,,2"], "is not a list of numbers"),
        (["cnn", "--trials", "-3"], "is not a list of numbers"),
        (["cnn", "--reduction-factor", "1"], "--reduction-factor: 1 is out of range"),
        (["cnn", "--searcher", "pbt"], "plans simulate ASHA, not the training of a population"),
        (["cnn", "--deadline", "soon"], "--deadline: 'soon' is no length of time"),
        (["cnn", "--deadline", "0h"], "is no length of time"),
        (["cnn", "--budget", "nan"], "--budget: nan is out of range"),
        (["cnn", "--chance", "101"], "--chance: 101 is out of range"),
        (["cnn", "--epoch-s", "0"], "--epoch-s: 0 is out of range"),
        (["cnn", "--max-epochs", "0"], "max epochs: 0 is out of range"),
        (["cnn", "--grace-period", "31"], "grace period: 31"),
        (["cnn", "--curves", "nope", "--storage", RESULTS], "unknown sweep 'nope'"),
        (
            ["cnn", "--curves", f"{RESULTS}/nope"],
            f"unknown sweep 'nope'\nhint: `cifar-ray results list --storage {RESULTS}` shows what there is",
        ),
        (
            ["cnn", "--curves", f"{RESULTS}/"],
            f"is a store of sweeps, and no sweep\nhint: name one of them: {RESULTS}/resnet18-",
        ),
        (["resnet", "--curves", ALONE, "--storage", RESULTS], "is of the study cnn"),
        (
            ["fast", "--curves", f"{RESULTS}/{FAST}/{FAST}-finals"],
            f"is the finals of {FAST}, of its best configurations alone\nhint: take the curves of that sweep: --curves "
            f"{RESULTS}/{FAST}\n",
        ),
        (["cnn", "--curves", ALONE, "--storage", RESULTS], "trained individually"),
        *((["cnn", "--accelerator", name], f"--accelerator: {name!r} is no type") for name in ("", " ")),
        (["cnn", "--reduction-factor", "0.5"], "write them as in --reduction-factor 2,4,8"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(arguments: list[str], says: str) -> None:
    done = plan(*arguments)
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert "Traceback" not in done.output


def test_what_is_wrong_in_itself_is_refused_without_a_wait_for_ray() -> None:
    """Which takes two seconds to load."""
    wrong = ("--figure x.jpg", "--searcher pbt", "--max-epochs -3", "--grace-period 40", "--accelerator=")
    code = (
        "import sys; from click.testing import CliRunner; from cifar_ray.cli.main import main\n"
        f"for words in {wrong!r}: print(CliRunner().invoke(main, ['plan', 'cnn', *words.split()]).exit_code)\n"
        "print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["2"] * len(wrong) + ["False"]


@pytest.mark.parametrize(
    ("file", "was", "instead", "says"),
    [
        ("sweep.json", '"started_at": "', '"started_at": "x', "sweep.json: SweepRecord.started_at: "),
        ("result.json", '"finished_at": "', '"finished_at": "x', "result.json: SweepResult.finished_at: "),
        ("sweep.json", '"cpus": "2"', '"cpus": "two"', "sweep.json: SweepRecord.hardware: "),
        ("metrics.jsonl", '"epoch":1,', '"epoch":0,', "metrics.jsonl, line 1: EpochMetrics.epoch: "),
        ("metrics.jsonl", "+00:00", "", "metrics.jsonl, line 1: EpochMetrics.ended_at: "),
        *(
            ("metrics.jsonl", f'"epoch":{epoch},', '"epoch":3,', "metrics.jsonl: not each epoch of t")
            for epoch in (1, 2, 4)
        ),
        ("trials/t0000/trial.json", '"at": "', '"at": "x', "trials/t0000/trial.json: TrialRecord.events.0.at: "),
        (
            "trials/t0000/trial.json",
            '"model": ',
            '"name": ',
            "trials/t0000/trial.json: TrialRecord.config: no model\nhint: the record is damaged or from another",
        ),
    ],
)
def test_a_damaged_record_is_named(file: str, was: str, instead: str, says: str, tmp_path: Path) -> None:
    folder = tmp_path / "cnn-24-seed-0"
    shutil.copytree(Path(RESULTS) / folder.name, folder)
    text = (folder / file).read_text()
    assert was in text
    (folder / file).write_text(text.replace(was, instead))
    done = plan("cnn", "--max-epochs", "24", "--curves", str(folder), *SMALL, "--figure", str(tmp_path / "p.png"))
    assert done.exit_code == 2, done.output
    assert f"error: {folder.name}/{says}" in done.output


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        (
            "/no/such/folder/p.png",
            "/no/such/folder/p.png: there is no folder /no/such/folder\nhint: make it, or take another --figure",
        ),
        ("p.svg", "p.svg: figures are PNG files\nhint: take another --figure, whose name ends in .png"),
        (f"/tmp/{'p' * 300}.png", f"/tmp/{'p' * 300}.png: File name too long\nhint: take another --figure"),
    ],
    ids=["no folder", "another kind", "too long"],
)
def test_a_figure_that_cannot_be_is_refused_before_anything_is_simulated(
    figure: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "make_plan", lambda *_: pytest.fail("it was simulated"))
    done = plan("cnn", *SMALL, "--figure", figure)
    assert (done.exit_code, done.output) == (2, f"error: {says}\n")


def test_a_figure_that_cannot_be_written_is_refused_before_anything_is_simulated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(planner, "make_plan", lambda *_: pytest.fail("it was simulated"))
    # not by its mode: who is root may write all the same
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    done = plan("cnn", *SMALL, "--figure", str(tmp_path / "p.png"))
    assert done.exit_code == 2
    said = f"error: the figure {tmp_path}/p.png cannot be written\nhint: name a file elsewhere with --figure\n"
    assert done.output == said


@pytest.mark.parametrize("trials", [["5"], ["1000", "2000"]])
def test_trials_that_are_not_the_studys_are_said_at_the_top(trials: list[str], tmp_path: Path) -> None:
    asked = ("--trials", ",".join(trials), "--workers", "1", "--reduction-factor", "4", "--simulations", "1")
    done = plan("cnn", *asked, "--figure", str(tmp_path / "p.png"))
    said = ", ".join(f"{int(each):,}" for each in trials)
    assert "30 trials of at most 30 epochs" in done.output
    assert f"planned: {said} trials in place of the study's 30" in done.output


def test_a_grace_period_is_planned_and_in_the_command(tmp_path: Path) -> None:
    asked = ("--grace-period", "3", "--trials", "5", "--workers", "1", "--reduction-factor", "4", "--simulations", "1")
    done = plan("cnn", *asked, "--chance", "0.1", "--figure", str(tmp_path / "p.png"))
    assert "grace period 3" in done.output
    assert "epoch 3 " in done.output
    assert "epoch 1 " not in done.output
    assert "--grace-period 3" in done.output.splitlines()[-1]


def test_an_accelerator_without_a_price_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "EUR"\n[A100]\non_demand = 3.0\n')
    monkeypatch.setenv("CIFAR_RAY_PRICES", str(prices))
    done = plan("cnn", "--accelerator", "H100", "--epoch-s", "5")
    assert (done.exit_code, "there is no H100.on_demand" in done.output) == (2, True)
    assert "A100" in done.output
