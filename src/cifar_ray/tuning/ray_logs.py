"""Says in a line what Ray Tune logs as a traceback: that the store did not take its own state."""

from __future__ import annotations

import logging

from cifar_ray.errors import last_line

_LOGGERS = ("ray.train._internal.storage", "ray.train._internal.syncer", "ray.tune.execution.experiment_state")


def shorten_tracebacks() -> None:
    """In this process, from now on."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        last = last_line(record.exc_info[1])
    elif "Traceback" in said:
        last = said.strip().splitlines()[-1]
    else:
        return True
    record.msg = "Ray Tune could not write its own state, and tries again with its next one: %s"
    record.args, record.exc_info = (last,), None
    return True
