"""Free ports and taken ones."""

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_ray.cluster import ports
from cifar_ray.cluster.ports import HOST, check_port_free, ephemeral_ports, free_ports, release_ports
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
    # servers of other tests may have any of those that are counted here
    monkeypatch.setattr(ports, "_take", lambda port: True)
    found = free_ports(20)
    assert len(set(found)) == 20
    first, last = ephemeral_ports()
    assert sum(not first <= port <= last for port in found) == {1024: 0, 20005: 5}.get(first, 20)


def test_ports_are_chosen_by_chance_whatever_the_seed():
    random.seed(1)
    chosen = free_ports(5)
    # else nobody gets them a second time
    release_ports()
    random.seed(1)
    assert free_ports(5) != chosen


def test_a_port_is_its_servers_until_that_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clusters that are started at once look for ports before either listens on its own."""
    generator = random.Random
    monkeypatch.setattr(ports.random, "Random", lambda: generator(1))
    asked, *first = free_ports(5)
    check_port_free(asked, "--s3-port")
    script = "import random; random.Random = lambda own=random.Random: own(1)\n"
    script += "from cifar_ray.cluster.ports import free_ports; print(*free_ports(5))"
    others = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    second = [*map(int, others.stdout.split()), *free_ports(5)]
    assert not {asked, *first} & set(second)
    with socket.create_server((HOST, first[0])):
        release_ports()
        assert first[1] in free_ports(5)


def test_a_taken_port_is_named():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=str(port)) as caught:
            check_port_free(port, "--s3-port")
    assert "--s3-port" in caught.value.hint
