"""Validates manifests as an API server with KubeRay's custom resource definitions would, and more strictly.

`kuberay-crds.json.gz` holds the v1 schemas of RayCluster and RayJob from KubeRay 1.7.0 (github.com/ray-project/kuberay,
Apache-2.0), without their descriptions. To make it from another release's YAML files:
python tests/helm/kuberay_crds.py FOLDER
"""

from __future__ import annotations

import copy
import gzip
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

FILE = Path(__file__).with_name("kuberay-crds.json.gz")
KINDS = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}


def problems(manifest: dict[str, Any]) -> list[str]:
    """What the schema has against the manifest, its defaults applied and nothing unknown allowed."""
    kind = manifest["kind"]
    whole = with_defaults(_schemas()[kind], manifest)
    found = _validator(kind).iter_errors({name: whole[name] for name in ("apiVersion", "kind", "spec")})
    return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


def with_defaults(schema: dict[str, Any], value: Any) -> Any:
    """The value with the schema's defaults where it is silent, as the API server fills them in."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        filled = {name: copy.deepcopy(each["default"]) for name, each in known.items() if "default" in each} | value
        return {name: with_defaults(known.get(name, {}), each) for name, each in filled.items()}
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), each) for each in value]
    return value


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    schemas: dict[str, dict[str, Any]] = json.loads(gzip.decompress(FILE.read_bytes()))
    return schemas


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_strict(_schemas()[kind]))


def _strict(schema: Any) -> Any:
    """The same in JSON Schema's own words, with no property allowed that is not named."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    strict = {name: _strict(each) for name, each in schema.items()}
    if "properties" in strict and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def _without_descriptions(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_descriptions(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # a property may be called `description` too: then it is a schema, not a text
    return {
        name: _without_descriptions(each)
        for name, each in schema.items()
        if not (name == "description" and isinstance(each, str))
    }


def _pack(folder: Path) -> None:
    schemas = {}
    for kind, file in KINDS.items():
        versions = yaml.safe_load((folder / file).read_text())["spec"]["versions"]
        (schema,) = (each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == "v1")
        schemas[kind] = _without_descriptions(schema)
    FILE.write_bytes(gzip.compress(json.dumps(schemas, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    _pack(Path(sys.argv[1]))
