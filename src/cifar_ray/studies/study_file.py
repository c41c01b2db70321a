"""Reads a study from a TOML file."""

from __future__ import annotations

import random
import re
import tomllib
from pathlib import Path
from typing import Any

from cifar_ray.errors import ConfigurationError, UnknownNameError
from cifar_ray.studies.space import sample_space
from cifar_ray.studies.study import SETTINGS, Study
from cifar_ray.studies.trial_config import TrialConfig, check_effects

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
"""Of a study, and so of its file: the ids of its sweeps begin with it."""
_MAX_BYTES = 65_536
_NUM_DRAWS = 64
"""Configurations that are drawn to see whether they are valid, beside one with each value of each choice."""


def study_files(folder: Path) -> dict[str, Path]:
    """The study files in the folder, by the name of their study, which is the file's."""
    # an editor's own files begin with a dot
    paths = (path for path in sorted(folder.glob("*.toml")) if path.is_file() and not path.name.startswith("."))
    return {path.stem: path for path in paths}


def read_study(path: Path) -> Study:
    """The study that the file defines; ConfigurationError, which says where and why, if it defines none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigurationError(f"it has more than {_MAX_BYTES:,} bytes")
        return parse_study(path.stem, content.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"study file {path}: {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"study file {path}: {error.message}", error.hint) from error


def parse_study(name: str, text: str) -> Study:
    """The study of that name that a file with this text defines; ConfigurationError if it defines none."""
    # take a tenth of a second to load, which the package's own studies need not wait for
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415
    from pydantic_core import to_json  # noqa: PLC0415

    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name of a study", "take at most 40 lower-case letters, digits and dashes"
        )
    try:
        written = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"it is not TOML: {error}") from error
    for field in ("name", "published", "definition"):
        if field in written:
            raise ConfigurationError(f"{field} is not for a file to say", "leave it out")
    tables = {table: _settings(table, written.get(table, {})) for table in ("space", "fixed")}
    tables["space"] = {setting: _domain(setting, domain) for setting, domain in tables["space"].items()}
    try:
        # as JSON, of which pydantic's strict mode takes objects for dataclasses
        study: Study = TypeAdapter(Study).validate_json(
            to_json({**written, **tables, "name": name, "definition": text}), strict=True
        )
        configs, rng = TypeAdapter(TrialConfig), random.Random(0)
        drawn = [{**study.fixed, **sample_space(study.space, rng)} for _ in range(_NUM_DRAWS)]
        for setting, domain in study.space.items():
            drawn += [drawn[0] | {setting: value} for value in getattr(domain, "values", ())]
        length = {"max_epochs": study.trial_budget.max_epochs}
        check_effects([configs.validate_json(to_json(draw | length), strict=True) for draw in drawn], drawn[0])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return study


def _settings(table: str, written: object) -> dict[str, Any]:
    """The table, if it is one of settings."""
    if not isinstance(written, dict):
        raise ConfigurationError(f"{table} is {written!r}", f"write it as a table, [{table}]")
    for setting in written:
        if setting in Study.__dataclass_fields__:
            raise ConfigurationError(f"{setting} stands in [{table}]", "write it above the first table")
        if setting not in SETTINGS:
            raise UnknownNameError.of("setting", setting, SETTINGS)
    return written


def _domain(setting: str, written: object) -> dict[str, Any]:
    """The fields of a Choice or LogUniform."""
    match written:
        case [*values]:
            return {"values": values}
        case {"log_uniform": [low, high], **others} if not others and {type(low), type(high)} <= {int, float}:
            return {"low": low, "high": high}
    raise ConfigurationError(f"{setting} is {written!r}", "take a list of values, or { log_uniform = [low, high] }")
