"""Lists the studies by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from cifar_ray.errors import ConfigurationError, UnknownNameError
from cifar_ray.studies.beyond import CNN_DEPTH, CNN_EMA, FAST, NF_RESNET, RESNET_BEYOND
from cifar_ray.studies.published import CNN, RESNET, RESNET_SCHEDULE
from cifar_ray.studies.space import Choice, LogUniform, Range
from cifar_ray.studies.study import VALIDATION_SHARE, Budget, PublishedResult, Study, fits_cohort, trials_at_once
from cifar_ray.studies.study_file import parse_study, read_study, study_files
from cifar_ray.studies.trial_config import TrialConfig, parse_setting

STUDIES = {
    study.name: study for study in (CNN, RESNET, RESNET_SCHEDULE, CNN_EMA, CNN_DEPTH, RESNET_BEYOND, NF_RESNET, FAST)
}

__all__ = [
    "STUDIES",
    "VALIDATION_SHARE",
    "Budget",
    "Choice",
    "LogUniform",
    "PublishedResult",
    "Range",
    "Study",
    "TrialConfig",
    "as_defined",
    "fits_cohort",
    "get_study",
    "parse_setting",
    "study_files",
    "trials_at_once",
]


def get_study(name: str, files: Mapping[str, Path] | None = None, others: Collection[str] = ()) -> Study:
    """The study of that name: the package's own, else what one of the files, by the names of their studies, defines.

    UnknownNameError, with the nearest names, `others` among them, where there is none; ConfigurationError where the
    file defines none, or has a name that the package has taken.
    """
    files = files or {}
    if name not in files and name not in STUDIES:
        raise UnknownNameError.of("study", name, [*STUDIES, *files, *others])
    if name not in files:
        return STUDIES[name]
    if name in (*STUDIES, "evaluate"):
        raise ConfigurationError(f"{files[name]} has a name that the package has taken", "rename that file")
    return read_study(files[name])


def as_defined(study: Study) -> Study:
    """The study as it was before options changed its budget, finals or searcher."""
    return get_study(study.name) if study.definition is None else parse_study(study.name, study.definition)
