"""What Ray's errors become."""

import socket
from types import SimpleNamespace

import pytest

from cifar_ray.errors import CifarRayError, ConfigurationError, UnknownNameError, UnreachableError
from cifar_ray.submission import jobs_client
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
