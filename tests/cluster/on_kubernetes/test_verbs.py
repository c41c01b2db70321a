"""`cifar-ray cluster` and `--release`, as a person uses them."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import pytest
from click.testing import CliRunner, Result
from fake_kubernetes import DEADLINE_S, RAY_TOKEN, FakeDashboard, FakeKubernetes
from recorded import HEAD, TEAM, pod, secret

from cifar_ray.cli.main import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def run_outside(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Ray keeps the first token that it sees."""
    command = [sys.executable, "-m", "cifar_ray.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_doctor_prints_a_line_for_each_check(kubernetes: FakeKubernetes) -> None:
    del kubernetes.objects[f"{TEAM}/secrets/s3-keys"]
    result = run("cluster", "doctor", "--release", "sweeps")
    assert result.exit_code == 1
    assert "ok       KubeRay operator: kuberay/kuberay-operator runs" in result.output
    assert (
        "error    Secret s3-keys: is missing: pods that need it do not start\n"
        "         do: create the Secret in the release's namespace" in result.output
    )
    assert RAY_TOKEN not in result.output


def test_doctor_as_json(kubernetes: FakeKubernetes) -> None:
    result = run("cluster", "doctor", "--json")
    findings = json.loads(result.output)
    assert result.exit_code == 0
    assert {"checked": "KubeRay's kinds", "severity": "ok"}.items() <= findings[1].items()
    assert {finding["severity"] for finding in findings} == {"ok", "warning"}  # no store is set here


def test_status_shows_why_a_pod_waits_without_its_escapes(kubernetes: FakeKubernetes) -> None:
    stuck = pod("worker-2", group="a100")
    stuck["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "message": "0/2\x1b[2J nodes"})
    kubernetes.objects[f"{TEAM}/pods"] = [*kubernetes.objects[f"{TEAM}/pods"], stuck]
    result = run("cluster", "status", "--release", "sweeps")
    assert result.exit_code == 0
    assert re.search(r"a100 +0 +1 +1 +4\n", result.output)
    assert "worker-2\n  not scheduled: 0/2 [2J nodes\n" in result.output
    assert "sweeps-cnn-abcde" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["cluster", "status"], 2, "no release is named"),
        (["cluster", "connect", "--release", "nope"], 2, "no release 'nope'"),
        (["cluster", "doctor", "--context", "nope"], 2, "context 'nope'"),
        (["job", "list", "--release", "nope"], 2, "no release 'nope'"),
        (["job", "list", "--namespace", "team"], 2, "no release is named"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(
    arguments: list[str], code: int, says: str, kubernetes: FakeKubernetes
) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert says in result.output
    assert result.output.splitlines()[1].startswith("hint: ")


def test_job_verbs_reach_the_release_past_proxies_and_other_tokens(
    kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-another-cluster")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    kubernetes.url = kubernetes.url.replace("127.0.0.1", "localhost")
    kubernetes.write_kubeconfig(Path(os.environ["KUBECONFIG"]))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = run_outside("job", "list", "--release", "sweeps")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert kubernetes.num_tunnels > 1


class Connection:
    """`cifar-ray cluster connect` in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "cifar_ray.cli.main", "cluster", "connect", "--release", "sweeps"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._lines: Queue[str] = Queue()
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def wait_for(self, pattern: str) -> re.Match[str]:
        while (match := re.search(pattern, self.said)) is None:
            try:
                self.said += self._lines.get(timeout=3 * DEADLINE_S)
            except Empty:
                pytest.fail(f"{pattern!r} is not in {self.said!r}")
        return match

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def connection(kubernetes: FakeKubernetes) -> Iterator[Connection]:
    opened = Connection()
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
            opened.stop()


def test_connect_stays_and_follows_a_replaced_head(
    connection: Connection, kubernetes: FakeKubernetes, dashboard: FakeDashboard
) -> None:
    url = connection.wait_for(r"export RAY_API_SERVER_ADDRESS=(\S+)\n")[1]
    path = Path(connection.wait_for(r"export RAY_AUTH_TOKEN_PATH=(\S+)\n")[1])
    connection.wait_for(rf"# head pod {HEAD}\n")
    assert "export RAY_AUTH_MODE=token\n" in connection.said
    # the shell may have been another cluster's client, and have a proxy
    assert connection.said.startswith("unset RAY_ADDRESS\nunset RAY_AUTH_TOKEN\nNO_PROXY=")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (RAY_TOKEN, 0o600)
    assert Path(os.environ["CIFAR_RAY_HOME"]) in path.parents

    def ask() -> int:
        request = urllib.request.Request(f"{url}/api/version", headers={"Authorization": f"Bearer {path.read_text()}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=DEADLINE_S) as response:
            code: int = response.status
            return code

    assert ask() == 200
    kubernetes.objects[f"{TEAM}/secrets/sweeps-cifar-ray"] = secret("x", auth_token="renewed")
    dashboard.token = "renewed"
    kubernetes.objects[f"{TEAM}/pods"] = []
    connection.wait_for("# lost: the head pod of release 'sweeps' is not ready: there is none; trying again")
    kubernetes.objects[f"{TEAM}/pods"] = [pod("head-2", group="headgroup", node_name="cpu-1")]
    kubernetes.tunnels = {"head-2": dashboard.port}
    connection.wait_for("# head pod head-2\n")
    assert ask() == 200
    assert connection.stop() == 0
    assert not path.exists()
    assert RAY_TOKEN not in connection.said
    assert "renewed" not in connection.said
