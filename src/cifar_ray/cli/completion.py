"""What a shell offers for the name of a study or a sweep when Tab is pressed."""

from __future__ import annotations

import threading
from contextlib import suppress

import click

from cifar_ray.cli.connection import find_store
from cifar_ray.cli.own_studies import own_studies
from cifar_ray.storage.layout import SWEEP_ID
from cifar_ray.studies import STUDIES

PATIENCE_S = 1.0
"""Seconds that a store may take to list its sweeps."""


def study_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """The studies whose names begin so; for `job submit`, `evaluate` too."""
    names = [*STUDIES, *own_studies(), *(["evaluate"] if context.info_name == "submit" else [])]
    return [name for name in names if name.startswith(begun)]


def sweep_ids(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """The sweeps whose ids begin so, of the store that the command would look in; none where it does not tell."""
    found: list[str] = []

    def look() -> None:
        # an error would be printed into the line being typed
        with suppress(Exception):
            found.extend(find_store(context.params.get("storage")).folders())

    if context.params.get("what", "evaluate") == "evaluate":
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(PATIENCE_S)
    return [name for name in found if name.startswith(begun) and SWEEP_ID.fullmatch(name)]
