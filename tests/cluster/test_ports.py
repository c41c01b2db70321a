"""Free ports and taken ones."""

import socket

import pytest

from cifar_ray.cluster.ports import HOST, check_port_free, free_ports
from cifar_ray.errors import ClusterError


def test_free_ports_are_different_and_free():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        check_port_free(port, "--any")


def test_a_taken_port_is_named():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=str(port)) as caught:
            check_port_free(port, "--s3-port")
    assert "--s3-port" in caught.value.hint
