"""Makes the certificate by which the parts of a server authenticate each other."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address

from cifar_ray.cluster.ports import HOST
from cifar_ray.errors import ClusterError

# valid whatever the machine's clock says: it is made anew at each start, and used no longer than the server runs
_FROM, _UNTIL = datetime(2020, 1, 1), datetime(2100, 1, 1)


def certificate() -> str:
    """A self-signed certificate and its key, both as PEM; ClusterError where `cryptography` is not installed."""
    # comes only with the extra `local`
    try:
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ImportError as error:
        raise ClusterError("the package `cryptography` is not installed", "pip install 'cifar-ray[local]'") from error

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cifar-ray")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (signed.public_bytes(pem) + private).decode()
