"""The flags that name a Helm release on Kubernetes, and what becomes of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from cifar_ray.cluster.on_kubernetes.api import KubernetesApi, open_api
from cifar_ray.cluster.on_kubernetes.release import Release, find_release
from cifar_ray.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class ReleaseChoice:
    """What the flags said."""

    name: str | None
    namespace: str | None
    context: str | None

    def api(self) -> KubernetesApi:
        """The Kubernetes API of the context; ConfigurationError where there is none."""
        return open_api(self.context, self.namespace)

    def find(self) -> Release:
        """The release; ConfigurationError where there is none of that name."""
        if self.name is None:
            raise ConfigurationError("no release is named", "add --release; `helm list` shows what there is")
        return find_release(self.api(), self.name)

    @property
    def is_given(self) -> bool:
        """Whether any of the flags was used."""
        return self != ReleaseChoice(name=None, namespace=None, context=None)

    @property
    def flags(self) -> str:
        """The same choice for another command, with a blank before it; empty where nothing was chosen."""
        given = (("release", self.name), ("namespace", self.namespace), ("context", self.context))
        return "".join(f" --{name} {shlex.quote(value)}" for name, value in given if value)


def release_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of a release; it receives them as `release`, a ReleaseChoice."""

    @click.option("--release", "name", metavar="NAME", help="Helm release of the chart on Kubernetes.")
    @click.option("--namespace", metavar="NAME", help="Namespace of the release. [default: the context's]")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig. [default: the current one]")
    @wraps(command)
    def with_release(name: str | None, namespace: str | None, context: str | None, **arguments: Any) -> Any:
        return command(release=ReleaseChoice(name=name, namespace=namespace, context=context), **arguments)

    return with_release
