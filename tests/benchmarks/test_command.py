"""The commands as `make` calls them, on a data set of a few images."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "CIFAR_RAY_DATA": "shapes:500", "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # a test run that was started in the background ignores it, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.bench
def test_sections_are_measured_and_reported(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    process = start("-m", "benchmarks", "--quick", "--section", "data", "--section", "single", "--out", str(out))
    text, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors + text
    content = json.loads(out.read_text())
    assert content["dataset"]["name"] == "shapes (500)"
    assert len(content["figures"]) == 6
    assert all(len(values) == 1 and values[0] != 0 for values in content["readings"].values())
    for expected in ("data path, all threads", "≥ 15", "≤ 1.05", "≤ 5 %", "no numbers to quote"):
        assert expected in text


@pytest.mark.slow
@pytest.mark.bench
def test_what_was_measured_survives_an_interruption(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    process = start("-m", "benchmarks", "--repeats", "100", "--section", "data", "--out", str(out))
    assert process.stdout is not None
    while "data/tutorial, 0 workers" not in (line := process.stdout.readline()):
        assert line, "ended before its first round did"
    os.killpg(process.pid, signal.SIGINT)
    text, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert "interrupted" in text
    assert "data path, 1 thread" in text
    assert json.loads(out.read_text())["readings"]["data/tutorial, 0 workers"]


@pytest.mark.slow
@pytest.mark.bench
def test_the_sections_before_survive_a_process_that_is_killed_outright(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    process = start("-m", "benchmarks", "--quick", "--section", "data", "--section", "single", "--out", str(out))
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("single:"):
        assert line, "ended before its first section did"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=100)
    assert json.loads(out.read_text())["readings"]["data/tutorial, 0 workers"]


def test_without_ray_and_a_gpu_the_gpus_command_says_what_is_missing_in_a_line() -> None:
    without = "import runpy, sys; sys.modules['ray'] = sys.modules['boto3'] = None"
    process = start("-c", f"{without}; runpy.run_module('benchmarks.gpu', run_name='__main__')")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert errors.splitlines()[0] == "error: torch sees no CUDA device here"
