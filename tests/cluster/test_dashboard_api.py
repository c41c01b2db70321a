"""What is refused of a dashboard's answers, and of what answers in its place."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loopback_server import NotingServer, serving

from cifar_ray.cluster.dashboard_api import answers_without_token, living_nodes, running_jobs, versions
from cifar_ray.errors import UnreachableError

Ask = Callable[[str, str], object]


@pytest.fixture
def dashboard() -> Iterator[NotingServer]:
    with serving(NotingServer(b"[]")) as server:
        yield server


def nodes(*listed: object) -> object:
    return {"data": {"result": {"result": listed}}}


JOB = {"submission_id": "cnn-1", "status": "RUNNING", "metadata": {"study": "cnn"}}
NODE = {"node_ip": "10.0.0.1", "resources_total": {"CPU": 2.0}, "labels": {}, "state": "ALIVE"}


def test_the_clusters_token_is_shown_whatever_proxy_there_is(
    dashboard: NotingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert running_jobs(dashboard.url, "secret") == []
    dashboard.content = json.dumps(nodes(NODE)).encode()
    assert [node.name for node in living_nodes(dashboard.url, None)] == ["10.0.0.1"]
    assert dashboard.headers("Authorization") == ["Bearer secret", None]


@pytest.mark.parametrize("ask", [running_jobs, living_nodes, versions])
@pytest.mark.parametrize(
    ("status", "content", "num_bytes", "says"),
    [
        (401, b"no token", None, "answers 401"),
        (503, b"[]", None, "answers 503"),
        (200, b"<html>", None, "does not answer: Expecting value"),
        (200, b"\xff", None, "does not answer: "),
        (200, b"[]", 100, "does not answer: IncompleteRead"),
        (None, b"SSH-2.0-OpenSSH_9.6\r\n", None, "does not answer: SSH-2.0"),
        (None, b"", None, "does not answer: "),
    ],
    ids=["refused", "busy", "a page", "no text", "cut off", "no HTTP", "nothing"],
)
def test_whatever_else_answers_there_is_no_dashboard(
    dashboard: NotingServer, ask: Ask, status: int | None, content: bytes, num_bytes: int | None, says: str
) -> None:
    dashboard.status, dashboard.content, dashboard.num_bytes = status, content, num_bytes
    with pytest.raises(UnreachableError, match=says):
        ask(dashboard.url, "secret")


@pytest.mark.parametrize("ask", [running_jobs, living_nodes, versions])
def test_where_nothing_listens_is_no_dashboard(ask: Ask) -> None:
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9/.* does not answer"):
        ask("http://127.0.0.1:9", "secret")


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        *((running_jobs, answer) for answer in (None, 3, {"jobs": []}, [3], [{"status": "RUNNING"}])),
        *((running_jobs, [JOB | {"metadata": metadata}]) for metadata in (3, [3], "study")),
        *((living_nodes, answer) for answer in (None, [], {"data": None}, nodes(3), nodes({"state": "ALIVE"}))),
        *((living_nodes, nodes(NODE | {"resources_total": resources})) for resources in (3, [3], "CPU")),
        *((living_nodes, nodes(NODE | {"labels": labels})) for labels in (3, [3], "GPU")),
        *((versions, answer) for answer in (None, [], {}, {"ray_version": "2"}, {"ray_version": "2", "data": [3]})),
    ],
)
def test_json_that_is_not_rays_is_refused(dashboard: NotingServer, ask: Ask, answer: Any) -> None:
    dashboard.content = json.dumps(answer).encode()
    with pytest.raises(UnreachableError, match=r"in a way that is not Ray's"):
        ask(dashboard.url, "secret")


@pytest.mark.parametrize(("status", "is_open"), [(200, True), (401, False), (403, False)])
def test_whether_whoever_asks_is_let_in(dashboard: NotingServer, status: int, is_open: bool) -> None:
    dashboard.status = status
    assert answers_without_token(dashboard.url) == is_open
    assert dashboard.headers("Authorization") == [None]


@pytest.mark.parametrize(("status", "content"), [(500, b"[]"), (200, b"<html>"), (None, b"")])
def test_a_failure_does_not_pass_for_a_refusal(dashboard: NotingServer, status: int | None, content: bytes) -> None:
    """Else a cluster would seem to be closed that nobody has asked."""
    dashboard.status, dashboard.content = status, content
    with pytest.raises(UnreachableError):
        answers_without_token(dashboard.url)
