"""Reads the worker pools of a Ray autoscaling specification, to start them on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cifar_ray.capacity import ACCELERATOR, TYPE_LABEL
from cifar_ray.cluster.autoscaling import LocalPool
from cifar_ray.errors import ConfigurationError

_RESOURCES = {"CPU", ACCELERATOR, "object_store_memory"}


def read_pool_file(path: Path) -> tuple[LocalPool, ...]:
    """Each of `available_node_types` but the head's: its CPUs, GPUs, accelerator type and limits on nodes.

    Nothing else is taken from the file. ConfigurationError where it cannot be read, or a pool asks for what the
    workers of one machine do not have.
    """
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        head = spec["head_node_type"]
        pools = tuple(_pool(str(name), each) for name, each in spec["available_node_types"].items() if name != head)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"pools {path}: {error}", "name a readable YAML file") from error
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"pools {path}: not a specification for Ray's autoscaler ({error!r})", "see cluster/local.autoscaling.yaml"
        ) from error
    if not pools:
        raise ConfigurationError(
            f"pools {path}: no kind of node but the head", "add one below available_node_types, with max_workers"
        )
    return pools


def _pool(name: str, spec: Mapping[str, Any]) -> LocalPool:
    resources = spec["resources"]
    if unknown := set(resources) - _RESOURCES:
        raise ConfigurationError(
            f"pool {name} has {', '.join(sorted(unknown))}", f"name an accelerator's type by the label {TYPE_LABEL}"
        )
    return LocalPool(
        name=name,
        min_nodes=int(spec.get("min_workers", 0)),
        max_nodes=int(spec["max_workers"]),
        num_cpus=int(resources["CPU"]),
        num_gpus=int(resources.get(ACCELERATOR, 0)),
        accelerator=str(spec.get("labels", {}).get(TYPE_LABEL, "")),
    )
