"""What Ray's errors become."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from loopback_server import serving

from cifar_ray.errors import CifarRayError, ConfigurationError, UnknownNameError, UnreachableError
from cifar_ray.submission import jobs_client
from cifar_ray.submission.job_spec import JobSpec
from cifar_ray.submission.jobs_client import JobsClient

JOB = "cnn-20261126-140155-ab12cd34"


@pytest.mark.parametrize(
    ("text", "submission_id", "becomes"),
    [
        ("Request failed with status code 401: Unauthorized.", JOB, UnreachableError),
        ("Request failed with status code 403: Forbidden.", None, UnreachableError),
        (f"Request failed with status code 404: Job {JOB} does not exist.", JOB, UnknownNameError),
        ("Job resnet-403 does not exist", "resnet-403", UnknownNameError),
        # the head is busy, or a proxy before it
        ("Request failed with status code 503: Service Unavailable.", None, UnreachableError),
        ("Request failed with status code 500: Traceback\n  line 401, in f\nNo agent answers.", JOB, UnreachableError),
        ("Request failed with status code 500: Traceback\n  line 401, in f\nNo such folder.", None, ConfigurationError),
        ("Request failed with status code 400: took 403 s, 404 files.", None, ConfigurationError),
    ],
)
def test_the_status_alone_decides(
    monkeypatch: pytest.MonkeyPatch, text: str, submission_id: str | None, becomes: type[CifarRayError]
) -> None:
    """Ids, times and lines of tracebacks have such numbers in them, too."""
    client = JobsClient.__new__(JobsClient)
    client._address, client.flags = "http://127.0.0.1:1", ""
    monkeypatch.setattr(client, "list", list)
    found = client._explain(RuntimeError(text), submission_id)
    assert type(found) is becomes
    assert ("refuses the token" in str(found)) == ("code 401" in text or "code 403" in text)


def test_the_command_that_lists_the_jobs_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_client, "_Client", lambda address: None)
    client = JobsClient("http://127.0.0.1:1", " --release r")
    monkeypatch.setattr(client, "list", lambda: [SimpleNamespace(submission_id="cnn-1")])
    found = client._explain(RuntimeError("Request failed with status code 404: Job zzz does not exist"), "zzz")
    assert str(getattr(found, "hint", "")).startswith("`cifar-ray job list --release r`")


def test_a_job_whose_id_is_taken_is_named() -> None:
    client = JobsClient.__new__(JobsClient)
    text = f"Request failed with status code 500: Traceback\nJob with submission_id {JOB} already exists. Please use\n."
    found = client._explain(RuntimeError(text), None)
    assert str(found) == f"the cluster has had a job {JOB}"
    assert "--start-or-resume" in str(found.hint)


def test_a_cluster_that_takes_connections_and_never_answers_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_client, "ANSWER_DEADLINES_S", (5.0, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = JobsClient.__new__(JobsClient)
        client._address, client.flags = f"http://127.0.0.1:{mute.getsockname()[1]}", ""
        client._client = jobs_client._Client.__new__(jobs_client._Client)
        vars(client._client).update(_address=client._address, _cookies=None, _headers={}, _verify=True)
        with pytest.raises(UnreachableError, match="no Ray cluster answers"):
            client.status(JOB)


@pytest.mark.parametrize("address", ["head:8265", "127.0.0.1:9", "ray://head:10001", "htp:/foo"])
def test_an_address_that_is_no_url_is_refused_at_once(address: str) -> None:
    """Ray would take it for that of its own head, and wait for half a minute."""
    with pytest.raises(ConfigurationError, match=f"{address!r} is no http:// or https:// URL"):
        JobsClient(address)


@pytest.fixture
def half_deaf() -> Iterator[Callable[[str], str]]:
    """A cluster that hangs up at requests of one method, or, with `403`, refuses submissions; returns its address."""

    def start(deaf_to: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline()
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_version = self.path == "/api/version"
                if self.command == deaf_to and not is_version:
                    self.close_connection = True
                    return
                body = json.dumps({"ray_version": ray.__version__}).encode()
                self.send_response(403 if deaf_to == "403" and self.command == "POST" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None: ...

        server = running.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)))
        return f"http://127.0.0.1:{server.server_port}"

    with ExitStack() as running:
        yield start


@pytest.mark.parametrize(
    ("deaf_to", "message", "hint"),
    [
        ("POST", f"; job {JOB} may run all the same", f"`cifar-ray job status {JOB} --release r` tells whether"),
        ("GET", "no Ray cluster answers at http://", "start one with"),
        ("403", "refuses the token", "set RAY_AUTH_TOKEN"),
    ],
)
def test_a_job_that_the_cluster_may_have_taken_is_named(
    half_deaf: Callable[[str], str], tmp_path: Path, deaf_to: str, message: str, hint: str
) -> None:
    (tmp_path / "tune_cnn.py").touch()
    spec = JobSpec(
        submission_id=JOB, entrypoint=("python", "tune_cnn.py"), working_dir=str(tmp_path), metadata={}, environment={}
    )
    client = JobsClient(half_deaf(deaf_to), " --release r")
    with pytest.raises(UnreachableError) as caught:
        client.submit(spec)
    assert message in caught.value.message
    assert str(caught.value.hint).startswith(hint)
    assert (JOB in caught.value.message) == (deaf_to == "POST")
