from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from cifar_ray.cli import completion
from cifar_ray.cli.main import main
from cifar_ray.records import SweepRecord
from cifar_ray.storage.runs import RunStore


def offered(*words: str) -> list[str]:
    *before, begun = words
    found = ShellComplete(main, {}, "cifar-ray", "_CIFAR_RAY_COMPLETE").get_completions(before, begun)
    return [item.value for item in found]


def test_commands_and_studies_are_offered() -> None:
    assert offered("st") == ["study"]
    for command in (["study", "show"], ["plan"], ["job", "submit"]):
        assert offered(*command, "resnet-") == ["resnet-schedule", "resnet-beyond"]
    assert offered("job", "submit", "ev") == ["evaluate"]
    assert offered("plan", "ev") == []


def test_sweeps_of_the_store_are_offered(
    runs: RunStore, sweep_record: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sweep_id in ("cnn-1", "cnn-2", "fast-1"):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep_id))
    runs.objects.write("cnn_no_sweep/x", b"")
    for verb in ("show", "pull", "gc", "compare", "wait", "export", "curves-bias"):
        assert offered("results", verb, "--storage", runs.objects.uri, "cnn") == ["cnn-1", "cnn-2"]
    monkeypatch.setenv("CIFAR_RAY_STORAGE", runs.objects.uri)
    assert offered("plan", "cnn", "--curves", "f") == ["fast-1"]
    assert offered("job", "submit", "evaluate", "cnn-1", "f") == ["fast-1"]
    assert offered("job", "submit", "cnn", "f") == [], "a study takes none"


@pytest.mark.parametrize("storage", ["s3://UP", "gs://x", "/no/such", __file__, "a\0b"])
def test_a_store_that_cannot_be_read_offers_and_says_nothing(storage: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert offered("results", "show", "--storage", storage, "") == []
    assert capfd.readouterr() == ("", "")


def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(completion, "find_store", lambda _: answers.wait(30))
    monkeypatch.setattr(completion, "PATIENCE_S", 0.1)
    started = time.monotonic()
    assert offered("results", "show", "") == []
    assert time.monotonic() - started < 10
    answers.set()


def test_the_variable_in_the_docs_makes_the_shells_script() -> None:
    done = CliRunner().invoke(main, env={"_CIFAR_RAY_COMPLETE": "zsh_source"}, prog_name="cifar-ray")
    assert "_CIFAR_RAY_COMPLETE=zsh_complete cifar-ray" in done.output
