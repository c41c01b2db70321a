from types import SimpleNamespace

import pytest

from cifar_ray.tuning import nodes


def test_nodes_that_have_died_hold_no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray lists them as long as the cluster lives."""
    listed = [
        {
            "NodeManagerAddress": f"10.0.0.{number}",
            "Resources": {"CPU": 8.0, "GPU": 1.0},
            "Labels": {nodes.TYPE_LABEL: "T4"} if number == 1 else {},
            "Alive": number != 2,
        }
        for number in (1, 2, 3)
    ]
    monkeypatch.setattr(nodes, "ray", SimpleNamespace(nodes=lambda: listed))
    found = nodes.read_node_kinds(())
    assert [(each.name, each.accelerator) for each in found] == [("10.0.0.1", "T4"), ("10.0.0.3", "")]
