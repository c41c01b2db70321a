"""The chart's scripts do what they say, on a real Ray and a real SeaweedFS."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from chart import FOLDER, STORE, Chart, Json, one

from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.ports import free_ports

EMBEDDED = {"objectStore": {"embedded": {"enabled": True}}}


def _check(chart: Chart, name: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command of a helm test here, with the rendered arguments replaced by `arguments`."""
    (container,) = one(chart.render(STORE), "Pod", f"sweeps-cifar-ray-check-{name}")["spec"]["containers"]
    command = [sys.executable, *container["command"][1:3], *arguments]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.cluster
def test_the_dashboards_check_wants_the_token_and_refusals(chart: Chart, cluster: local.LocalCluster) -> None:
    token = Path(cluster.token_path).read_text().strip()
    done = _check(chart, "dashboard", cluster.dashboard_url, RAY_AUTH_TOKEN=token)
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(" ")[2] for line in done.stdout.splitlines()] == ["200", "401", "403"]
    done = _check(chart, "dashboard", cluster.dashboard_url, RAY_AUTH_TOKEN="another" * 6)
    assert (done.returncode, done.stderr.strip()) == (1, "expected 200")


@pytest.mark.cluster
def test_the_stores_check_writes_and_says_what_is_wrong(chart: Chart, cluster: local.LocalCluster) -> None:
    done = _check(chart, "store")
    assert done.returncode == 0, done.stderr
    done = _check(chart, "store", CIFAR_RAY_STORAGE="s3://no-such-bucket/x")
    assert done.returncode == 1
    assert "no-such-bucket" in done.stderr


def test_the_stores_check_waits_for_a_store_that_is_not_up_yet(chart: Chart) -> None:
    pod = one(chart.render(STORE), "Pod", "sweeps-cifar-ray-check-store")
    script = pod["spec"]["containers"][0]["command"][2]
    assert "PATIENCE_S = 120\n" in script
    command = [sys.executable, "-c", script.replace("PATIENCE_S = 120\n", "PATIENCE_S = 2\n")]
    env = os.environ | {
        "CIFAR_RAY_STORAGE": "s3://bucket",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_ports(1)[0]}",
    }
    env |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "tried for 2 s" in done.stderr) == (1, True), done.stderr


def test_the_evaluation_goes_on_without_sweeps_that_never_finish_but_not_without_a_store(
    chart: Chart, tmp_path: Path
) -> None:
    values = STORE | {"studies": {"evaluate": {"enabled": True, "sweeps": ["cnn-1", "cnn-2"]}}}
    job = one(chart.render(values), "RayJob")["spec"]
    (container,) = job["submitterPodTemplate"]["spec"]["initContainers"]
    command = [*container["command"][:-1], "0"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (tmp_path / "file").touch()
    for store, code, says in (("new", 0, "cnn-1: not started; cnn-2: not started"), ("file/x", 1, "file/x")):
        env = os.environ | {"PATH": path, "CIFAR_RAY_STORAGE": str(tmp_path / store)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr


@contextmanager
def _ray_start(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A Ray node as a pod has it: `ray start --block`."""
    command = ["ray", "start", "--block", "--node-ip-address=127.0.0.1", *options]
    with (folder / f"{len(options)}.log").open("w") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log, text=True, start_new_session=True)
        try:
            yield node
        finally:
            node.terminate()
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                node.kill()


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray head without CPUs, and with a token."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    # it listens beyond loopback: what keeps a Ray to loopback also keeps a second node from joining
    for name, value in {"USAGE_STATS_ENABLED": "0", "AUTH_MODE": "token", "AUTH_TOKEN": secrets.token_hex(20)}.items():
        monkeypatch.setenv(f"RAY_{name}", value)
    port, client = free_ports(2)
    folder = Path(tempfile.mkdtemp(prefix="crd-"))
    options = [f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={folder}/ray", "--num-cpus=0"]
    with _ray_start(folder, "--head", "--include-dashboard=false", *options):
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        try:
            yield f"127.0.0.1:{port}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(address: str) -> None:
    for _ in range(60):
        check = ["ray", "health-check", "--address", address]
        if subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    pytest.fail(f"Ray at {address} does not come up")


@pytest.mark.cluster
@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_leaves_the_cluster(chart: Chart, address: str, tmp_path: Path) -> None:
    group = one(chart.render(STORE), "RayCluster")["spec"]["workerGroupSpecs"][0]
    (container,) = group["template"]["spec"]["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command[-1] == "110", "10 s less than the grace period"
    _wait_for(address)
    with _ray_start(tmp_path, f"--address={address}", "--num-cpus=1", "--labels=ray.io/market-type=spot") as worker:
        _wait_for_nodes(2)
        # a pod sees its own raylet alone
        raylet = _workers_raylet(address)
        (tmp_path / raylet.name).symlink_to(raylet)
        began = time.monotonic()
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 60, "an idle node that is drained ends by itself"
        _wait_for_nodes(1)
        # what Kubernetes sends next: `ray start --block` outlives a raylet that has left in order
        worker.terminate()
        worker.wait(30)
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, ""), "nothing is left to drain"


@pytest.mark.parametrize(("num_refusals", "seconds"), [(2, "60"), (1000, "10")])
def test_a_head_that_does_not_answer_is_asked_again(tmp_path: Path, num_refusals: int, seconds: str) -> None:
    script = (FOLDER / "files" / "drain.sh").read_text()
    raylet = tmp_path / "proc/7"
    raylet.mkdir(parents=True)
    (raylet / "comm").write_text("raylet\n")
    (raylet / "cmdline").write_bytes(b"raylet\0--node_id=abc\0")
    asked = tmp_path / "asked"
    ray = tmp_path / "ray"
    ray.write_text(
        f'#!/bin/sh\necho "$*" >> {asked}\n[ $(wc -l < {asked}) -gt {num_refusals} ] || exit 1\nrm {raylet}/comm\n'
    )
    ray.chmod(0o755)
    command = ["/bin/bash", "-c", script, "drain", seconds, str(tmp_path / "proc")]
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(command, env=env, timeout=60, check=False).returncode == 0
    lines = asked.read_text().splitlines()
    assert all(line.startswith("drain-node --node-id abc ") for line in lines)
    left = [int(line.partition("--deadline-remaining-seconds ")[2].split()[0]) for line in lines]
    assert left == sorted(left, reverse=True)
    assert left[-1] > 0
    if num_refusals == 2:
        assert len(lines) == 3
    else:
        assert 1 < len(lines) <= int(seconds), "not beyond the time that the pod has"


def _workers_raylet(address: str) -> Path:
    """Its folder in /proc."""
    port = address.rpartition(":")[2]
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_text().split("\0")
            # Ray may write another address of this machine
            joined = any(word.startswith("--gcs-address=") and word.endswith(f":{port}") for word in words)
            if words[0].endswith("/raylet") and joined and "--head" not in words:
                return folder
    pytest.fail("the worker has no raylet")


def _wait_for_nodes(count: int) -> None:
    code = (
        "import ray, time\nray.init(logging_level=40)\n"
        f"deadline = time.monotonic() + 60\nwhile sum(n['Alive'] for n in ray.nodes()) != {count}:\n"
        "    assert time.monotonic() < deadline\n    time.sleep(0.3)\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=120, check=True, capture_output=True)


@pytest.fixture
def store(chart: Chart, tmp_path: Path) -> Iterator[Json]:
    """The embedded store's server as its manifest starts it, on other ports and in another folder."""
    manifests = chart.render(EMBEDDED)
    (container,) = one(manifests, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    config, secret = tmp_path / "s3.json", one(manifests, "Secret", "sweeps-cifar-ray-store-config")["stringData"]
    config.write_text(secret["s3.json"])
    env = os.environ | {each["name"]: secret[each["valueFrom"]["secretKeyRef"]["key"]] for each in container["env"]}
    port, *internal = free_ports(1 + len(s3_server.PORTS))
    ours = {"-dir=/data": f"-dir={tmp_path}", "-s3.port=8333": f"-s3.port={port}"}
    ours["-s3.config=/etc/seaweedfs/s3.json"] = f"-s3.config={config}"
    assert set(ours) < set(container["command"])
    command = [ours.get(each, each) for each in container["command"][1:]]
    command += [f"-{name}={number}" for name, number in zip(s3_server.PORTS, internal, strict=True)]
    ports = dict(zip(s3_server.PORTS, internal, strict=True))
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([s3_server.binary(), *command], env=env, stdout=log, stderr=log)
        try:
            yield {"port": port, "ports": ports, "container": container, "manifests": manifests, "pid": server.pid}
        finally:
            server.kill()
            server.wait()


@pytest.mark.cluster
@pytest.mark.slow
def test_the_embedded_store_makes_its_bucket_and_takes_only_its_keys(chart: Chart, store: Json, tmp_path: Path) -> None:
    assert "-master.vacuumIntervalSeconds=60" in store["container"]["command"]
    (*shell, script) = store["container"]["lifecycle"]["postStart"]["exec"]["command"]
    for part in ("master", "filer"):
        default = {"master": 9333, "filer": 8888}[part]
        assert f"127.0.0.1:{default}" in script
        own = f"127.0.0.1:{store['ports'][f'{part}.port']}.{store['ports'][f'{part}.port.grpc']}"
        script = script.replace(f"127.0.0.1:{default}", own)
    (tmp_path / "weed").symlink_to(s3_server.binary())
    path = f"{tmp_path}:{os.environ['PATH']}"
    for _ in range(2):
        # a pod that starts again finds its bucket
        done = subprocess.run(
            [*shell, script], env={"PATH": path}, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
    url = f"http://127.0.0.1:{store['port']}"
    probe = store["container"]["readinessProbe"]["httpGet"]["path"]
    assert _status_once_ready(f"{url}{probe}") == 200
    assert _open_ports(store["pid"]) == {store["port"], store["ports"]["s3.port.grpc"]}
    assert _add_identity(f"127.0.0.1:{store['ports']['s3.port.grpc']}") == "UNAUTHENTICATED"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{url}/cifar-ray", timeout=10)
    head = one(store["manifests"], "RayCluster")["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    env = {each["name"]: each["value"] for each in head["env"] if each["name"] != "HOME"}
    env |= {"AWS_ENDPOINT_URL_S3": url} | one(store["manifests"], "Secret", "sweeps-cifar-ray-store")["stringData"]
    assert _check(chart, "store", **env).returncode == 0
    done = _check(chart, "store", **env | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert done.returncode == 1
    assert "SignatureDoesNotMatch" in done.stderr


def _add_identity(address: str) -> str:
    """Ask SeaweedFS's S3 for a new identity, at its port of gRPC and without a key; the answer's status."""
    # PutIdentityRequest(identity=Identity(name="x"))
    request = b"\x0a\x03\x0a\x01x"
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(
            "/messaging_pb.SeaweedS3IamCache/PutIdentity", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            ask(request, timeout=30, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _open_ports(pid: int) -> set[int]:
    """Those at which the process listens beyond loopback."""
    folder = Path("/proc") / str(pid)
    sockets = set()
    for descriptor in (folder / "fd").iterdir():
        with suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (folder / "net" / table).read_text().splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            is_listening, is_loopback = words[3] == "0A", address == "0100007F"
            if is_listening and not is_loopback and f"socket:[{words[9]}]" in sockets:
                found.add(int(port, 16))
    return found


def _status_once_ready(url: str) -> int:
    """The S3 part may come up after those that a bucket is made with."""
    for _ in range(60):
        with suppress(urllib.error.URLError), urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
        time.sleep(0.5)
    pytest.fail(f"{url} does not answer")
