"""Queries the HTTP API of Ray's dashboard with the cluster's token."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifar_ray.capacity import TYPE_LABEL, NodeKind
from cifar_ray.errors import UnreachableError

TIMEOUT_S = 5.0

_OTHER_FORM = (AttributeError, KeyError, TypeError, ValueError)
"""Raised in reading an answer that is JSON, but not in the form of Ray's API."""


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A submitted job that has not ended."""

    submission_id: str
    metadata: Mapping[str, str]
    """As given when it was submitted."""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What the head node runs."""

    ray: str
    python: str | None
    """None where the dashboard does not say."""


def running_jobs(url: str, token: str) -> list[RunningJob]:
    """Submitted jobs that have not ended; UnreachableError where no dashboard answers or it refuses the token."""
    try:
        return [
            RunningJob(submission_id=str(job["submission_id"]), metadata=dict(job["metadata"] or {}))
            for job in _get(f"{url}/api/jobs/", token)
            if job["submission_id"] and job["status"] in ("PENDING", "RUNNING")
        ]
    except _OTHER_FORM as error:
        raise UnreachableError(f"{url} lists its jobs in a way that is not Ray's") from error


def living_nodes(url: str, token: str | None) -> list[NodeKind]:
    """What each living node has; UnreachableError as for `running_jobs`."""
    answer = _get(f"{url}/api/v0/nodes?detail=true&limit=1000", token)
    try:
        return [
            NodeKind(
                name=str(node["node_ip"]),
                resources=dict(node["resources_total"] or {}),
                max_nodes=1,
                accelerator=(node["labels"] or {}).get(TYPE_LABEL, ""),
            )
            for node in answer["data"]["result"]["result"]
            if node["state"] == "ALIVE"
        ]
    except _OTHER_FORM as error:
        raise UnreachableError(f"{url} lists its nodes in a way that is not Ray's") from error


def versions(url: str, token: str | None) -> Versions:
    """What the head runs; UnreachableError as for `running_jobs`."""
    ray = _get(f"{url}/api/version", token)
    metadata = _get(f"{url}/api/v0/cluster_metadata", token)
    try:
        return Versions(ray=str(ray["ray_version"]), python=metadata["data"].get("pythonVersion"))
    except _OTHER_FORM as error:
        raise UnreachableError(f"{url} tells its version in a way that is not Ray's") from error


def answers_without_token(url: str) -> bool:
    """Whether the Jobs API lets anyone in; UnreachableError where it does not answer at all."""
    try:
        _get(f"{url}/api/jobs/", None)
    except UnreachableError as error:
        if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code in (401, 403):
            return False
        raise
    return True


def _get(url: str, token: str | None) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    # 127.0.0.1 is never behind a proxy, whatever http_proxy says
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise UnreachableError(f"{url} answers {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url} does not answer: {error}") from error
