"""The restricted Pod Security Standard (kubernetes.io/docs/concepts/security/pod-security-standards), as a check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
PROFILES = {"RuntimeDefault", "Localhost"}


def violations(pod: Json) -> list[str]:
    """What the standard has against a pod or pod template, in words."""
    spec = pod["spec"]
    containers = [
        *spec["containers"],
        *spec.get("initContainers", []),
        *spec.get("ephemeralContainers", []),
    ]
    return [*_pod_rules(spec), *(each for container in containers for each in _container_rules(container, spec))]


def _pod_rules(spec: Json) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    yield from _user_rules(spec.get("securityContext", {}))


def _container_rules(container: Json, spec: Json) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    context = spec.get("securityContext", {}) | own
    if own.get("privileged") or own.get("procMount", "Default") != "Default":
        yield f"{name}: privileged or procMount"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation"
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities"
    if context.get("seccompProfile", {}).get("type") not in PROFILES:
        yield f"{name}: seccompProfile"
    if context.get("runAsNonRoot") is not True:
        yield f"{name}: runAsNonRoot"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: hostPort"
    yield from (f"{name}: {each}" for each in _user_rules(own))


def _user_rules(context: Json) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield "runAsUser 0"
    for name in ("sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"):
        if name in context:
            yield name
