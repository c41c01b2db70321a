import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cifar_ray.cli.main import main
from cifar_ray.cli.results import wait_for_results
from cifar_ray.errors import CifarRayError, ConfigurationError, CredentialsError, StorageError, StoreUnavailableError
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage.runs import RunStore


def wait(storage: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["results", "wait", *arguments, "--storage", storage])


def test_waits_until_the_last_has_finished(runs: RunStore, sweep_result: SweepResult) -> None:
    runs.write_result(sweep_result)
    late = threading.Timer(0.4, lambda: runs.write_result(replace(sweep_result, sweep_id="cnn-2")))
    started = time.monotonic()
    late.start()
    wait_for_results(runs, ["cnn-1", "cnn-2"], 20, period_s=0.05)
    assert 0.3 < time.monotonic() - started < 10
    late.join()


def test_gives_up_in_time_and_says_who_is_missing(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_result(replace(sweep_result, sweep_id="cnn-0"))
    started = time.monotonic()
    result = wait(runs.objects.uri, "cnn-0", "cnn-1", "cnn-2", "--timeout-s", "0.3")
    assert time.monotonic() - started < 10
    assert result.exit_code == 1
    assert "cnn-0 has finished\n" in result.output
    assert "within 0.3 s: cnn-1: running; cnn-2: not started\nhint: " in result.output


def test_the_folder_to_wait_for_need_not_be_there(tmp_path: Path) -> None:
    result = wait(str(tmp_path / "new"), "cnn-1", "--timeout-s", "0")
    assert (result.exit_code, "cnn-1: not started" in result.output) == (1, True)


def test_exits_0_at_once_where_all_have_finished(runs: RunStore, sweep_result: SweepResult) -> None:
    runs.write_result(sweep_result)
    result = wait(runs.objects.uri, "cnn-1", "cnn-1", "--timeout-s", "0")
    assert (result.exit_code, result.output) == (0, "cnn-1 has finished\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Bad Id", "--timeout-s", "1"], "malformed"),
        (["cnn-1"], "--timeout-s"),
        (["--timeout-s", "1"], "SWEEP"),
        (["cnn-1", "--timeout-s", "nan"], "--timeout-s: nan is out of range"),
        (["cnn-1", "--timeout-s", "inf"], "--timeout-s: inf is out of range"),
    ],
)
def test_bad_input(arguments: list[str], says: str, tmp_path: Path) -> None:
    result = wait(str(tmp_path), *arguments)
    assert (result.exit_code, says in result.output) == (2, True)


class Flaky:
    """A store that fails at the looks of those numbers, counted from 0, and holds nothing."""

    def __init__(self, runs: RunStore, failing: set[int], kind: type[StorageError] = StorageError) -> None:
        self.objects, self._runs, self._failing, self._looks, self._kind = runs.objects, runs, failing, 0, kind

    def result(self, sweep_id: str) -> SweepResult | None:
        self._looks += 1
        if self._looks - 1 in self._failing:
            raise self._kind("SlowDown", "later")
        return self._runs.result(sweep_id)

    def has_sweep(self, sweep_id: str) -> bool:
        return self._runs.has_sweep(sweep_id)


def test_a_store_that_refuses_first_is_a_mistake_later_a_disturbance(runs: RunStore, sweep_result: SweepResult) -> None:
    for kind in (StorageError, CredentialsError):
        with pytest.raises(kind, match="SlowDown"):
            wait_for_results(Flaky(runs, {0}, kind), ["cnn-1"], 5, period_s=0.01)  # type: ignore[arg-type]
    with pytest.raises(CifarRayError, match="cnn-1: SlowDown") as caught:
        wait_for_results(Flaky(runs, set(range(1, 999))), ["cnn-1"], 0.1, period_s=0.02)  # type: ignore[arg-type]
    assert type(caught.value) is CifarRayError
    late = threading.Timer(0.2, lambda: runs.write_result(sweep_result))
    late.start()
    wait_for_results(Flaky(runs, {1, 2}), ["cnn-1"], 10, period_s=0.02)  # type: ignore[arg-type]
    late.join()


def test_a_store_that_is_not_up_yet_is_waited_for(
    runs: RunStore, sweep_result: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.write_result(sweep_result)
    wait_for_results(Flaky(runs, {0, 1}, StoreUnavailableError), ["cnn-1"], 10, period_s=0.01)  # type: ignore[arg-type]
    assert capsys.readouterr() == ("cnn-1 has finished\n", "waiting for the store: SlowDown\n")
    # one of two is answered for each time
    half = Flaky(runs, set(range(1, 999, 2)), StoreUnavailableError)
    with pytest.raises(CifarRayError, match="cnn-2: not started; cnn-3: SlowDown"):
        wait_for_results(half, ["cnn-2", "cnn-3"], 0.05, period_s=0.01)  # type: ignore[arg-type]
    away = Flaky(runs, set(range(999)), StoreUnavailableError)
    with pytest.raises(StoreUnavailableError, match="SlowDown"):
        wait_for_results(away, ["cnn-1"], 0.05, period_s=0.01)  # type: ignore[arg-type]


def test_malformed_ids_are_refused_before_any_wait(runs: RunStore) -> None:
    with pytest.raises(ConfigurationError, match="malformed"):
        wait_for_results(runs, ["cnn-1", "../x"], 60, period_s=60)


def test_one_sweep_that_cannot_be_read_leaves_the_list_of_the_others(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    runs.objects.write("cnn-2/sweep.json", b"{")
    done = CliRunner().invoke(main, ["results", "list", "--storage", runs.objects.uri])
    assert done.exit_code == 0
    assert "cnn-1" in done.output
    assert "unreadable: cnn-2/sweep.json: SweepRecord: Invalid JSON" in done.output
    assert "None" not in done.output
    runs.objects.write("cnn-1/sweep.json", b"{")
    done = CliRunner().invoke(main, ["results", "list", "--storage", runs.objects.uri])
    assert "no sweep yet" not in done.output


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_sweep_given_as_the_store_is_told_as_one(
    options: list[str], runs: RunStore, sweep_record: SweepRecord
) -> None:
    runs.create_sweep(sweep_record)
    done = CliRunner().invoke(main, ["results", "list", *options, "--storage", f"{runs.objects.uri}/cnn-1"])
    assert done.exit_code == 2
    assert f"name the store {runs.objects.uri}, and in it cnn-1" in done.output


def test_an_interrupted_sweep_is_told_as_one(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", replace(trial_record, outcome="running"))
    said = CliRunner().invoke(main, ["results", "show", "cnn-1", "--storage", runs.objects.uri]).output
    go_on = f"cifar-ray job submit cnn --sweep-id cnn-1 --resume --storage {runs.objects.uri}"
    assert f"\ninterrupted; resume with: {go_on}\n" in said
    assert "running" not in said
    assert "evaluate" not in said
    assert "interrupted" in CliRunner().invoke(main, ["results", "list", "--storage", runs.objects.uri]).output


def test_list_and_show_as_one_json_document(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult, trial_record: TrialRecord
) -> None:
    def printed(*arguments: str) -> Any:
        done = CliRunner().invoke(main, ["results", *arguments, "--json", "--storage", runs.objects.uri])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    runs.objects.write("other", b"")
    assert printed("list") == []
    runs.create_sweep(sweep_record)
    runs.create_sweep(replace(sweep_record, sweep_id="cnn-2", started_at="2026-01-02T00:00:00+00:00"))
    runs.write_trial("cnn-2", trial_record)
    runs.write_result(replace(sweep_result, sweep_id="cnn-2", ranking=("t0000",)))
    runs.objects.write("cnn-3/sweep.json", b"{")
    rows = {row["id"]: row for row in printed("list")}
    assert {name: row["state"] for name, row in rows.items()} == {
        "cnn-1": "interrupted",
        "cnn-2": "finished",
        "cnn-3": "unreadable",
    }
    assert [rows["cnn-2"][name] for name in ("data", "num_trials", "best_validation", "test")] == [
        "cifar10",
        2,
        0.45,
        None,
    ]
    shown = printed("show", "cnn-2")
    assert shown.items() >= rows["cnn-2"].items()
    assert (shown["ranking"], shown["winner_settings"]["learning_rate"], shown["scores"]) == (["t0000"], 0.001, None)
    assert (shown["sweep"]["seed"], shown["trials"][0]["trial_id"]) == (0, "t0000")
    runs.write_trial("cnn-1", trial_record)
    assert (shown := printed("show", "cnn-1"))["winner_settings"] == trial_record.config
    assert shown["ranking"] == ["t0000"]


def test_the_newest_sweep_is_shown(runs: RunStore, sweep_record: SweepRecord) -> None:
    for sweep_id, year in (("cnn-1", 2025), ("cnn-2", 2026), ("cnn-3", 2024)):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep_id, started_at=f"{year}-01-01T00:00:00+00:00"))
    runs.objects.write("cnn-4/sweep.json", b"{")
    shown = CliRunner().invoke(main, ["results", "show", "--storage", runs.objects.uri])
    assert shown.stdout.startswith("cnn-2: ")
    assert shown.stderr.startswith("unreadable: cnn-4/sweep.json")


def test_the_answer_stands_last() -> None:
    """Below sixty rows of trials and scores, where a terminal ends."""
    results = Path(__file__).parents[2] / "docs" / "results"
    shown = CliRunner().invoke(main, ["results", "show", "cnn-30-seed-0", "--storage", str(results)]).output
    answer = "winner t0009: validation 65.80 %, test 64.16 % (63.21 to 65.09) on cifar10-jpeg"
    assert shown.splitlines()[-1] == answer


@pytest.mark.parametrize(
    ("figure", "says"), [("/no/such/folder/x.png", "there is no folder /no/such/folder"), ("x.pdf", "PNG files")]
)
def test_a_figure_that_cannot_be_written_is_refused_before_anything_is_compared(
    figure: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = Path(__file__).parents[2] / "docs" / "results"
    sweeps = ("cnn-24-seed-0", "cnn-24-seed-1", "--storage", str(results))
    refused = CliRunner().invoke(main, ["results", "compare", *sweeps, "--figure", figure])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert says in refused.stderr


def test_pull_names_its_own_folder_where_that_fails_and_says_what_is_not_there(
    runs: RunStore, sweep_record: SweepRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.create_sweep(sweep_record)
    (tmp_path / "file").touch()
    pull = ["results", "pull", "cnn-1", "--storage", runs.objects.uri, "--checkpoints", "--to"]
    refused = CliRunner().invoke(main, [*pull, str(tmp_path / "file" / "below")])
    assert refused.exit_code == 2
    assert "--to" in refused.output
    assert "CIFAR_RAY_STORAGE" not in refused.output
    runs.objects.write("cnn-2/sweep.json", b"{}")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    gone = CliRunner().invoke(main, [*pull, "copies"])
    assert gone.output.startswith("error: --to copies: No such file or directory\nhint: ")
    monkeypatch.chdir(tmp_path)
    damaged = CliRunner().invoke(main, [*pull[:2], "cnn-2", *pull[3:], str(tmp_path / "copy")])
    assert "the record is damaged" in damaged.output
    assert "--to" not in damaged.output
    done = CliRunner().invoke(main, [*pull, str(tmp_path / "copy")])
    assert done.exit_code == 0
    assert "has no checkpoints of cnn-1" in done.output


@pytest.mark.parametrize("has_weights", [True, False])
def test_pull_fetches_weights_where_it_is_told_to(
    runs: RunStore, sweep_record: SweepRecord, tmp_path: Path, has_weights: bool
) -> None:
    runs.create_sweep(sweep_record)
    weights = "cnn-1/trials/t0000/checkpoints/epoch-0001/model.safetensors"
    runs.objects.write(weights, b"w")
    flags = ["--checkpoints"] if has_weights else []
    pull = ["results", "pull", "--storage", runs.objects.uri, "--to", str(tmp_path / "copy"), *flags]
    done = CliRunner().invoke(main, pull)
    assert done.output == f"{1 + has_weights} files in {tmp_path / 'copy/cnn-1'}\n"
    assert (tmp_path / "copy" / weights).is_file() == has_weights


def test_names_and_records_of_others_steer_no_terminal(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_result(sweep_result)
    runs.objects.write("cnn-1/trials/t0000/checkpoints/epoch-0009/\x1b]0;pwned\x07", b"")
    odd = json.loads(sweep_record.to_json()) | {"\x1b]0;pwned\x07": 1}
    runs.objects.write("cnn-2/sweep.json", json.dumps(odd).encode())
    for arguments in (["list"], ["show", "cnn-2"], ["gc", "cnn-1"]):
        said = CliRunner().invoke(main, ["results", *arguments, "--storage", runs.objects.uri], color=True)
        assert "pwned" in said.output
        assert not {"\x1b", "\x07"}.intersection(said.output)
