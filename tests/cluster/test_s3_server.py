"""The one-machine cluster's store keeps others out."""

import pytest
from store_admin import add_identity

from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.ports import HOST


@pytest.mark.cluster
def test_another_process_of_the_machine_adds_no_identity(cluster: local.LocalCluster) -> None:
    port = cluster.s3_internal_ports[s3_server.PORTS.index("s3.port.grpc")]
    assert add_identity(f"{HOST}:{port}") == "UNAUTHENTICATED"
