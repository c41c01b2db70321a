"""Runs functions on the cluster, on an accelerator if it has one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import ray

from cifar_ray.capacity import NodeKind, has_accelerator
from cifar_ray.errors import CifarRayError, first_line, last_line

Result = TypeVar("Result")

DEADLINE_S = 2 * 3600
"""Seconds for a node to come up and all the work to be done. Ray gives up a pool without capacity after an hour, with
the Helm chart after 20 minutes."""


def run_each_on_best_node(
    kinds: Sequence[NodeKind], function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]
) -> tuple[list[Result], CifarRayError | None]:
    """Make the calls one after the other; returns the results and the first error, which is raised if none succeeds.

    Further errors are shown; the function's own come back as they were raised. Calls without a result DEADLINE_S after
    the first began are cancelled.
    """
    end = time.monotonic() + DEADLINE_S
    results: list[Result] = []
    errors: list[CifarRayError] = []
    for arguments in calls:
        try:
            results.append(_run_on_best_node(kinds, end, function, *arguments))
        except CifarRayError as error:
            errors.append(error)
    for later in errors[1:]:
        later.show()
    if errors and not results:
        raise errors[0]
    return results, next(iter(errors), None)


def _run_on_best_node(
    kinds: Sequence[NodeKind], end: float, function: Callable[..., Result], *arguments: Any
) -> Result:
    num_gpus = 1 if has_accelerator(kinds) else 0
    task = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=2)(_on_all_cores).remote(function, *arguments)
    try:
        result: Result = ray.get(task, timeout=max(0.0, end - time.monotonic()))
    except ray.exceptions.GetTimeoutError as error:
        # otherwise it would still ask for a node, and score what the report says has no score
        ray.cancel(task)
        raise CifarRayError(
            f"no result within {DEADLINE_S} s", "see whether the cluster has a free node: cifar-ray job list"
        ) from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, CifarRayError):
            raise error.cause from error
        click.echo(str(error), err=True)
        raise CifarRayError(
            f"the work on {arguments[-1]} failed: {last_line(error)}", "where it failed stands above"
        ) from error
    except ray.exceptions.RayError as error:
        raise CifarRayError(
            f"the work on {arguments[-1]} was lost with its process: {first_line(error)}",
            "see whether the node's memory ran out",
        ) from error
    return result


def _on_all_cores(function: Callable[..., Result], *arguments: Any) -> Result:
    """The call's result, made on every core of the node, shared with whatever else runs there.

    It asks Ray for one core, so that it waits for no sweep to end.
    """
    # takes seconds to load, for which whoever waits for the result need not wait first
    import torch  # noqa: PLC0415

    here = ray.get_runtime_context().get_node_id()
    num_cores = next(node["Resources"].get("CPU", 1.0) for node in ray.nodes() if node["NodeID"] == here)
    torch.set_num_threads(max(1, int(num_cores)))
    return function(*arguments)
