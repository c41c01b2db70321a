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
from loopback_server import NotingServer, serving

from cifar_ray.errors import CifarRayError, ConfigurationError, UnknownNameError, UnreachableError
from cifar_ray.submission import jobs_client
from cifar_ray.submission.job_spec import JobSpec
from cifar_ray.submission.jobs_client import JobsClient

JOB = "cnn-20261126-140155-ab12cd34"


@pytest.mark.parametrize(
    ("text", "submission_id", "becomes"),
    [
        ("Request failed with status code 401: Unauthorized: Missing authentication token.", JOB, UnreachableError),
        ("Request failed with status code 403: Forbidden: Invalid authentication token.", None, UnreachableError),
        (f"Request failed with status code 404: Job {JOB} does not exist.", JOB, UnknownNameError),
        ("Job resnet-403 does not exist", "resnet-403", UnknownNameError),
        # the head is busy, or a proxy before it
        ("Request failed with status code 503: Service Unavailable.", None, UnreachableError),
        ("Request failed with status code 429: <html>\nToo many\n</html>.", JOB, UnreachableError),
        ("Request failed with status code 520: <!DOCTYPE html>\n</html>.", None, UnreachableError),
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
    assert "html" not in str(found)


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


def client_of(address: str, headers: dict[str, str]) -> JobsClient:
    """It has asked nothing yet."""
    client = JobsClient.__new__(JobsClient)
    client._address, client.flags, client._hint = address, "", "look"
    client._client = jobs_client._Client.__new__(jobs_client._Client)
    vars(client._client).update(_address=address, _cookies=None, _headers=headers, _verify=True)
    return client


def test_a_cluster_that_takes_connections_and_never_answers_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_client, "ANSWER_DEADLINES_S", (5.0, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = client_of(f"http://127.0.0.1:{mute.getsockname()[1]}", {})
        with pytest.raises(UnreachableError, match=r"no Ray cluster answers at http://[\d.:]+ \(timed out\)"):
            client.status(JOB)


def test_the_token_alone_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (netrc := tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(NotingServer(b"{}")) as server, pytest.raises(CifarRayError):
        client_of(server.url, {"authorization": "Bearer abc"}).status(JOB)
    assert server.headers("Authorization") == ["Bearer abc"]


@pytest.mark.parametrize("token", ["€", "a\nb"])
def test_a_token_that_no_header_can_have_is_told_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigurationError, match="the token has characters") as caught:
        client_of("http://127.0.0.1:9", {"authorization": f"Bearer {token}"}).status(JOB)
    assert token not in caught.value.message
    assert caught.value.__cause__ is None or token in "€"
    assert caught.value.__suppress_context__


def test_a_token_that_cannot_be_read_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as of a cluster that has ended, whose secrets have gone with it."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/no/such")
    client = JobsClient.__new__(JobsClient)
    refused = client._refused("RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty: /no/such")
    assert "there is no token to send: RAY_AUTH_TOKEN_PATH is set but" in refused.message
    assert "/no/such" in str(refused.hint)


NO_TOKEN = b"Unauthorized: Missing authentication token"


@pytest.mark.parametrize(
    ("status", "content", "message", "hint"),
    [
        (200, b'{"version": "0.5"}', "answers in a way that is not Ray's", "correct RAY_API_SERVER_ADDRESS, or unset"),
        (200, b"<html>", "answers in a way that is not Ray's", "correct RAY_API_SERVER_ADDRESS, or unset"),
        (502, b"<html>", "no Ray cluster answers at {} (502 Server Error", "correct RAY_API_SERVER_ADDRESS, or unset"),
        (403, b"<html>", "something on the way to the cluster at {} refuses", "correct RAY_API_SERVER_ADDRESS"),
        (
            401,
            NO_TOKEN,
            "the cluster at {} refuses",
            "correct the token in /run/token, which RAY_AUTH_TOKEN_PATH names",
        ),
    ],
)
def test_what_answers_in_place_of_a_cluster_is_told(
    monkeypatch: pytest.MonkeyPatch, status: int, content: bytes, message: str, hint: str
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/token")
    with serving(NotingServer(content)) as server:
        server.status = status
        with pytest.raises(UnreachableError) as caught:
            JobsClient(server.url)
        assert message.format(server.url) in caught.value.message
        assert str(caught.value.hint).startswith(hint)
        monkeypatch.setenv("http_proxy", server.url)
        with pytest.raises(UnreachableError) as behind:
            JobsClient("http://head:8265")
    assert str(behind.value.hint).endswith("; past the proxy: NO_PROXY=head") == (content != NO_TOKEN)


@pytest.mark.parametrize("address", ["head:8265", "127.0.0.1:9", "ray://head:10001", "htp:/foo"])
def test_an_address_that_is_no_url_is_refused_at_once(address: str) -> None:
    """Ray would take it for that of its own head, and wait for half a minute."""
    with pytest.raises(ConfigurationError, match=f"{address!r} is no http:// or https:// URL"):
        JobsClient(address)


@pytest.fixture
def half_deaf() -> Iterator[Callable[[str], str]]:
    """A cluster that hangs up at requests of one method, or answers submissions with a status; returns its address."""

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
                answers = self.command != "POST" or not deaf_to.isdigit()
                if not answers:
                    body = b"Forbidden: Invalid authentication token"
                self.send_response(200 if answers else int(deaf_to))
                self.send_header("Location", f"https://head{self.path}")
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
        ("GET", "no Ray cluster answers at http://", "correct RAY_API_SERVER_ADDRESS"),
        ("403", "refuses the token", "set RAY_AUTH_TOKEN"),
        ("301", "redirects to https://head", "set RAY_API_SERVER_ADDRESS"),
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
