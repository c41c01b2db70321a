"""The server, asked over a real socket."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from loopback_server import serving

from cifar_ray.errors import ConfigurationError
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.reporting import html
from cifar_ray.reporting.page_server import PART_BYTES, PageServer
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore


@pytest.fixture
def server(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> Iterator[PageServer]:
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", trial_record)
    runs.write_metrics("cnn-1", epoch_metrics)
    runs.objects.write("secret.txt", b"not for the page")
    with serving(PageServer(runs)) as server:
        yield server


def ask(
    server: PageServer, path: str, method: str = "GET", host: str | None = None, tag: str = ""
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    if tag:
        connection.putheader("If-None-Match", tag)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_it_serves_the_page_and_the_records(server: PageServer) -> None:
    answer, page = ask(server, "/")
    assert answer.status == 200
    assert b"<!doctype html>" in page
    assert "frame-ancestors 'none'" in str(answer.getheader("Content-Security-Policy"))
    assert [row["id"] for row in json.loads(ask(server, "/api/store.json")[1])["sweeps"]] == ["cnn-1"]
    assert json.loads(ask(server, "/api/sweeps/cnn-1.json")[1])["metrics"]["t0000"]["epoch"] == [1, 2, 3, 4]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}"])
def test_another_name_for_it_is_refused(server: PageServer, host: str) -> None:
    for path in ("/", "/api/store.json"):
        answer, content = ask(server, path, host=host.format(port=server.server_port))
        assert answer.status == 421
        assert b"cnn-1" not in content
        assert f"(ssh -L {server.server_port}:127.0.0.1:{server.server_port})" in content.decode()
    assert ask(server, "/api/store.json", host=f"localhost:{server.server_port}")[0].status == 200


def test_it_listens_on_loopback_alone(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_answers_reading(server: PageServer, method: str) -> None:
    assert ask(server, "/api/store.json", method=method)[0].status == 501


@pytest.mark.parametrize(
    "path",
    [
        *("/secret.txt", "/api/../secret.txt", "/api/sweeps/..%2Fsecret.json", "/api/sweeps/..json"),
        *("/api/sweeps/cnn-1/sweep.json", "/cnn-1/sweep.json", "/api/sweeps/none-1.json", "//evil.example/"),
    ],
)
def test_it_serves_nothing_but_sweeps(server: PageServer, path: str) -> None:
    answer, content = ask(server, path)
    assert answer.status == 404
    assert b"not for the page" not in content


def test_what_is_unchanged_is_not_sent_again(server: PageServer) -> None:
    tag = str(ask(server, "/")[0].getheader("ETag"))
    answer, content = ask(server, "/", tag=tag)
    assert (answer.status, content) == (304, b"")


def test_the_policys_checksums_are_of_the_first_answer_alone(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page asks every 1.5 s, and its scripts are a megabyte."""
    policy = ask(server, "/")[0].getheader("Content-Security-Policy")
    monkeypatch.delattr(html, "_checksum")
    assert ask(server, "/api/store.json")[0].getheader("Content-Security-Policy") == policy


def test_a_slow_reader_has_the_time_limit_for_each_part(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    send, sizes = socket.socket.sendall, []

    def noted(self: socket.socket, data: bytes) -> None:
        sizes.append(len(data))
        send(self, data)

    monkeypatch.setattr(socket.socket, "sendall", noted)
    assert ask(server, "/")[1] == html.live_page().encode()
    assert max(sizes) == PART_BYTES


def test_a_damaged_record_is_told(server: PageServer, runs: RunStore) -> None:
    runs.objects.write(layout.sweep_record("cnn-1"), b"{")
    answer, content = ask(server, "/api/sweeps/cnn-1.json")
    assert answer.status == 502
    assert "SweepRecord" in json.loads(content)["problem"]


def test_a_port_that_is_taken_is_one_clear_line(server: PageServer, runs: RunStore) -> None:
    with pytest.raises(ConfigurationError, match="in use"):
        PageServer(runs, server.server_port)
