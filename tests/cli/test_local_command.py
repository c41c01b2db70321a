"""`cifar-ray local`, and who follows a job on it, of a cluster that the state folder alone knows."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.request import proxy_bypass_environment

import pytest
from click.testing import CliRunner
from loopback_server import NotingServer, serving

from cifar_ray.cli import job
from cifar_ray.cli import local as command
from cifar_ray.cli.connection import LOCAL_FOLDER, connect_runs, find_store, local_cluster_end
from cifar_ray.cli.main import main
from cifar_ray.cluster import local, processes
from cifar_ray.cluster.credentials import make_secrets
from cifar_ray.cluster.state import LocalCluster, StateFolder
from cifar_ray.settings import read_settings
from cifar_ray.submission.job_spec import JobSpec

JOBS = [
    {"submission_id": "cnn-1", "status": "RUNNING", "metadata": {"study": "cnn", "sweep_id": "cnn-1"}},
    {"submission_id": "evaluate-1", "status": "PENDING", "metadata": {"study": "evaluate"}},
    {"submission_id": "bare", "status": "RUNNING", "metadata": None},
    {"submission_id": "cnn-0", "status": "SUCCEEDED", "metadata": {"study": "cnn", "sweep_id": "cnn-0"}},
    {"submission_id": None, "status": "RUNNING", "metadata": {}},
]


NODES = [
    {"node_ip": "127.0.0.1", "resources_total": {"CPU": 2.0, "GPU": 1.0}, "labels": {}, "state": "ALIVE"},
    {"node_ip": "127.0.0.1", "resources_total": {"CPU": 4.0}, "labels": None, "state": "DEAD"},
]


@pytest.fixture
def dashboard() -> Iterator[str]:
    """Lists JOBS and NODES; as S3, it has every bucket."""
    listed = {"data": {"result": {"result": NODES}}}
    with serving(NotingServer(lambda path: json.dumps(listed if "nodes" in path else JOBS).encode())) as server:
        yield server.url


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
    made = local.plan(local.LocalClusterOptions(home=state.home), state)
    Path(made.temp_dir).rmdir()
    made = replace(made, dashboard_url=dashboard, ray=me, s3=me, ready_at="2026-01-01T00:00:00+00:00")
    state.write(made)
    return made


@pytest.mark.parametrize(
    ("storage", "endpoint", "expected"),
    [
        ("s3://cifar-ray/results/cnn-1", None, "local"),  # finals of a sweep, by the address that `local up` prints
        ("s3://cifar-ray/mine", None, "local"),
        ("s3://cifar-ray-2/results", None, None),
        ("s3://cifar-ray/results", "http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_an_address_in_the_local_clusters_bucket_is_of_its_server(
    monkeypatch: pytest.MonkeyPatch, cluster: LocalCluster, storage: str, endpoint: str | None, expected: str | None
) -> None:
    """Elsewhere it would be a bucket of AWS, asked with the user's own keys."""
    for name in {*os.environ, *cluster.environment()}:
        if name.startswith(("AWS_", "RAY_", "CIFAR_RAY_STORAGE")):
            monkeypatch.setenv(name, "restored at the end")
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    find_store(storage)
    assert os.environ.get("AWS_ENDPOINT_URL_S3") == (cluster.s3_endpoint_url if expected == "local" else expected)
    assert ("AWS_ACCESS_KEY_ID" in os.environ) == (expected != "local")


@pytest.mark.parametrize(("own", "expected"), [("intern", "intern,127.0.0.1,localhost"), ("", "127.0.0.1,localhost")])
def test_a_shell_with_the_exports_is_a_client_of_the_cluster_and_nothing_else(
    cluster: LocalCluster, own: str, expected: str
) -> None:
    """Another cluster's token would be refused, other keys too, and a proxy would be sent this one's token."""
    others = {"RAY_AUTH_TOKEN": "x", "RAY_ADDRESS": "10.0.0.1:6379", "AWS_ACCESS_KEY_ID": "x", "AWS_PROFILE": "x"}
    environ = {name: value for name, value in os.environ.items() if name.upper() != "NO_PROXY"}
    environ |= {"http_proxy": "http://127.0.0.1:9", **others, **({"no_proxy": own} if own else {})}
    program = f'eval "$({sys.executable} -m cifar_ray.cli.main local env)" && env -0'
    done = subprocess.run(["sh", "-euc", program], capture_output=True, text=True, check=True, env=environ)
    left = dict(line.split("=", 1) for line in done.stdout.strip("\0").split("\0"))
    assert left.items() >= cluster.environment().items()
    assert not others.keys() & left.keys()
    assert left["no_proxy"] == left["NO_PROXY"] == expected
    assert proxy_bypass_environment("127.0.0.1", {"no": left["no_proxy"]})


@pytest.mark.parametrize(("number", "is_of_disk"), [(errno.ENOSPC, True), (errno.EMFILE, False)])
def test_what_the_system_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, state: StateFolder, number: int, is_of_disk: bool
) -> None:
    def refuse(files: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local, "make_secrets", refuse)
    done = CliRunner().invoke(main, ["local", "up"])
    assert (done.exit_code, f"error: the cluster cannot be started: [Errno {number}]" in done.output) == (2, True)
    assert ("make room on the disks" in done.output) == is_of_disk


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--cpus", "0", "x>=1"),
        ("--gpus", "-1", "x>=0"),
        ("--dashboard-port", "1023", "1024<=x<=65535"),
        ("--s3-port", "65536", "1024<=x<=65535"),
    ],
)
def test_an_impossible_size_or_port_is_refused_by_its_flags_name(
    monkeypatch: pytest.MonkeyPatch, flag: str, value: str, allowed: str
) -> None:
    started: list[local.LocalClusterOptions] = []
    monkeypatch.setattr(command.cluster, "up", lambda options, say: started.append(options))
    done = CliRunner().invoke(main, ["local", "up", flag, value])
    assert done.exit_code == 2
    assert f"Invalid value for '{flag}': {value} is not in the range {allowed}." in done.stderr
    assert started == []


def test_two_servers_are_refused_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.cluster, "up", lambda options, say: pytest.fail("it has started"))
    done = CliRunner().invoke(main, ["local", "up", "--dashboard-port", "23456", "--s3-port", "23456"])
    assert (done.exit_code, "are the same: take two ports" in done.stderr) == (2, True), done.output


def test_up_tells_which_variable_leads_past_it(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.cluster, "up", lambda options, say: cluster)
    assert "unset" not in CliRunner().invoke(main, ["local", "up"]).stdout
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    done = CliRunner().invoke(main, ["local", "up"])
    assert "RAY_API_SERVER_ADDRESS names another cluster, http://head:8265: unset it to use this one" in done.stdout


def test_a_local_cluster_that_does_not_answer_is_looked_at(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.dashboard_url)
    done = CliRunner().invoke(main, ["job", "list"])
    assert (done.exit_code, "hint: look with `cifar-ray local status`" in done.stderr) == (4, True)


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
        "job cnn-1 was running: "
        "continue with `cifar-ray local up; cifar-ray job submit cnn --sweep-id cnn-1 --resume`\n"
        "job evaluate-1 was running\njob bare was running\n"
    )
    assert done.output == (told if answers else "")


@pytest.mark.parametrize(
    ("broken", "jobs_api", "s3"),
    [
        ("", "answers", "answers"),
        ("dashboard_url", "http://127.0.0.1:9/api/jobs/ does not answer", "answers"),
        ("s3_endpoint_url", "answers", "http://127.0.0.1:9 does not answer"),
    ],
)
def test_status_says_of_each_part_whether_it_answers(
    cluster: LocalCluster, state: StateFolder, broken: str, jobs_api: str, s3: str
) -> None:
    now = replace(cluster, s3_endpoint_url=cluster.dashboard_url)
    now = replace(now, **{broken: "http://127.0.0.1:9"}) if broken else now
    state.write(now)
    done = CliRunner().invoke(main, ["local", "status"])
    first, second, store, *capacity = done.stdout.splitlines()
    assert first.startswith(f"Jobs API  {now.dashboard_url}  {jobs_api}")
    assert second.startswith(f"S3        {now.s3_endpoint_url}  {s3}")
    assert store == f"store     {cluster.storage}"
    assert capacity == ([] if broken == "dashboard_url" else ["capacity  2 CPU, 1 GPU"])
    assert done.exit_code == (4 if broken else 0)
    assert ("a part of the local cluster does not answer" in done.stderr) == bool(broken)


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


def test_a_store_that_the_clusters_jobs_do_not_write_to_is_told(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        return CliRunner().invoke(main, ["results", "list"]).stderr

    monkeypatch.setenv("CIFAR_RAY_STORAGE", str(tmp_path))
    told = (
        f"reading {tmp_path}, since CIFAR_RAY_STORAGE names it; jobs of the local cluster write to {cluster.storage}: "
        "unset the variable to read that\n"
    )
    assert said() == told
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.dashboard_url)
    assert said() == told
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    assert said() == "", "another cluster's store"
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    connect_runs(str(tmp_path))
    monkeypatch.setenv("CIFAR_RAY_STORAGE", cluster.storage)
    connect_runs(None)
    monkeypatch.delenv("CIFAR_RAY_STORAGE")
    connect_runs(None)
    assert capsys.readouterr().err == ""


@pytest.fixture(params=[True, False], ids=["local", "elsewhere"])
def is_local(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def submitted(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, is_local: bool) -> list[JobSpec]:
    """What is submitted to the local cluster, or to another; neither gets it."""
    specs: list[JobSpec] = []
    monkeypatch.setattr(job, "connect_jobs", lambda release: SimpleNamespace(submit=specs.append))
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.dashboard_url if is_local else "http://127.0.0.1:9")
    return specs


def test_a_job_of_the_local_cluster_reads_the_data_of_the_shell_that_submits_it(
    submitted: list[JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    """The cluster itself has the variables of the shell that has started it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for data in ("", "shapes:500", "images"):
        monkeypatch.setenv("CIFAR_RAY_DATA", data)
        done = CliRunner().invoke(main, ["job", "submit", "cnn", "--no-wait"])
        assert done.exit_code == 0, done.output
    own = [{}, {"CIFAR_RAY_DATA": "shapes:500"}, {"CIFAR_RAY_DATA": str(tmp_path / "images")}]
    assert [spec.environment for spec in submitted] == (own if is_local else [{}, {}, {}])
    assert not any("--data" in spec.entrypoint for spec in submitted)


def test_the_shells_data_are_checked_where_the_job_takes_them(
    submitted: list[JobSpec], monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    monkeypatch.setenv("CIFAR_RAY_DATA", "nope")
    refused = CliRunner().invoke(main, ["job", "submit", "cnn", "--no-wait"])
    assert ("CIFAR_RAY_DATA: data 'nope' is no source" in refused.output) == is_local
    for arguments in (["evaluate"], ["cnn", "--data", "shapes"], ["cnn", "--sweep-id", "cnn-1", "--resume"]):
        done = CliRunner().invoke(main, ["job", "submit", *arguments, "--no-wait"])
        assert done.exit_code == 0, done.output


def test_the_best_of_no_sweep_is_refused_before_it_takes_a_sweep_id(
    submitted: list[JobSpec], tmp_path: Path, is_local: bool
) -> None:
    """Ray remembers a job that the store has refused, and takes no other of its id."""
    flags = ["--best-of", "never-was", "--storage", str(tmp_path), "--no-wait"]
    done = CliRunner().invoke(main, ["job", "submit", "cnn", *flags])
    assert (done.exit_code, len(submitted)) == ((2, 0) if is_local else (0, 1)), done.output
    assert ("no sweep never-was has finished" in done.output) == is_local
