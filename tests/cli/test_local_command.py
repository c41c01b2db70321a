"""`cifar-ray local`, and who follows a job on it, of a cluster that the state folder alone knows."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from cifar_ray.cli import local as command
from cifar_ray.cli.connection import LOCAL_FOLDER, local_cluster_end
from cifar_ray.cli.main import main
from cifar_ray.cluster import local, processes
from cifar_ray.cluster.credentials import make_secrets
from cifar_ray.cluster.state import LocalCluster, StateFolder
from cifar_ray.settings import read_settings

JOBS = [
    {"submission_id": "cnn-1", "status": "RUNNING", "metadata": {"study": "cnn", "sweep_id": "cnn-1"}},
    {"submission_id": "evaluate-1", "status": "PENDING", "metadata": {"study": "evaluate"}},
    {"submission_id": "bare", "status": "RUNNING", "metadata": None},
    {"submission_id": "cnn-0", "status": "SUCCEEDED", "metadata": {"study": "cnn", "sweep_id": "cnn-0"}},
    {"submission_id": None, "status": "RUNNING", "metadata": {}},
]


class Dashboard(BaseHTTPRequestHandler):
    """Lists JOBS."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(JOBS).encode())

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def dashboard() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Dashboard) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def state() -> StateFolder:
    state = StateFolder(home=read_settings().home / LOCAL_FOLDER)
    state.prepare()
    make_secrets(state.secrets)
    return state


@pytest.fixture
def cluster(state: StateFolder, dashboard: str) -> LocalCluster:
    """Its processes are this test's own, which nothing may stop."""
    me = processes.identify(os.getpid())
    made = local._plan(local.LocalClusterOptions(home=state.home), state)
    Path(made.temp_dir).rmdir()
    made = replace(made, dashboard_url=dashboard, ray=me, s3=me, ready_at="2026-01-01T00:00:00+00:00")
    state.write(made)
    return made


@pytest.mark.parametrize("answers", [True, False])
def test_down_says_which_jobs_were_running(
    cluster: LocalCluster, state: StateFolder, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    if not answers:
        state.write(replace(cluster, dashboard_url="http://127.0.0.1:9"))
    monkeypatch.setattr(command.cluster, "down", lambda home, say: True)
    done = CliRunner().invoke(main, ["local", "down"])
    assert done.exit_code == 0
    told = (
        "job cnn-1 was running: go on with `cifar-ray local up; cifar-ray job submit cnn --sweep-id cnn-1 --resume`\n"
        "job evaluate-1 was running\njob bare was running\n"
    )
    assert done.output == (told if answers else "")


def test_the_end_of_the_local_cluster_is_known_to_who_follows_a_job_on_it(
    cluster: LocalCluster, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.dashboard_url)
    is_ended = local_cluster_end()
    assert not is_ended()
    state.write(replace(cluster, dashboard_url="http://127.0.0.1:9"))
    assert is_ended(), "another has come"
    state.forget()
    assert is_ended()


def test_other_clusters_do_not_end_with_it(
    cluster: LocalCluster, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    is_ended = local_cluster_end()
    state.forget()
    assert not is_ended()
