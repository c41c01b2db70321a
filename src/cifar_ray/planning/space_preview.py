"""Previews a study's search space: a sample, repeated configurations, corners that cannot run."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies import Choice, Range, Study, TrialConfig

MAX_COMPARED = 10_000
"""Of more configurations, this many are compared with one another, in a second; the time grows with the square."""
MAX_CORNERS = 20_000
"""Of a space with more corners, this many are drawn at random."""
NEAR = 0.1
"""Two configurations are near if all choices are equal and no number differs by more than this share: of itself,
or of its range where that is uniform."""


@dataclass(frozen=True, kw_only=True)
class SpacePreview:
    """The preview of a study's space, sampled with a seed."""

    configs: Sequence[Mapping[str, Any]]
    """The searched settings of each sampled configuration, in the sweep's order."""
    num_compared: int
    """The first so many are compared with the earlier ones."""
    num_repeated: int
    """Of these, the configurations that are the same as an earlier one."""
    num_near: int
    """Of these, those that are near an earlier one, but not the same."""
    num_combinations: float
    """Combinations of the choices alone; ranges are left out."""
    num_corners: int
    """Corners tried: combinations of choices with each range at one of its ends."""
    is_every_corner: bool
    refused: Mapping[str, tuple[int, Mapping[str, Any]]]
    """From an error to the number of corners that raise it and an example of them."""
    sample_error: str | None = None
    """Why the study cannot be sampled at all."""


def preview_space(study: Study, seed: int) -> SpacePreview:
    """Preview what a sweep with that seed would search."""
    configs: list[Mapping[str, Any]] = []
    sample_error = None
    try:
        for config in study.sample(seed):
            configs.append({name: getattr(config, name) for name in study.space})
    except ConfigurationError as error:
        sample_error = _text(error)
    num_repeated, num_near = _count_repeats(configs[:MAX_COMPARED], study)
    corners, is_every_corner = _corners(study, seed)
    return SpacePreview(
        configs=configs,
        num_compared=min(len(configs), MAX_COMPARED),
        num_repeated=num_repeated,
        num_near=num_near,
        num_combinations=math.prod(len(each.values) for each in study.space.values() if isinstance(each, Choice)),
        num_corners=len(corners),
        is_every_corner=is_every_corner,
        refused=_refused(study, corners),
        sample_error=sample_error,
    )


def _count_repeats(configs: Sequence[Mapping[str, Any]], study: Study) -> tuple[int, int]:
    ranges = {name: domain for name, domain in study.space.items() if isinstance(domain, Range)}
    alike: defaultdict[tuple[Any, ...], list[list[float]]] = defaultdict(list)
    for config in configs:
        others = alike[tuple(repr(value) for name, value in config.items() if name not in ranges)]
        others.append([_position(domain, config[name]) for name, domain in ranges.items()])
    num_repeated = num_near = 0
    for others in alike.values():
        # a row for each range
        positions = np.ascontiguousarray(np.array(others).T)
        for index in range(1, len(others)):
            nearest = np.abs(positions[:, :index] - positions[:, index : index + 1]).max(axis=0, initial=0).min()
            num_repeated += int(nearest == 0)
            num_near += int(0 < nearest <= 1)
    return num_repeated, num_near


def _position(domain: Range, value: float) -> float:
    """In its range, by steps that are still near."""
    if domain.is_log:
        return math.log(value) / math.log1p(NEAR)
    return value / (domain.high - domain.low) / NEAR


def _corners(study: Study, seed: int) -> tuple[list[tuple[Any, ...]], bool]:
    """All corners, or some at random; whether it is all."""
    ends = [domain.ends for domain in study.space.values()]
    if math.prod(map(len, ends)) <= MAX_CORNERS:
        return list(itertools.product(*ends)), True
    rng = random.Random(seed)
    return [tuple(rng.choice(each) for each in ends) for _ in range(MAX_CORNERS)], False


def _refused(study: Study, corners: Sequence[tuple[Any, ...]]) -> dict[str, tuple[int, Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for values in corners:
        corner = dict(zip(study.space, values, strict=True))
        try:
            TrialConfig(**{**study.fixed, **corner}, max_epochs=study.budget.max_epochs)
        except ConfigurationError as error:
            found[_text(error)].append(corner)
    return {text: (len(refused), refused[0]) for text, refused in found.items()}


def _text(error: ConfigurationError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message
