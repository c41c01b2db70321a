"""A client of Ray's Jobs API that turns its errors into ours."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from cifar_ray.errors import (
    BUSY_STATUS,
    CifarRayError,
    ConfigurationError,
    UnknownNameError,
    UnreachableError,
    first_line,
    last_line,
    without_user,
)
from cifar_ray.settings import read_settings
from cifar_ray.submission.job_spec import JobSpec
from cifar_ray.submission.job_status import JobStatus

_TAKEN = re.compile(r"Job with submission_id (\S+) already exists")
_STATUS = re.compile(r"Request failed with status code (\d{3})\b")
_PAGE = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
_STOP_WAIT = {"RAY_JOB_STOP_WAIT_TIME_S": "20"}
"""For Ray's supervisor of the job: by default it kills a job 3 s after telling it to stop, before it has written its
records."""
OWN_ADDRESS_HINT = (
    'correct RAY_API_SERVER_ADDRESS, or unset it; for the local cluster, again: eval "$(cifar-ray local env)"'
)
ANSWER_DEADLINES_S = 10.0, 60.0
"""For a connection, and between two parts of an answer."""


class _Client(JobSubmissionClient):  # type: ignore[misc]  # Ray has no type for it
    """Ray's own, which would wait for ever for a cluster that takes connections and does not answer."""

    last_method = ""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> requests.Response:
        self.last_method = method
        response: requests.Response = super()._do_request(
            method,
            endpoint,
            timeout=ANSWER_DEADLINES_S,
            # else one of ~/.netrc would take the place of the token
            auth=lambda request: request,
            # most would make a POST a GET
            allow_redirects=False,
            **options,
        )
        if response.is_redirect:
            target = without_user(response.headers["Location"].partition("?")[0].removesuffix(endpoint))
            raise UnreachableError(
                f"{self._address} redirects to {target}", "set RAY_API_SERVER_ADDRESS to where the dashboard itself is"
            )
        return response


class JobsClient:
    """Submits, inspects and stops the jobs of one cluster.

    The token comes from the environment (`RAY_AUTH_MODE`, `RAY_AUTH_TOKEN` or `RAY_AUTH_TOKEN_PATH`), where
    Ray's own client looks for it. Every method raises UnreachableError where the cluster does not answer.
    """

    def __init__(self, address: str, flags: str = "", hint: str = OWN_ADDRESS_HINT) -> None:
        """ConfigurationError where the address is not a URL: Ray would take it for something else, and wait.

        `flags` name the cluster, for the commands that hints give. `hint` says what to do where it does not answer.
        """
        self.flags = flags
        self._hint = hint
        if not address.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"the cluster's address {address!r} is no http:// or https:// URL",
                "set RAY_API_SERVER_ADDRESS to that of the dashboard, such as http://head:8265",
            )
        self._address = address
        # its messages about every upload would break up the live view
        for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with self._translated():
            self._client = _Client(address)

    def submit(self, spec: JobSpec) -> str:
        """Upload the jobs and start the command; returns the submission id.

        UnreachableError names the job where the cluster may have taken it.
        """
        try:
            with self._translated():
                submission_id: str = self._client.submit_job(
                    entrypoint=shlex.join(spec.entrypoint),
                    submission_id=spec.submission_id,
                    runtime_env={"working_dir": spec.working_dir, "env_vars": {**_STOP_WAIT, **spec.environment}},
                    metadata=dict(spec.metadata),
                )
                return submission_id
        except UnreachableError as error:
            # what comes before is an upload; a redirect is our own error, and nobody took the job
            if self._client.last_method != "POST" or isinstance(error.__cause__, AuthenticationError | None):
                raise
            raise UnreachableError(
                f"{error.message}; job {spec.submission_id} may run all the same",
                f"`cifar-ray job status {spec.submission_id}{self.flags}` tells whether it does",
            ) from error

    def status(self, submission_id: str) -> JobStatus:
        """The job's status; UnknownNameError where there is no job of that id."""
        with self._translated(submission_id):
            return _to_status(self._client.get_job_info(submission_id))

    def list(self) -> list[JobStatus]:
        """All submitted jobs, the newest first."""
        with self._translated():
            jobs = [_to_status(job) for job in self._client.list_jobs() if job.submission_id]
        return sorted(jobs, key=lambda job: job.started_at_ms or 0, reverse=True)

    def logs(self, submission_id: str) -> str:
        """Everything that the job has printed."""
        with self._translated(submission_id):
            text: str = self._client.get_job_logs(submission_id)
            return text

    def stop(self, submission_id: str) -> bool:
        """Ask the job to stop; False where it has ended already."""
        with self._translated(submission_id):
            return bool(self._client.stop_job(submission_id))

    @contextmanager
    def _translated(self, submission_id: str | None = None) -> Iterator[None]:
        try:
            yield
        except requests.exceptions.InvalidHeader:
            # whose message repeats it
            raise self._malformed_token() from None
        except (requests.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise UnreachableError(
                f"{self._address} answers in a way that is not Ray's", self._unreachable_hint
            ) from error
        except (ConnectionError, requests.RequestException) as error:
            raise UnreachableError(
                f"no Ray cluster answers at {self._address} ({_reason(error)})", self._unreachable_hint
            ) from error
        except AuthenticationError as error:
            raise self._refused(first_line(error)) from error
        except (RuntimeError, ValueError) as error:
            raise self._explain(error, submission_id) from error

    def _malformed_token(self) -> ConfigurationError:
        return ConfigurationError("the token has characters that no header can have", self._token_hint)

    def _refused(self, said: str) -> UnreachableError:
        if "authentication token" in said:
            return UnreachableError(f"the cluster at {self._address} refuses the token", self._token_hint)
        if said.startswith("RAY_AUTH_TOKEN"):
            # nothing was asked yet
            return UnreachableError(f"there is no token to send: {said}", self._token_hint)
        return UnreachableError(
            f"something on the way to the cluster at {self._address} refuses", self._unreachable_hint
        )

    @property
    def _token_hint(self) -> str:
        settings = read_settings()
        if settings.ray_auth_token_path and not settings.ray_auth_token:
            return f"correct the token in {settings.ray_auth_token_path}, which RAY_AUTH_TOKEN_PATH names"
        return "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it"

    @property
    def _unreachable_hint(self) -> str:
        proxies = requests.utils.get_environ_proxies(self._address)
        if requests.utils.select_proxy(self._address, proxies):
            return f"{self._hint}; past the proxy: NO_PROXY={urlsplit(self._address).hostname}"
        return self._hint

    def _explain(self, error: Exception, submission_id: str | None) -> Exception:
        """Our error for one of Ray's, whose text holds the HTTP status and the server's traceback."""
        if isinstance(error, UnicodeEncodeError) and error.encoding == "latin-1":
            # that of headers
            return self._malformed_token()
        text = str(error)
        match = _STATUS.match(text)
        status = int(match[1]) if match else 0
        if status in (401, 403):
            return self._refused(text)
        said = f"HTTP status {status}" if status and _PAGE.search(text) else last_line(error)
        if submission_id is not None and (status == 404 or (not status and "does not exist" in text)):
            return UnknownNameError.of("job", submission_id, [job.submission_id for job in self.list()], self.flags)
        if taken := _TAKEN.search(text):
            return ConfigurationError(
                f"the cluster has had a job {taken[1]}",
                "take another --sweep-id; or add --start-or-resume, which goes on with what it left, if anything",
            )
        # for a known job, 500 means that its node did not answer the head node
        if status > 500 or status in BUSY_STATUS or (status == 500 and submission_id is not None):
            return UnreachableError(f"the cluster at {self._address} cannot answer: {said}", "try again in a minute")
        return ConfigurationError(f"the cluster refused: {said}")


def _reason(error: BaseException) -> str:
    """The first line of what it comes from; not of an error that was being handled before."""
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) and not isinstance(
        inner, CifarRayError
    ):
        error = inner
    return without_user(first_line(error))


def _to_status(job: JobDetails) -> JobStatus:
    return JobStatus(
        submission_id=job.submission_id,
        state=job.status.value,
        message=job.message or "",
        entrypoint=job.entrypoint,
        started_at_ms=job.start_time,
        metadata=job.metadata or {},
        exit_code=job.driver_exit_code,
    )
