"""Lists that are asked for by POST, at a real server: the parameter store of AWS, as moto serves it."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

from providers.rest import Rest
from recon.fetch.page import LookupStatus
from recon.secret import Secret
from tests.integration.fetched import fetched, rest
from tests.servers.bucket import KEYS, moto_url
from tests.servers.manual_clock import ManualClock

__all__ = ["moto_url"]

#: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeParameters.html (read 2026-11): MaxResults from 1 to 50, no NextToken on the last page.
PARAMETERS = """
path = "/"
method = "POST"
records = "Parameters"
key = "Name"
paging = { rule = "cursor", param = "NextToken", at = "NextToken", end = "absent" }
page_size = { param = "MaxResults", size = 10 }
get = "/"
get_body = { ParameterFilters = [{ Key = "Name", Values = ["{key}"] }] }
get_record = "Parameters"

[body]
ParameterFilters = [{ Key = "Name", Option = "BeginsWith", Values = ["/none/"] }]

[params]
"ParameterFilters.0.Values.0" = "FOLDER"

[batch]
path = "/"
body = { ParameterFilters = [{ Key = "Name", Values = "{keys}" }] }
records = "Parameters"
size = 20
absent = "not_found"
"""
_folders = count(1)


class Parameters:
    """Twenty-five parameters in a folder of this test's own, and the provider that lists it."""

    def __init__(self, url: str) -> None:
        self.folder = f"/shop{next(_folders)}/"
        self.client: Any = boto3.client(
            "ssm",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["RECON_S3_KEY"],
            aws_secret_access_key=KEYS["RECON_S3_SECRET"],
        )
        self.names = [f"{self.folder}p{number:02}" for number in range(25)]
        for name in self.names:
            self.client.put_parameter(Name=name, Value="1", Type="String")
        scope = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261125/us-east-1/ssm/aws4_request, SignedHeaders=host, Signature=0"
        self.provider: Rest = rest(
            f"{url}/",
            PARAMETERS.replace("FOLDER", self.folder),
            auth={"header": {"name": "Authorization", "value": Secret(scope)}},
            headers={"X-Amz-Target": "AmazonSSM.DescribeParameters", "Content-Type": "application/x-amz-json-1.1"},
        )

    def close(self) -> None:
        self.provider.close()
        self.client.delete_parameters(Names=self.names[:10])
        self.client.delete_parameters(Names=self.names[10:20])
        self.client.delete_parameters(Names=self.names[20:])
        self.client.close()


@pytest.fixture
def parameters(moto_url: str) -> Iterator[Parameters]:
    made = Parameters(moto_url)
    yield made
    made.close()


def test_a_list_by_post_is_whole(parameters: Parameters, tmp_path: Path) -> None:
    """Ten a page: three pages, whose cursor and size stand in the document, to an end that the server says."""
    found = fetched(parameters.provider, tmp_path)

    assert found.coverage.verdict() == "whole"
    assert [one["Name"] for one in found.records] == parameters.names
    assert (found.coverage.pages, found.coverage.proof) == (3, "no NextToken on page 3")


def test_one_item_is_read_by_a_search(parameters: Parameters) -> None:
    """A parameter that is there is found, and one that is not is not found; one alone and several together."""
    there, gone = parameters.names[3], f"{parameters.folder}gone"
    clock = ManualClock()
    (alone,) = parameters.provider.get_many("orders", [there], clock=clock)
    (none,) = parameters.provider.get_many("orders", [gone], clock=clock)
    several = list(parameters.provider.get_many("orders", [there, gone, parameters.names[4]], clock=clock))

    assert (alone.status, none.status) == (LookupStatus.FOUND, LookupStatus.NOT_FOUND)
    assert [one.status for one in several] == [LookupStatus.FOUND, LookupStatus.NOT_FOUND, LookupStatus.FOUND]
