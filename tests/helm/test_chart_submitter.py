"""A RayJob's submitter stays until its Ray job has ended, and submits it once."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from chart import STORE, Chart, one
from renderings import EVERY_STUDY

from cifar_ray.cluster import local

JOB = "sweeps-cifar-ray-cnn-abcde"
RUNNING = f"Status for job '{JOB}': RUNNING"
ENDS = [f"Job '{JOB}' {how}" for how in ("succeeded", "failed", "was stopped")]
UNKNOWN = f"RuntimeError: Request failed with status code 404: Job {JOB} does not exist."
AWAY = "ConnectionError: Failed to connect to Ray"


def _command(chart: Chart, entrypoint: list[str], patience_s: int) -> list[str]:
    """The rendered command, for another entrypoint and patience."""
    job = one(chart.render(STORE | {"studies": {"cnn": {"enabled": True}}}), "RayJob")["spec"]
    (container,) = job["submitterPodTemplate"]["spec"]["containers"]
    *shell, script, name, first, patience = container["command"][: -len(shlex.split(job["entrypoint"]))]
    assert (shell, name, first, patience) == (["sh", "-c"], "submit", "120", "900")
    return [*shell, script, name, str(patience_s), str(patience_s), *entrypoint]


def _run(command: list[str], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it with the programs in `folder` before all others, and what KubeRay adds."""
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "RAY_JOB_SUBMISSION_ID": JOB} | environ
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)


def _program(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def _scripted_ray(folder: Path, *answers: str) -> None:
    """A `ray` that answers in turn how the job is, the last answer for ever, and a `sleep` that takes no time."""
    (folder / "answers").write_text("".join(f"{each}\n" for each in answers))
    _program(folder, "sleep")
    rest = 'if [ "$(wc -l < answers)" -gt 1 ]; then sed -i 1d answers; fi'
    _program(
        folder, "ray", f"cd {folder}", 'echo "$*" >> calls', '[ "$2" = status ] || exit 0', "head -1 answers", rest
    )


def _calls(folder: Path, verb: str) -> list[str]:
    return [line for line in (folder / "calls").read_text().splitlines() if line.startswith(f"job {verb} ")]


def test_what_it_submits_is_the_jobs_entrypoint(chart: Chart) -> None:
    jobs = [each["spec"] for each in chart.render(STORE | EVERY_STUDY) if each["kind"] == "RayJob"]
    assert jobs
    for job in jobs:
        (container,) = job["submitterPodTemplate"]["spec"]["containers"]
        words = shlex.split(job["entrypoint"])
        assert container["command"][-len(words) :] == words
        # KubeRay sends these too, were they there
        assert not {
            "runtimeEnvYAML",
            "metadata",
            "entrypointNumCpus",
            "entrypointNumGpus",
            "entrypointResources",
        } & set(job)


@pytest.mark.cluster
def test_a_log_that_breaks_off_is_not_the_end_of_the_job(
    chart: Chart, cluster: local.LocalCluster, tmp_path: Path
) -> None:
    ray = Path(sys.executable).parent / "ray"
    # on a busy machine the job may have ended before anything was followed: the log is then read once, and whole
    first = f'case "$*" in *--follow*) [ -e {tmp_path}/broken ] || {{ touch {tmp_path}/broken; exit 0; }} ;; esac'
    _program(tmp_path, "ray", f'echo "$*" >> {tmp_path}/calls', first, f'exec {ray} "$@"')
    environ = {
        "RAY_DASHBOARD_ADDRESS": cluster.dashboard_url.removeprefix("http://"),
        "RAY_JOB_SUBMISSION_ID": JOB,
    }
    command = _command(chart, ["sh", "-c", "sleep 8; echo the last words; exit 3"], 60)
    done = _run(command, tmp_path, **environ)
    assert done.returncode == 0, done.stderr
    assert "the last words" in done.stdout.splitlines(), "it was there to the end"
    assert "exit code 3" in done.stdout
    # a pod that is tried again after that finds the job
    assert _run(command, tmp_path, **environ).returncode == 0
    assert len(_calls(tmp_path, "submit")) == 1


@pytest.mark.parametrize("end", ENDS)
def test_a_new_head_gets_the_job_of_the_lost_one(chart: Chart, tmp_path: Path, end: str) -> None:
    _scripted_ray(tmp_path, UNKNOWN, RUNNING, AWAY, AWAY, UNKNOWN, RUNNING, end)
    done = _run(_command(chart, ["python", "a b"], 60), tmp_path, RAY_DASHBOARD_ADDRESS="head:8265")
    assert done.returncode == 0, done.stderr
    submit = f"job submit --no-wait --address http://head:8265 --submission-id {JOB} -- python a b"
    assert _calls(tmp_path, "submit") == [submit, submit]
    assert len([call for call in _calls(tmp_path, "logs") if "--follow" in call]) == 2
    assert AWAY in done.stderr


def test_a_head_with_the_books_of_the_lost_one_is_made_to_look_at_its_jobs(chart: Chart, tmp_path: Path) -> None:
    """Once after each silence: Ray takes no second job of that id, and on being asked ends those without a driver."""
    _scripted_ray(tmp_path, UNKNOWN, RUNNING, RUNNING, AWAY, RUNNING, RUNNING, ENDS[1])
    done = _run(_command(chart, ["true"], 60), tmp_path, RAY_DASHBOARD_ADDRESS="head:8265")
    assert done.returncode == 0, done.stderr
    assert len(_calls(tmp_path, "submit")) == 2


@pytest.mark.parametrize(("answers", "num_submitted"), [((AWAY,), 0), ((RUNNING, AWAY), 1)])
def test_a_dashboard_that_stays_away_fails_the_try(
    chart: Chart, tmp_path: Path, answers: tuple[str, ...], num_submitted: int
) -> None:
    _scripted_ray(tmp_path, *answers)
    done = _run(_command(chart, ["true"], 1), tmp_path, RAY_DASHBOARD_ADDRESS="head:8265")
    assert done.returncode == 1
    assert "http://head:8265 has not said for 1 s" in done.stderr
    assert len(_calls(tmp_path, "submit")) == num_submitted
