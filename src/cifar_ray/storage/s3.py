"""An object store in a bucket of S3 or of an S3-compatible server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from typing import Any

import boto3
import botocore.exceptions
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from cifar_ray.errors import (
    BUSY_STATUS,
    CredentialsError,
    ObjectNotFoundError,
    StorageError,
    StoreUnavailableError,
    without_user,
)
from cifar_ray.settings import S3Settings
from cifar_ray.storage.object_store import ObjectStore, check_key, check_size, is_key, max_bytes

DEFAULT_REGION = "us-east-1"
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
MAX_ATTEMPTS = 5
HURRIED_TIMEOUT_S = 4
"""Of a hurried store, to connect and to read, at the only attempt: a call that hangs and then the two of a renewal take
less than a lease lasts."""
MAX_CONNECTIONS = 64
"""Kept open: the trials of a cohort upload at once, a large object in several parts."""
MULTIPART_BYTES = 16 * 2**20
"""Larger objects are uploaded in parallel parts; a part that fails is retried alone."""
_PARTS = TransferConfig(
    multipart_threshold=MULTIPART_BYTES,
    multipart_chunksize=8 * 2**20,
    max_concurrency=4,
    # the CRT client, taken where `awscrt` is installed, ignores these numbers and the client's settings
    preferred_transfer_client="classic",
)

_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, for whoever reads: this shell, or the nodes"
)
_NO_CODE = "the store is busy (try again later), or no S3 store answers there (check AWS_ENDPOINT_URL_S3)"
_HINTS = {
    "NoSuchBucket": "create the bucket first, or correct CIFAR_RAY_STORAGE",
    "AccessDenied": "give these credentials read, write and delete on the prefix, and list on the bucket",
    "SignatureDoesNotMatch": f"the secret key is wrong: {_CREDENTIALS}",
    "InvalidAccessKeyId": f"the access key is unknown there, or no longer known: {_CREDENTIALS}",
    "ExpiredToken": "the session token has expired: renew the credentials",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region, and check the access key",
    "SlowDown": "the store asks for fewer requests: try again later",
    "RequestTimeTooSkewed": "the clock of this machine is off",
}

_PASSING_ERRORS = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    # of credential providers
    CredentialRetrievalError,
    MetadataRetrievalError,
)
_NO_LOGIN = (
    # a node's role, or a file that is being replaced, may be there a moment later
    NoCredentialsError,
    # a login that has expired, until somebody renews it
    SSOError,
    TokenRetrievalError,
    # older ones of botocore lack it
    getattr(botocore.exceptions, "LoginError", SSOError),
)
_RENEWABLE = ("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "RequestExpired")
"""Credentials that were valid once: their provider may have new ones already, or soon."""
_BUSY = (
    *("SlowDown", "RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException", "TooManyRequests"),
    *("OperationAborted", "PriorRequestNotComplete", "RequestTimeTooSkewed", "IncompleteBody", "IDPCommunicationError"),
    # the completion of a multipart upload was answered, but the answer was lost and the call repeated
    "NoSuchUpload",
)
_ABSENT = (("GetObject", "NoSuchKey"), ("DeleteObject", "NoSuchKey"), ("DeleteObject", "404"))
"""Calls, and what a store answers to them where there is no object: a bare 404 to a read is a proxy's."""
_MAKING = threading.Lock()
"""Held to make a client: threads that begin together share one."""


class S3Store(ObjectStore):
    """Objects under a prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str, settings: S3Settings, is_hurried: bool = False) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._settings = settings
        self._is_hurried = is_hurried
        self._made_client: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address alone: a client holds credentials, which never travel."""
        return S3Store, (self._bucket, self._prefix, self._settings, self._is_hurried)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        with self._translated("GetObject", key):
            found = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            with closing(found["Body"]) as body:
                if (num_bytes := found.get("ContentLength")) is not None:
                    check_size(key, num_bytes, self.uri)
                    return bytes(body.read())
                # a gateway that answers in chunks
                most = max_bytes(key)
                content = bytes(body.read(None if most is None else most + 1))
                check_size(key, len(content), self.uri)
                return content

    def write(self, key: str, content: bytes) -> None:
        """One PutObject, or one multipart upload: S3 makes the object of either visible whole or not at all.

        A multipart upload that fails is aborted, which removes its parts. The parts of one whose process was
        killed stay, invisible but paid for, unless a lifecycle rule of the bucket aborts incomplete uploads.
        """
        name = self._key(key)
        if len(content) <= MULTIPART_BYTES:
            with self._translated("PutObject", key):
                self._client.put_object(Bucket=self._bucket, Key=name, Body=content)
        else:
            # raises the errors of the client's own calls; `upload_file` would wrap them
            with self._translated("multipart upload of", key):
                self._client.upload_fileobj(BytesIO(content), self._bucket, name, Config=_PARTS)

    def delete(self, key: str) -> None:
        """One DeleteObject."""
        # some stores answer 404 where there is no object, as also when a call is repeated after its answer was lost
        with suppress(ObjectNotFoundError), self._translated("DeleteObject", key):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """All objects below `prefix`."""
        folder = f"{self._key(prefix)}/" if prefix else self._root
        with self._translated("ListObjectsV2", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder)
            found = {item["Key"]: int(item["Size"]) for page in pages for item in page.get("Contents", ())}
        # other tools mark folders by empty objects, whose names are no keys
        sizes = {key.removeprefix(self._root): found[key] for key in sorted(found)}
        return {key: size for key, size in sizes.items() if is_key(key)}

    def folders(self) -> list[str]:
        """The common prefixes directly below the store's own."""
        with self._translated("ListObjectsV2", ""):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._root, Delimiter="/"
            )
            folders = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]
        return sorted(folder.removeprefix(self._root).rstrip("/") for folder in folders)

    def hurried(self) -> S3Store:
        """The same objects through a client, and so connections, of its own."""
        return S3Store(self._bucket, self._prefix, self._settings, is_hurried=True)

    @property
    def _root(self) -> str:
        return f"{self._prefix}/" if self._prefix else ""

    def _key(self, key: str) -> str:
        return self._root + check_key(key)

    @property
    def _client(self) -> Any:
        """Made on first use, by each process for itself."""
        client = self._made_client
        if client is None:
            with _MAKING:
                client = self._made_client = self._made_client or self._make_client()
        # not `self._made_client`, which another thread may reset
        return client

    def _make_client(self) -> Any:
        config = Config(
            connect_timeout=HURRIED_TIMEOUT_S if self._is_hurried else CONNECT_TIMEOUT_S,
            read_timeout=HURRIED_TIMEOUT_S if self._is_hurried else READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 1 if self._is_hurried else MAX_ATTEMPTS},
            max_pool_connections=MAX_CONNECTIONS,
            s3={"addressing_style": "path" if self._settings.endpoint_url else "auto"},
            # some servers refuse the checksums that boto3 adds by default; manifests have digests of their own
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        session = boto3.session.Session()
        # which does not read AWS_REGION itself
        region = self._settings.region or session.region_name or DEFAULT_REGION
        return session.client("s3", endpoint_url=self._settings.endpoint_url, region_name=region, config=config)

    @contextmanager
    def _translated(self, call: str, key: str) -> Iterator[None]:
        """Turn boto3's errors into ours: which call, which bucket, which endpoint, what to set."""
        region = self._settings.region
        endpoint = self._settings.endpoint_url or (f"AWS ({region})" if region else "AWS")
        where = f"{call} {key!r} in bucket {self._bucket!r} at {endpoint}"
        try:
            yield
        except ClientError as error:
            raise self._refusal(call, key, where, error) from error
        except _NO_LOGIN as error:
            self._made_client = None
            raise CredentialsError(f"{where}: no credentials: {error}", _CREDENTIALS) from error
        except (PartialCredentialsError, ProfileNotFound) as error:
            raise StorageError(f"{where}: {error}", _CREDENTIALS) from error
        except (BotoCoreError, ValueError) as error:
            hint = "check AWS_ENDPOINT_URL_S3, AWS_REGION and that the store runs"
            kind = StoreUnavailableError if isinstance(error, _PASSING_ERRORS) else StorageError
            # the message may quote a profile's endpoint, password included
            raise kind(f"{where}: {without_user(str(error))}", hint) from error
        except urllib3.exceptions.HTTPError as error:
            # in the middle of a body botocore leaves some of them as they are, such as a broken TLS record
            raise StoreUnavailableError(f"{where}: {without_user(str(error))}", "try again") from error
        except OSError as error:
            # of the chain of credentials: a program or a token's file is not there, or not now
            raise CredentialsError(f"{where}: {error}", _CREDENTIALS) from error

    def _refusal(self, call: str, key: str, where: str, error: ClientError) -> StorageError:
        """Our error for an answer that is one."""
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        # botocore takes the status for a code where the answer has none
        code = str(error.response.get("Error", {}).get("Code") or status)
        if (call, code) in _ABSENT:
            return ObjectNotFoundError(f"no object {key!r} in {self.uri}")
        if code in _RENEWABLE:
            # the next call asks the whole credential chain anew: variables, files, programs, roles
            self._made_client = None
            return CredentialsError(f"{where}: {code}", _HINTS.get(code, _CREDENTIALS))
        is_passing = status >= 500 or status in BUSY_STATUS or code in (*_BUSY, "404")
        hint = "check CIFAR_RAY_STORAGE, AWS_ENDPOINT_URL_S3 and the credentials"
        if is_passing:
            is_stores = code != str(status) or status in BUSY_STATUS
            hint = "the store is busy: try again later" if is_stores else _NO_CODE
        kind = StoreUnavailableError if is_passing else StorageError
        return kind(f"{where}: {code}", _HINTS.get(code, hint))
