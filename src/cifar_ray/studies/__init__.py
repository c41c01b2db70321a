"""Lists the studies by name."""

from __future__ import annotations

from cifar_ray.errors import UnknownNameError
from cifar_ray.studies.beyond import CNN_DEPTH, CNN_EMA, FAST, NF_RESNET, RESNET_BEYOND
from cifar_ray.studies.published import CNN, RESNET, RESNET_SCHEDULE
from cifar_ray.studies.space import Choice, LogUniform
from cifar_ray.studies.study import VALIDATION_SHARE, Budget, PublishedResult, Study, fits_cohort, trials_at_once
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
    "Study",
    "TrialConfig",
    "fits_cohort",
    "get_study",
    "parse_setting",
    "trials_at_once",
]


def get_study(name: str) -> Study:
    """The study of that name; UnknownNameError with the nearest names where there is none."""
    try:
        return STUDIES[name]
    except KeyError:
        raise UnknownNameError.of("study", name, STUDIES) from None
