"""Free ports and taken ones."""

import random
import socket
from pathlib import Path

import pytest

from cifar_ray.cluster import ports
from cifar_ray.cluster.ports import HOST, check_port_free, ephemeral_ports, free_ports
from cifar_ray.errors import ClusterError


def test_free_ports_are_different_and_free():
    found = free_ports(20)
    assert len(set(found)) == 20
    for port in found:
        check_port_free(port, "--any")


def test_no_outgoing_connection_can_take_a_free_port_before_its_server_does():
    first, last = ephemeral_ports()
    with socket.create_server((HOST, 0)) as listener, socket.create_connection(listener.getsockname()) as connection:
        # what the kernel says it gives, it gives
        assert first <= connection.getsockname()[1] <= last
    assert not [port for port in free_ports(200) if first <= port <= last]


@pytest.mark.parametrize("said", ["1024 65535", "20005 65535", "rubbish", ""])
def test_where_connections_get_nearly_every_port_servers_get_some_all_the_same(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ip_local_port_range"
    path.write_text(said)
    monkeypatch.setattr(ports, "_EPHEMERAL", path)
    found = free_ports(20)
    assert len(set(found)) == 20
    first, last = ephemeral_ports()
    assert sum(not first <= port <= last for port in found) == {1024: 0, 20005: 5}.get(first, 20)


def test_ports_are_chosen_by_chance_whatever_the_seed():
    random.seed(1)
    chosen = free_ports(5)
    random.seed(1)
    assert free_ports(5) != chosen


def test_ports_that_are_promised_to_others_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ip_local_port_range"
    path.write_text("20100 65535")
    monkeypatch.setattr(ports, "_EPHEMERAL", path)
    promised = range(20_000, 20_090)
    assert not set(free_ports(8, promised)) & set(promised)


def test_a_taken_port_is_named():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=str(port)) as caught:
            check_port_free(port, "--s3-port")
    assert "--s3-port" in caught.value.hint
