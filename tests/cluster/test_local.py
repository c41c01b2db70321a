"""A real one-machine cluster, from `up` to `down`."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import SharedCredentialProvider
from botocore.exceptions import ClientError

from cifar_ray.cli.local import examine
from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.credentials import make_secrets, read_token
from cifar_ray.cluster.environment import MARK
from cifar_ray.cluster.local import LocalClusterOptions, down, find, up
from cifar_ray.cluster.processes import family, is_alive
from cifar_ray.cluster.state import StateFolder
from cifar_ray.errors import ClusterError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# what a job may leave behind: actors, their children, a process in a session of its own
JOB = """
import os, subprocess, time, ray
ray.init()
@ray.remote(num_cpus=0)
class Actor:
    def work(self):
        self.children = [subprocess.Popen(["sleep", "300"], start_new_session=own) for own in (True, False)]
        return os.environ["CIFAR_RAY_STORAGE"], os.environ.get("AWS_ACCESS_KEY_ID")
actors = [Actor.remote() for _ in range(2)]
print(ray.get([actor.work.remote() for actor in actors]), flush=True)
print("running", flush=True)
time.sleep(300)
"""


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, plain and as an IPv4 address in IPv6."""
LISTENS = "0A"


@pytest.fixture(scope="module")
def home():
    # short: a Unix socket's path has at most 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="cr-test-", dir="/tmp"))
    yield folder / "local"
    down(folder / "local")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster(home):
    ambient = dict(os.environ, AWS_ACCESS_KEY_ID="of the user's own", RAY_AUTH_TOKEN="of another cluster")
    started = time.monotonic()
    made = up(LocalClusterOptions(home=home, num_cpus=2, num_gpus=0), environ=ambient)
    assert time.monotonic() - started < 120, "each of two servers has 60 s"
    return made


def _request(cluster, path, token=None, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(cluster.dashboard_url + path, headers=headers, data=data)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def _s3(cluster, access_key, secret_key):
    return boto3.session.Session().client(
        "s3",
        endpoint_url=cluster.s3_endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"total_max_attempts": 1}),
    )


def _own_s3(cluster):
    keys = SharedCredentialProvider(cluster.credentials_path).load()
    return _s3(cluster, keys.access_key, keys.secret_key)


def _family(cluster):
    return family(cluster.lineage("ray")) | family(cluster.lineage("s3"))


def _secrets(cluster):
    keys = SharedCredentialProvider(cluster.credentials_path).load()
    return [read_token(Path(cluster.token_path)), keys.access_key, keys.secret_key]


def test_the_api_wants_the_token(cluster):
    assert _request(cluster, "/api/jobs/")[0] in (401, 403)
    assert _request(cluster, "/api/jobs/", token="0" * 64)[0] in (401, 403)
    assert _request(cluster, "/api/jobs/", token=read_token(Path(cluster.token_path))) == (200, [])


def test_the_store_wants_the_keys(cluster):
    keys = SharedCredentialProvider(cluster.credentials_path).load()
    for pair in ((keys.access_key, "wrong"), ("wrong", keys.secret_key)):
        with pytest.raises(ClientError):
            _s3(cluster, *pair).list_objects_v2(Bucket="cifar-ray")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{cluster.s3_endpoint_url}/cifar-ray", timeout=10)
    client = _own_s3(cluster)
    client.put_object(Bucket="cifar-ray", Key="results/kept", Body=b"kept")
    assert client.get_object(Bucket="cifar-ray", Key="results/kept")["Body"].read() == b"kept"


def _connections(cluster):
    """The TCP sockets of its processes, in hexadecimal: here, there (each an address and a port) and the state."""
    sockets = {link for process in _family(cluster) for link in _links(process.pid)}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, here, there, state, *rest = line.split()
            if f"socket:[{rest[5]}]" in sockets:
                yield here.split(":"), there.split(":"), state


def test_everything_listens_on_loopback_alone(cluster):
    listeners = {int(port, 16): address for (address, port), _, state in _connections(cluster) if state == LISTENS}
    for url in (cluster.dashboard_url, cluster.s3_endpoint_url):
        assert int(url.rpartition(":")[2]) in listeners
    assert set(listeners.values()) <= LOOPBACK


def test_it_sends_no_telemetry(cluster):
    """Its parts are told not to, and talk to nobody but each other."""
    processes = _family(cluster)
    environments = [Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") for process in processes]
    # some of Ray's put their title where their environment was, or where its beginning was
    whole = [variables for variables in environments if b"=" in variables[0]]
    told = [variables for variables in whole if any(each.startswith(MARK.encode()) for each in variables)]
    assert len(told) > 5
    assert all(b"RAY_USAGE_STATS_ENABLED=0" in variables for variables in told)
    commands = [Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0") for process in processes]
    (store,) = [words for words in commands if words[0].endswith(b"weed")]
    assert b"-master.telemetry=false" in store
    peers = {address for _, (address, _), state in _connections(cluster) if state != LISTENS}
    assert peers
    assert peers <= LOOPBACK


def _links(process):
    with suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                yield os.readlink(link)


def _texts(paths: Iterable[Path]) -> Iterator[bytes]:
    """Of those that are still there: files and processes of a running cluster come and go."""
    for path in paths:
        with suppress(FileNotFoundError, ProcessLookupError):
            yield path.read_bytes()


def test_secrets_are_in_their_files_alone(cluster, home):
    secrets = _secrets(cluster)
    for path in (home / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    seen = [*_texts([home / "state.json", *(home / "logs").iterdir()])]
    seen += _texts(path for path in Path(cluster.temp_dir).rglob("*") if path.is_file())
    seen += _texts(Path(f"/proc/{process.pid}/cmdline") for process in _family(cluster))
    seen += _texts(Path(f"/proc/{process.pid}/environ") for process in _family(cluster))
    seen.append(json.dumps(cluster.environment()).encode())
    assert len(seen) > 20
    assert not [secret for secret in secrets for text in seen if secret.encode() in text]


def test_it_is_found_and_healthy(cluster, home):
    assert find(home) == cluster
    problems, (node,) = examine(cluster)
    assert problems == {"Jobs API": None, "S3": None}
    assert (node.resources["CPU"], node.resources.get("GPU", 0)) == (2, 0)


def test_its_server_keeps_the_objects_to_itself(cluster, home):
    with pytest.raises(ClusterError, match="another machine"), StateFolder(home=home).s3_locked():
        pass


def test_its_environment_is_what_a_client_needs(cluster):
    made = cluster.environment()
    assert made["RAY_API_SERVER_ADDRESS"] == cluster.dashboard_url
    assert made["AWS_ENDPOINT_URL_S3"] == cluster.s3_endpoint_url
    assert made["CIFAR_RAY_STORAGE"] == "s3://cifar-ray/results"
    assert Path(made["RAY_AUTH_TOKEN_PATH"]).is_file()
    assert Path(made["AWS_SHARED_CREDENTIALS_FILE"]).is_file()


def test_a_second_up_is_refused(cluster, home):
    with pytest.raises(ClusterError, match=cluster.dashboard_url) as caught:
        up(LocalClusterOptions(home=home))
    assert "cifar-ray local down" in caught.value.hint
    assert find(home) == cluster


def test_only_one_start_or_stop_at_a_time(cluster, home):
    with StateFolder(home=home).locked():
        with pytest.raises(ClusterError, match="another start or stop"):
            up(LocalClusterOptions(home=home))
        with pytest.raises(ClusterError, match="another start or stop"):
            down(home)


def test_down_leaves_nothing_even_of_running_jobs_and_results_survive(cluster, home):
    _own_s3(cluster).put_object(Bucket="cifar-ray", Key="results/last", Body=b"x" * 5_000_000)
    token = read_token(Path(cluster.token_path))
    script = home / "job.py"
    script.write_text(JOB)
    code, answer = _request(cluster, "/api/jobs/", token=token, body={"entrypoint": f"python {script}"})
    assert code == 200
    log = _wait_for_log(cluster, token, answer["submission_id"])
    assert "('s3://cifar-ray/results', None)" in log
    members = _family(cluster)
    assert len([each for each in members if _command(each).startswith(b"sleep\x00300")]) == 4

    started = time.monotonic()
    assert down(home)
    assert time.monotonic() - started < 20, "what Ray gives a job is not waited for"
    assert [_command(process) for process in members if is_alive(process)] == []
    assert _family(cluster) == set()
    assert not Path(cluster.temp_dir).exists()
    assert list((home / "secrets").iterdir()) == []
    assert not list(Path("/tmp").glob(f"seaweedfs-*-{cluster.s3_internal_ports[0]}.sock"))
    assert find(home) is None
    assert local.kept_objects(home) == home / "s3"
    assert find(home, is_whole=False) is None
    assert not down(home)

    again = up(LocalClusterOptions(home=home, num_cpus=1))
    assert local.kept_objects(home) is None
    client = _own_s3(again)
    assert client.get_object(Bucket="cifar-ray", Key="results/kept")["Body"].read() == b"kept"
    assert client.head_object(Bucket="cifar-ray", Key="results/last")["ContentLength"] == 5_000_000
    assert not set(_secrets(again)) & {token}
    _check_that_a_dead_cluster_is_cleaned_up(again, home)


def _check_that_a_dead_cluster_is_cleaned_up(cluster, home):
    members = _family(cluster)
    os.kill(cluster.ray.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_alive(cluster.ray) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert find(home) is None
    assert down(home)
    assert [_command(process) for process in members if is_alive(process)] == []
    assert not Path(cluster.temp_dir).exists()


def test_a_failed_start_is_undone_and_told(home, monkeypatch):
    program = s3_server.binary()
    monkeypatch.setattr(s3_server, "binary", lambda: program)
    monkeypatch.setattr(local.ray_head.sys, "executable", shutil.which("false"))
    monkeypatch.setattr(s3_server, "is_full", lambda state: True)
    said = []
    with pytest.raises(ClusterError, match="Ray ended as it started") as caught:
        up(LocalClusterOptions(home=home), said.append)
    assert said[1].startswith("the store is full: less than 1024 MiB are free on the disk of")
    assert "ray.log" in caught.value.hint
    assert not (home / "state.json").exists()
    assert list(_marked_pids(home)) == []


def test_an_interpreter_whose_path_has_a_blank_starts_workers(home, tmp_path, monkeypatch):
    """Ray has a shell start them, by `exec` and the path as it is."""
    (blank := tmp_path / "a b").symlink_to(sys.prefix)
    monkeypatch.setattr(local.ray_head.sys, "executable", str(blank / "bin" / "python"))
    monkeypatch.setattr(local.ray_head, "launch", lambda name, command, environ, *_: (command, environ))
    made = local.plan(LocalClusterOptions(home=home), StateFolder(home=home))
    command, environ = local.ray_head.start(
        made, StateFolder(home=home), {"PATH": "/usr/bin:/bin"}, num_cpus=None, num_gpus=None, workers=()
    )
    code = "import ray, sys; print(sys.prefix)"
    for python in (command[0], "python"):
        shell = ["bash", "-c", f"exec {python} -c {shlex.quote(code)}"]
        done = subprocess.run(shell, env=environ, capture_output=True, text=True, check=True)
        assert done.stdout == f"{made.temp_dir}/python\n"
    shutil.rmtree(made.temp_dir)
    assert (blank / "bin" / "python").exists()


def test_an_interrupt_while_it_starts_is_undone(home, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    seen = []
    write = StateFolder.write
    monkeypatch.setattr(StateFolder, "write", lambda self, made: (seen.append(made), write(self, made))[1])
    monkeypatch.setattr(s3_server, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        up(LocalClusterOptions(home=home))
    assert seen[-1].ray is not None
    assert _family(seen[-1]) == set()
    assert not Path(seen[-1].temp_dir).exists()
    assert find(home) is None


def test_stale_state_of_processes_long_gone_is_no_cluster(home):
    state = StateFolder(home=home)
    made = local.plan(LocalClusterOptions(home=home), state)
    me = local.processes.identify(os.getpid())
    stale = replace(me, start_ticks=1)
    state.write(replace(made, ray=stale, s3=stale, ready_at="2026-01-01T00:00:00+00:00"))
    assert find(home) is None
    assert not down(home)
    assert not (home / "state.json").exists()
    assert not Path(made.temp_dir).exists()


def test_a_cluster_of_another_machine_with_the_same_home_is_left_alone(home):
    """Its processes are none here, so it looks like one that has died; but its server has the objects."""
    state = StateFolder(home=home)
    state.prepare()
    made = local.plan(LocalClusterOptions(home=home), state)
    elsewhere = replace(local.processes.identify(os.getpid()), boot="of another machine")
    state.write(replace(made, ray=elsewhere, s3=elsewhere, ready_at="2026-01-01T00:00:00+00:00"))
    make_secrets(state.secrets)
    with state.s3_locked():
        for act in (lambda: up(LocalClusterOptions(home=home)), lambda: down(home)):
            with pytest.raises(ClusterError, match="another machine"):
                act()
    assert state.read() is not None
    assert state.secrets.token.exists()
    down(home)
    assert state.read() is None


def test_a_server_that_is_just_ending_is_waited_for(home):
    state = StateFolder(home=home)
    state.prepare()
    with ExitStack() as ending:
        ending.enter_context(state.s3_locked())
        threading.Timer(0.3, ending.pop_all().close).start()
        with state.s3_locked():
            pass


def test_what_is_left_of_a_cluster_is_told_as_broken(home):
    """Not as none: starting another would end the job that its Ray may still run."""
    state = StateFolder(home=home)
    state.prepare()
    made = local.plan(LocalClusterOptions(home=home), state)
    me = local.processes.identify(os.getpid())
    state.write(replace(made, ray=me, s3=replace(me, start_ticks=1), ready_at="2026-01-01T00:00:00+00:00"))
    try:
        assert find(home) is None
        found = find(home, is_whole=False)
        assert found is not None
        problems, nodes = examine(found)
        assert all(problems.values())
        assert nodes is None
    finally:
        state.forget()
        Path(made.temp_dir).rmdir()


def test_it_is_stopped_also_where_nobody_hears_of_it(home):
    """`cifar-ray demo | tee log`, and Ctrl-C, of which tee dies first."""

    def broken(_line):
        raise BrokenPipeError

    state = StateFolder(home=home)
    state.prepare()
    made = local.plan(LocalClusterOptions(home=home), state)
    state.write(replace(made, ready_at="2026-01-01T00:00:00+00:00"))
    down(home, broken)
    assert not (home / "state.json").exists()


@pytest.mark.parametrize("name", ["dashboard_port", "s3_port"])
def test_a_taken_port_is_told_before_anything_starts(home, name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=str(port)) as caught:
            up(LocalClusterOptions(home=home, **{name: port}))
    assert f"--{name.replace('_', '-')}" in caught.value.hint
    assert not (home / "state.json").exists()


def test_no_cluster_where_there_is_no_folder(tmp_path):
    assert find(tmp_path / "none") is None
    assert not down(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_missing_s3_server_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(s3_server.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError) as caught:
        up(LocalClusterOptions(home=tmp_path / "home"))
    assert "pip install 'cifar-ray[local]'" in caught.value.hint


def _wait_for_log(cluster, token, submission_id):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        _, answer = _request(cluster, f"/api/jobs/{submission_id}/logs", token=token)
        if answer and "running" in answer["logs"]:
            return answer["logs"]
        time.sleep(0.3)
    raise AssertionError(f"the job did not start: {answer}")


def _command(process):
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _marked_pids(home):
    """Processes of any cluster whose secrets lie in `home`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in environ and MARK.encode() in environ:
            yield int(folder.name)
