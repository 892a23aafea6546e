"""Whom and what the pages of a fetch are for: told by the answers themselves, and the same from the first to the last."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recon import Field, Job, Table
from recon.clock import SystemClock
from recon.doctor.check import Level
from recon.doctor.third_party import third_party
from recon.errors import BadSetting, Unreachable
from tests.integration.fetched import Fetched, fetched, rest
from tests.servers.scripted import Answer, Call, Scripted, scripted

LIST = """
path = "orders"
records = "data"
paging = { rule = "cursor", param = "after", at = "next" }
"""
HEADERS = {"account": "X-Account", "version": "X-Version"}


def page(call: Call, account: str) -> Answer:
    """One of three pages of two orders, answered for `account`."""
    number = int(call.query.get("after", "1"))
    data = [{"id": f"o{number}{n}"} for n in range(2)]
    return Answer({"data": data, "next": str(number + 1) if number < 3 else None}, headers={"X-Account": account, "X-Version": "7"})


def test_the_certificate_says_whom_the_answers_were_for(tmp_path: Path) -> None:
    """What every page says of the account and the version stands in the scope of a whole fetch."""
    with scripted(lambda call: page(call, "acct_1")) as server:
        provider = rest(f"{server.url}/", LIST, scope_headers=HEADERS)
        coverage = fetched(provider, tmp_path).coverage
        provider.close()

    assert coverage.whole
    assert {name: coverage.scope[name] for name in ("answered account", "answered version")} == {
        "answered account": "acct_1",
        "answered version": "7",
    }


def test_a_header_that_never_comes_is_told(tmp_path: Path) -> None:
    """A header that no page had guards nothing, and the certificate says so in the place of the account."""
    with scripted(lambda call: page(call, "acct_1")) as server:
        provider = rest(f"{server.url}/", LIST, scope_headers={"account": "X-Acount", "version": "X-Version"})
        scope = fetched(provider, tmp_path).coverage.scope
        provider.close()

    assert scope["answered account"] == "nothing, no page had the header X-Acount"
    assert scope["answered version"] == "7"


def test_the_doctor_warns_of_a_header_that_never_comes() -> None:
    """It names the header and the key to correct; of one that the page has it says nothing."""
    job = Job(domain="orders", provider="shop", resource="orders", table=Table(name="orders"), fields=(Field("status"),), event="order")
    with scripted(lambda call: page(call, "acct_1")) as server:
        provider = rest(f"{server.url}/", LIST, scope_headers={"account": "X-Acount", "version": "X-Version"})
        project: Any = SimpleNamespace(provider=lambda _: provider)
        warned = [check for check in third_party(project, job, SystemClock()) if check.level is Level.WARN and check.name == "provider"]
        provider.close()

    (one,) = warned
    assert "without the header X-Acount" in one.message
    assert "scope_headers.account" in one.hint


def test_what_is_no_headers_name_is_refused() -> None:
    """A name that no answer can have is a mistake of the settings, told with its key."""
    with pytest.raises(BadSetting, match=r"scope_headers.account: 'X Account' is no header's name"):
        rest("http://127.0.0.1:9/", LIST, scope_headers={"account": "X Account"})


def test_a_page_of_another_account_makes_the_fetch_partial(tmp_path: Path) -> None:
    """A page that is answered for somebody else, however often it is asked for, is never put together with the others."""
    with scripted(lambda call: page(call, "acct_2" if call.query.get("after") == "3" else "acct_1")) as server:
        provider = rest(f"{server.url}/", LIST, scope_headers=HEADERS)
        found = fetched(provider, tmp_path)
        provider.close()

    assert not found.coverage.whole
    assert "page 3 was answered with the account 'acct_2', and the pages before it with 'acct_1'" in found.coverage.proof
    assert found.keys == ["o10", "o11", "o20", "o21"]


def interrupted(server: Scripted, table: str, folder: Path) -> None:
    """A fetch that ends before it is whole, since the third party is away."""
    provider = rest(f"{server.url}/", table, scope_headers=HEADERS, tries=1)
    with pytest.raises(Unreachable):
        fetched(provider, folder)
    provider.close()


def gone_on_with(server: Scripted, table: str, folder: Path) -> Fetched:
    """The same, gone on with under the second account: whole, and that one's."""
    provider = rest(f"{server.url}/", table, scope_headers=HEADERS)
    found = fetched(provider, folder)
    provider.close()
    assert found.coverage.whole
    assert found.coverage.scope["answered account"] == "acct_2"
    return found


def test_pages_of_another_account_are_not_gone_on_from(tmp_path: Path) -> None:
    """A fetch that is gone on with later under another account begins anew, and all its pages are that one's."""
    account = "acct_1"

    def answer(call: Call) -> Answer:
        dead = account == "acct_1" and call.query.get("after") == "3"
        return Answer({}, status=500) if dead else page(call, account)

    with scripted(answer) as server:
        interrupted(server, LIST, tmp_path)
        account = "acct_2"
        found = gone_on_with(server, LIST, tmp_path)

    assert [call.query.get("after", "1") for call in server.calls] == ["1", "2", "3", "3", "1", "2", "3"]
    assert "started anew" in found.coverage.proof


SHARDS = f"""{LIST}
shards = {{ param = "status", values = ["a", "b"] }}
"""


def test_parts_of_another_account_are_begun_anew_as_well(tmp_path: Path) -> None:
    """One part came to its end under one account and the other did not: gone on with under another account, both are that one's."""
    account = "acct_1"

    def answer(call: Call) -> Answer:
        if account == "acct_1" and call.query["status"] == "b":
            return Answer({}, status=500)
        return Answer({"data": [{"id": f"{call.query['status']} of {account}"}], "next": None}, headers={"X-Account": account})

    with scripted(answer) as server:
        interrupted(server, SHARDS, tmp_path)
        account = "acct_2"
        found = gone_on_with(server, SHARDS, tmp_path)

    assert sorted(found.keys) == ["a of acct_2", "b of acct_2"]
