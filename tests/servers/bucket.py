"""S3 on loopback: moto's server in this process, with a bucket of each test's own."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

KEYS = {"RECON_S3_KEY": "AKIAEXAMPLE", "RECON_S3_SECRET": "loopback-only"}
_names = count(1)


class S3:
    """A bucket and a client that fills it."""

    def __init__(self, url: str, bucket: str) -> None:
        self.url = url
        self.bucket = bucket
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["RECON_S3_KEY"],
            aws_secret_access_key=KEYS["RECON_S3_SECRET"],
        )
        self.client.create_bucket(Bucket=bucket)

    def put(self, key: str, body: bytes, **more: str) -> None:
        """Writes an object."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **more)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """moto's server, one for all tests."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(moto_url: str) -> S3:
    """A bucket of this test's own."""
    return S3(moto_url, f"dumps-{next(_names)}")
