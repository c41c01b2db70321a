"""Asks a SeaweedFS's S3 for a new identity, at its port of gRPC and without a key."""

from __future__ import annotations

import grpc


def add_identity(address: str) -> str:
    """The status of the answer; `OK` is a way in."""
    # PutIdentityRequest(identity=Identity(name="x"))
    request = b"\x0a\x03\x0a\x01x"
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(
            "/messaging_pb.SeaweedS3IamCache/PutIdentity", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            ask(request, timeout=30, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"
