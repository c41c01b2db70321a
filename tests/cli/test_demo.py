"""The demo, as `make demo` runs it, small."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from interrupts import heed_interrupts

from cifar_ray.cli import demo
from cifar_ray.cli.main import main
from cifar_ray.cluster import local
from cifar_ray.cluster.state import StateFolder
from cifar_ray.errors import ClusterError, UnreachableError
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.submission.job_spec import find_jobs

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

DEMO = [Path(sys.executable).parent / "cifar-ray", "demo", "--data", "shapes:500", "--trials", "2", "--max-epochs", "1"]


def processes_of(home: Path) -> list[str]:
    """Command lines of everything that runs with a file or folder below `home`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(home) in command:
            found.append(command)
    return found


@pytest.fixture
def home(own_home: None) -> Path:
    return Path(os.environ["CIFAR_RAY_HOME"])


def test_from_nothing_to_a_table_and_nothing_left_running(home: Path, tmp_path: Path) -> None:
    command = [*DEMO, "--to", str(tmp_path / "out")]
    # as `make demo`, whose environment nobody has activated
    environ = {**os.environ, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report: CNN" in done.stdout
    # what Ray says in every job is in the job's log alone
    assert "core_worker.cc" not in done.stdout
    assert "job_manager.py" not in done.stdout
    assert "not CIFAR-10" in " ".join(done.stdout.split())
    (sweep,) = (tmp_path / "out").iterdir()
    assert (sweep / "report/table.md").is_file()
    assert (sweep / "report/index.html").is_file()
    assert f"/#/sweep/{sweep.name}" in done.stdout
    assert str(sweep) in done.stdout
    assert done.stdout.endswith(f"next: {DEMO[0]} local up; {DEMO[0]} job submit cnn\n")
    assert processes_of(home) == []


# in the middle: the sweep's job runs, or has just been submitted
@pytest.mark.parametrize(("number", "after"), [(signal.SIGINT, " RUNNING"), (signal.SIGTERM, "see it live: ")])
def test_interrupted_it_stops_what_it_started(home: Path, tmp_path: Path, number: signal.Signals, after: str) -> None:
    command = [*DEMO, "--to", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as demo:
        assert demo.stdout is not None
        until = time.monotonic() + 120
        for line in demo.stdout:
            if after in line or time.monotonic() > until:
                break
        assert processes_of(home)
        demo.send_signal(number)
        demo.communicate(timeout=90)
    assert demo.returncode == 130
    assert processes_of(home) == []


def test_a_folder_that_cannot_take_the_results_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "up", lambda options, say: pytest.fail("it has started"))
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["demo", "--to", str(tmp_path / "file" / "results")])
    assert (done.exit_code, "cannot write" in done.output) == (2, True), done.output


def test_a_second_demo_leaves_the_first_alone(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "up", lambda options, say: pytest.fail("it has started"))
    monkeypatch.setattr(local, "down", lambda home, say: pytest.fail("it stops the first one's"))
    state = StateFolder(home=home / "demo")
    state.prepare()
    with state.owned():
        done = CliRunner().invoke(main, ["demo"])
    assert (done.exit_code, "another demo is at work" in done.output) == (ClusterError.exit_code, True), done.output


def test_what_a_killed_demo_left_is_stopped_and_not_what_another_runs(home: Path, tmp_path: Path) -> None:
    with subprocess.Popen([*DEMO, "--to", str(tmp_path)], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any("see it live: " in line for line in demo.stdout)
        down = CliRunner().invoke(main, ["local", "down"])
        assert "no local cluster is running" in down.output
        assert demo.poll() is None
        demo.kill()
    assert processes_of(home)
    down = CliRunner().invoke(main, ["local", "down"])
    assert (down.exit_code, "stopping Ray and the S3 server" in down.output) == (0, True), down.output
    assert processes_of(home) == []


def test_an_answer_that_is_lost_is_told_without_a_command_to_a_cluster_that_ends(
    monkeypatch: pytest.MonkeyPatch, runs: RunStore, tmp_path: Path
) -> None:
    def lose(job: object) -> None:
        raise UnreachableError("no answer; job cnn-1 may run", "`cifar-ray job status cnn-1` tells whether it does")

    monkeypatch.setattr(demo, "connect_jobs", lambda: SimpleNamespace(submit=lose))
    monkeypatch.setattr(demo, "connect_runs", lambda storage: runs)
    page = SimpleNamespace(serve_forever=lambda: None, sweep_url=str)
    monkeypatch.setattr(demo, "PageServer", lambda runs: page)
    with pytest.raises(UnreachableError) as caught:
        demo._run(get_study("cnn"), SweepOptions(), find_jobs(), tmp_path)
    assert caught.value.hint == f"its logs are in {tmp_path}/logs"
