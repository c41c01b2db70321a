"""Finds a Helm release's Ray cluster, its head pod and its token."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cifar_ray.cluster.on_kubernetes.api import Json, KubernetesApi, at, objects
from cifar_ray.cluster.on_kubernetes.pods import is_ended, is_initialising, is_ready, name_of, why_not_ready
from cifar_ray.errors import ClusterError, ConfigurationError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from websocket import WebSocket

DASHBOARD_PORT = 8265
TOKEN_KEY = "auth_token"
INSTANCE = "app.kubernetes.io/instance"
RAY_IO = ("apis", "ray.io", "v1")
_RELEASE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,51}[a-z0-9])?")
# leaves out the clusters that KubeRay makes for RayJobs: it copies a RayJob's labels to them
_NOT_OF_A_JOB = "!ray.io/originated-from-crd"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release of the chart, as it was when looked up."""

    api: KubernetesApi
    name: str
    cluster: Json
    """The RayCluster."""

    @property
    def namespace(self) -> str:
        """Where it is installed."""
        return self.api.namespace

    @property
    def cluster_name(self) -> str:
        """The RayCluster's name."""
        return name_of(self.cluster)

    @property
    def groups(self) -> list[Json]:
        """The worker groups' specs."""
        return objects(self.cluster, "spec", "workerGroupSpecs")

    @property
    def is_autoscaled(self) -> bool:
        """Whether Ray's autoscaler starts and stops the workers."""
        return bool(at(self.cluster, "spec", "enableInTreeAutoscaling"))

    def head_variable(self, name: str) -> str:
        """The value of an environment variable of the head; empty where the RayCluster does not spell it out."""
        containers = objects(self.cluster, "spec", "headGroupSpec", "template", "spec", "containers")
        variables = [each for container in containers for each in objects(container, "env")]
        return next((str(each.get("value") or "") for each in variables if each.get("name") == name), "")

    @property
    def has_token(self) -> bool:
        """Whether Ray asks for a token."""
        return bool(at(self.cluster, "spec", "authOptions", "mode") == "token")

    @property
    def token_secret(self) -> str:
        """The Secret that holds the token: KubeRay makes one named after the cluster, unless one is given."""
        return str(at(self.cluster, "spec", "authOptions", "secretName") or self.cluster_name)

    def token(self) -> str | None:
        """Ray's token; None where the release works without one. ClusterError where it cannot be read."""
        if not self.has_token:
            return None
        if at(self.cluster, "spec", "authOptions", "enableK8sTokenAuth"):
            raise ClusterError(
                f"release {self.name!r} takes Kubernetes' own tokens, which this command does not",
                "unset authOptions.enableK8sTokenAuth",
            )
        try:
            secret = self.api.get("api", "v1", "namespaces", self.namespace, "secrets", self.token_secret)
        except RefusedError as error:
            if error.is_missing:
                raise ClusterError(
                    f"there is no Secret {self.token_secret!r} with Ray's token",
                    "KubeRay 1.6 and later makes it within seconds: look at `cifar-ray cluster doctor`",
                ) from error
            raise
        try:
            token = base64.b64decode(at(secret, "data", TOKEN_KEY) or "", validate=True).decode().strip()
        except ValueError:
            token = ""
        if not token:
            raise ClusterError(f"Secret {self.token_secret!r} has no token under {TOKEN_KEY!r}", "delete it")
        return token

    def pods(self) -> list[Json]:
        """All pods of the RayCluster."""
        labels = f"ray.io/cluster={self.cluster_name}"
        return self.api.list_all("api", "v1", "namespaces", self.namespace, "pods", labels=labels)

    def other_pods(self) -> list[Json]:
        """Those besides that have not ended: of submitters, of studies' own clusters, of the embedded store."""
        labels = f"{INSTANCE}={self.name}"
        found = self.api.list_all("api", "v1", "namespaces", self.namespace, "pods", labels=labels)
        mine = self.cluster_name
        others = [pod for pod in found if at(pod, "metadata", "labels", "ray.io/cluster") != mine]
        # the evaluation's submitter waits for the sweeps before it begins
        return [pod for pod in others if not (is_ended(pod) or is_initialising(pod))]

    def head_pod(self) -> str:
        """The ready head pod's name; UnreachableError, with the reason, where there is none."""
        labels = f"ray.io/cluster={self.cluster_name},ray.io/node-type=head"
        heads = self.api.list_all("api", "v1", "namespaces", self.namespace, "pods", labels=labels)
        if ready := [pod for pod in heads if is_ready(pod)]:
            return name_of(ready[0])
        why = f"{name_of(heads[0])} {why_not_ready(self.api, heads[0])}" if heads else "there is none"
        raise UnreachableError(
            f"the head pod of release {self.name!r} is not ready: {why}",
            f"see `cifar-ray cluster status --release {self.name} --namespace {self.namespace}`",
        )

    def open_tunnel(self) -> WebSocket:
        """A tunnel to the dashboard of the current head pod."""
        return self.api.open_tunnel(self.namespace, self.head_pod(), DASHBOARD_PORT)


def find_release(api: KubernetesApi, name: str) -> Release:
    """The release `name` in the API's namespace; ConfigurationError unless it has exactly one RayCluster."""
    if not _RELEASE.fullmatch(name):
        raise ConfigurationError(f"release {name!r} is malformed", "`helm list` shows the releases")
    labels = f"{INSTANCE}={name},{_NOT_OF_A_JOB}"
    try:
        found = api.list_all(*RAY_IO, "namespaces", api.namespace, "rayclusters", labels=labels)
    except RefusedError as error:
        if error.is_missing:
            raise ConfigurationError(
                "this Kubernetes cluster has no RayCluster kind", "install the KubeRay operator 1.7 first"
            ) from error
        raise
    if not found:
        if api.list_all(*RAY_IO, "namespaces", api.namespace, "rayjobs", labels=f"{INSTANCE}={name}"):
            raise ConfigurationError(
                f"release {name!r} has no cluster but those of its studies (cluster.enabled=false)",
                f"`kubectl get rayjobs,pods --namespace {api.namespace} --selector {INSTANCE}={name}` shows "
                "how they are, `cifar-ray results list` their sweeps",
            )
        raise ConfigurationError(
            f"there is no release {name!r} with a RayCluster in namespace {api.namespace!r}",
            "`helm list --all-namespaces` shows where it is: name it with --namespace",
        )
    if len(found) > 1:
        names = ", ".join(map(name_of, found))
        raise ConfigurationError(f"release {name!r} has several RayClusters: {names}", "one of them is not the chart's")
    return Release(api=api, name=name, cluster=found[0])
