"""Runs functions on the cluster, on an accelerator if it has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray

from cifar_ray.capacity import NodeKind, has_accelerator
from cifar_ray.errors import CifarRayError

Result = TypeVar("Result")

DEADLINE_S = 2 * 3600
"""For a node to come up and the work to be done. Ray gives a pool without capacity up after an hour, with the
chart after 20 minutes."""


def run_on_best_node(kinds: Sequence[NodeKind], function: Callable[..., Result], *arguments: Any) -> Result:
    """The function's result; its own errors come back as they were raised."""
    num_gpus = 1 if has_accelerator(kinds) else 0
    task = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=2)(function)
    try:
        result: Result = ray.get(task.remote(*arguments), timeout=DEADLINE_S)
    except ray.exceptions.GetTimeoutError as error:
        raise CifarRayError(
            f"no result within {DEADLINE_S} s", "see whether the cluster has a free node: cifar-ray job list"
        ) from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, CifarRayError):
            raise error.cause from error
        raise
    return result


def run_each_on_best_node(
    kinds: Sequence[NodeKind], function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]
) -> tuple[list[Result], CifarRayError | None]:
    """The results of the calls that have one, and the first error of the others, which is raised where none has.

    Further errors are shown.
    """
    results: list[Result] = []
    errors: list[CifarRayError] = []
    for arguments in calls:
        try:
            results.append(run_on_best_node(kinds, function, *arguments))
        except CifarRayError as error:
            errors.append(error)
    for later in errors[1:]:
        later.show()
    if errors and not results:
        raise errors[0]
    return results, next(iter(errors), None)
