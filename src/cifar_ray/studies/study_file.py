"""Reads a study from a TOML file."""

from __future__ import annotations

import random
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from cifar_ray.errors import ConfigurationError, UnknownNameError
from cifar_ray.studies.options import SweepOptions
from cifar_ray.studies.space import Choice, Range, sample_space
from cifar_ray.studies.study import NAME, SETTINGS, Budget, Study
from cifar_ray.studies.trial_config import TrialConfig, check_effects

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MAX_BYTES = 65_536
_NOT_IN_FILES = ("name", "published", "definition")
_PLACES: Mapping[type[Study | Budget], str] = {Study: "above the first table", Budget: "in the table [budget]"}
"""Where a file has the fields of each."""
_OF_COMMANDS = {each.name for each in fields(SweepOptions)} - {
    "trials",
    *(each.name for owner in _PLACES for each in fields(owner)),
}
"""Options that no study has; of `trials` it has num_trials."""
_NUM_DRAWS = 64
"""Configurations that are drawn to see whether they are valid, besides one with each value or bound of each setting."""
_FEW = 8
"""Values of a setting that are tried with each value of every other one."""


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

    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name of a study",
            "take at most 38 lower-case letters, digits and dashes, and no dash first",
        )
    try:
        written = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"it is not TOML: {error}") from error
    for field in _NOT_IN_FILES:
        if field in written:
            raise ConfigurationError(f"{field} is not for a file to say", "leave it out")
    try:
        tables = {table: _settings(table, written.get(table, {})) for table in ("space", "fixed")}
        tables["space"] = {setting: _domain(setting, domain) for setting, domain in tables["space"].items()}
        # as JSON, of which pydantic's strict mode takes objects for dataclasses
        study: Study = TypeAdapter(Study).validate_json(
            to_json({**written, **tables, "name": name, "definition": text}), strict=True
        )
        drawn = _draw(study)
        configs = TypeAdapter(list[TrialConfig]).validate_json(to_json(drawn), strict=True)
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0]) from error
    except ValueError as error:  # such as a number of thousands of digits, or lists within lists by the hundred
        raise ConfigurationError(f"it cannot be read: {error}") from error
    for each in drawn:
        TrialConfig.from_dict(each)  # as records are read: a whole number may be too great for a float
    # without bounds: at its own, such as 0, a range that has no effect may be what the network asks for
    num_bounds = sum(len(domain.ends) for domain in study.space.values() if isinstance(domain, Range))
    check_effects(configs[: len(configs) - num_bounds], [*study.space, *study.fixed])
    return study


def _explained(error: ErrorDetails) -> ConfigurationError:
    """Pydantic's error, with what to do next."""
    # without the number of the configuration
    *tables, name = [part for part in error["loc"] if isinstance(part, str)] or [""]
    owner = Budget if tables else Study
    what = f"{'.'.join([*tables, name])}: {error['msg']}"
    if error["type"] == "missing":
        is_of_trial = isinstance(error["loc"][0], int)
        place = "in [fixed], or search it in [space]" if is_of_trial else _PLACES[owner]
        return ConfigurationError(what, "write it as a table, [budget]" if name == "budget" else f"write it {place}")
    if error["type"] == "unexpected_keyword_argument":
        if name in _OF_COMMANDS:
            flag = "--" + name.replace("_", "-")
            return ConfigurationError(what, f"leave it out: it is an option of the command, {flag}")
        known = {each.name for each in fields(owner)} - set(_NOT_IN_FILES)
        return ConfigurationError(
            what, f"leave it out, or correct it: {UnknownNameError.of('field', name, known).hint}"
        )
    return ConfigurationError(f"{what}, not {reprlib.repr(error['input'])}")


def _draw(study: Study) -> list[dict[str, Any]]:
    """Some of the configurations that it may draw, then some with each pair of values, with each value, each bound."""
    # a setting may be for the finals alone
    epochs = max(study.trial_budget.max_epochs, (study.final_epochs or 0) if study.finalists else 0)
    rng, given = random.Random(0), {**study.fixed, "max_epochs": epochs}
    drawn = [given | sample_space(study.space, rng) for _ in range(_NUM_DRAWS)]
    choices = {setting: domain.values for setting, domain in study.space.items() if isinstance(domain, Choice)}
    # few draws, perhaps none, have both of two values that exclude each other, such as Nesterov and no momentum
    for (one, some), (other, others) in combinations(choices.items(), 2):
        if min(len(some), len(others)) <= _FEW:
            drawn += [drawn[0] | {one: first, other: second} for first, second in product(some, others)]
    for setting, domain in sorted(study.space.items(), key=lambda each: isinstance(each[1], Range)):
        drawn += [drawn[0] | {setting: value} for value in domain.ends]
    return drawn


def _settings(table: str, written: object) -> dict[str, Any]:
    """The table, if it is one of settings."""
    if not isinstance(written, dict):
        raise ConfigurationError(f"{table} is {reprlib.repr(written)}", f"write it as a table, [{table}]")
    for setting in written:
        for owner, place in _PLACES.items():
            if setting in owner.__dataclass_fields__:
                raise ConfigurationError(f"{setting} stands in [{table}]", f"write it {place}")
        if setting not in SETTINGS:
            raise UnknownNameError.of("setting", setting, SETTINGS)
    return written


def _domain(setting: str, written: Any) -> dict[str, Any]:
    """The fields of a Choice or Range."""
    kind, hint = get_type_hints(TrialConfig)[setting], "take a list of values"
    if kind in (int, float):
        hint += ", { uniform = [low, high] } or { log_uniform = [low, high] }"
        hint += ", with whole numbers" if kind is int else ""
    match written:
        case [_, *_] as values:
            return {"values": values}
        case {"uniform": [low, high], **others} | {"log_uniform": [low, high], **others} if (
            not others and kind in (int, float) and {type(low), type(high)} <= {int, kind}
        ):
            try:
                return asdict(Range(low, high, is_log="uniform" not in written, is_whole=kind is int))
            except ConfigurationError as error:
                raise ConfigurationError(f"{setting}: {error.message}", error.hint) from error
    raise ConfigurationError(f"{setting} is {reprlib.repr(written)}", hint)
