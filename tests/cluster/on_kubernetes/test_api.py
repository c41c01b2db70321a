import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from fake_kubernetes import FakeKubernetes, refusal
from recorded import TEAM, pod

from cifar_ray.cluster.on_kubernetes import api as api_module
from cifar_ray.cluster.on_kubernetes.api import KubernetesApi, at, objects, open_api
from cifar_ray.errors import ClusterError, ConfigurationError, RefusedError, UnreachableError


def test_the_context_says_the_namespace_unless_a_flag_does(kubernetes: FakeKubernetes) -> None:
    assert open_api().namespace == "team"
    assert open_api("here", "other").namespace == "other"


def test_lists_come_whole_over_many_pages(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.objects[f"{TEAM}/pods"] = [pod(f"p{i}", group="a") for i in range(7)]
    kubernetes.page_size = 3
    assert [each["metadata"]["name"] for each in api.list_all("api", "v1", "namespaces", "team", "pods")] == [
        f"p{i}" for i in range(7)
    ]
    assert len(kubernetes.requests) == 3


def test_a_list_that_expired_between_its_pages_is_read_anew(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.page_size = 1
    page = kubernetes._page
    expired: list[str] = []

    def once(request: web.Request) -> web.Response:
        if request.query.get("continue") and not expired:
            expired.append("yes")
            return refusal(410, "Expired", "The provided continue parameter is too old")
        return page(request, kubernetes.objects["/api/v1/nodes"])

    kubernetes.answers["/api/v1/nodes"] = once
    assert [each["metadata"]["name"] for each in api.list_all("api", "v1", "nodes")] == ["cpu-1", "gpu-1"]
    assert expired


def test_a_list_that_always_expires_is_given_up(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.answers["/api/v1/nodes"] = lambda _: refusal(410, "Expired", "too old")
    with pytest.raises(RefusedError, match="too old"):
        api.list_all("api", "v1", "nodes")
    assert len(kubernetes.requests) == 3


@pytest.mark.parametrize(
    ("code", "says", "kind"),
    [
        (401, "does not accept your credentials", ClusterError),
        (403, "cannot list nodes", RefusedError),
        (404, "cannot list nodes", RefusedError),
        (429, "no usable answer.*cannot list nodes", UnreachableError),
        (503, "no usable answer.*cannot list nodes", UnreachableError),
    ],
)
def test_refusals_are_told_apart(
    code: int, says: str, kind: type[ClusterError], kubernetes: FakeKubernetes, api: KubernetesApi
) -> None:
    kubernetes.answers["/api/v1/nodes"] = lambda _: refusal(code, "Why", 'User "me" cannot list nodes')
    with pytest.raises(ClusterError, match=says) as caught:
        api.get("api", "v1", "nodes")
    assert type(caught.value) is kind
    assert "Traceback" not in str(caught.value.hint)


def test_a_plugin_that_failed_shows_as_anonymous(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.answers["/version"] = lambda _: refusal(403, "Forbidden", 'User "system:anonymous" cannot get path')
    with pytest.raises(ClusterError, match="does not accept your credentials"):
        api.get("version")


@pytest.mark.parametrize("body", ["<html>login</html>", "[]", '{"items": [', '{"items": 3}'])
def test_what_is_not_kubernetes_is_said_to_be_so(body: str, kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.answers["/api/v1/nodes"] = lambda _: web.Response(text=body)
    with pytest.raises(UnreachableError, match="no usable answer from Kubernetes"):
        api.list_all("api", "v1", "nodes")


def test_a_hanging_server_is_given_up(
    kubernetes: FakeKubernetes, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "TIMEOUT_S", 0.3)
    kubernetes.hanging = {"/version", f"{TEAM}/pods/p/portforward"}
    started = time.monotonic()
    with pytest.raises(UnreachableError):
        api.get("version")
    with pytest.raises(UnreachableError):
        api.open_tunnel("team", "p", 8265)
    assert time.monotonic() - started < 30


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path, use_kubeconfig: Callable[[Path], None]) -> None:
    fake = FakeKubernetes()
    fake.url = "http://127.0.0.1:9"
    use_kubeconfig(fake.write_kubeconfig(tmp_path / "k"))
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        open_api().get("version")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        open_api().open_tunnel("team", "p", 8265)


@pytest.mark.parametrize("text", [None, "", "]: [", "contexts: 3", "current-context: x\ncontexts: []"])
def test_a_kubeconfig_that_cannot_be_used(
    text: str | None, tmp_path: Path, use_kubeconfig: Callable[[Path], None]
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    use_kubeconfig(path)
    with pytest.raises(ConfigurationError, match="kubeconfig cannot be used"):
        open_api()


def test_an_unknown_context_is_named(kubernetes: FakeKubernetes) -> None:
    with pytest.raises(ConfigurationError, match="context 'nope'"):
        open_api("nope")


@pytest.mark.parametrize("current", [None, "", "gone"])
def test_a_context_needs_no_current_one(
    current: str | None, kubernetes: FakeKubernetes, tmp_path: Path, use_kubeconfig: Callable[[Path], None]
) -> None:
    document = yaml.safe_load(kubernetes.write_kubeconfig(tmp_path / "kubeconfig").read_text())
    document |= {"current-context": current}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    use_kubeconfig(tmp_path / "kubeconfig")
    assert open_api("here").namespace == "team"
    assert open_api("here").get("version")
    with pytest.raises(ConfigurationError, match="the kubeconfig cannot be used"):
        open_api()


def test_names_cannot_leave_their_place_in_a_path(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    with pytest.raises(RefusedError):
        api.get("api", "v1", "namespaces", "../../secrets?x", "pods")
    assert kubernetes.requests == ["/api/v1/namespaces/../../secrets?x/pods"]


def test_nested_objects_are_read_without_surprises() -> None:
    assert at({"a": {"b": 1}}, "a", "b") == 1
    assert at({"a": 1}, "a", "b") is None
    assert objects({"a": [{"b": 1}, 2]}, "a") == [{"b": 1}]
    assert objects({"a": {"b": 1}}, "a") == []
