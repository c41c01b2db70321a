"""Finds a person's own studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies import study_files
from cifar_ray.submission.job_spec import find_jobs


def own_studies() -> Mapping[str, Path]:
    """Their files, by name, in the folder of jobs' scripts that a job would be submitted from."""
    try:
        return study_files(find_jobs())
    except ConfigurationError:
        return {}
