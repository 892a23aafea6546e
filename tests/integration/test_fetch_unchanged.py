"""What a 304 is taken for: the page of the pass before, and nothing else."""

from pathlib import Path

from tests.integration.fetched import fetched, rest
from tests.servers.scripted import Answer, Call, scripted

LIST = """
path = "orders"
records = "data"
paging = { rule = "cursor", param = "after", at = "next" }
passes = 2
etags = true
"""


def page(call: Call, version: int = 1) -> Answer:
    """One of three pages of one order each."""
    number = int(call.query.get("after", "1"))
    data = [{"id": f"o{number}", "version": version}]
    return Answer({"data": data, "next": str(number + 1) if number < 3 else None}, headers={"ETag": f'"{number}-{version}"'})


def test_a_304_for_another_answer_than_the_kept_one_is_asked_again_outright(tmp_path: Path) -> None:
    """A cache in between says that nothing has changed, and names another ETag than the one that it was asked with: that is of no page we have."""
    passed: list[str | None] = []

    def answer(call: Call) -> Answer:
        tag = call.headers.get("if-none-match")
        passed.append(tag)
        return Answer(b"", status=304, headers={"ETag": '"1-2"'}) if tag == '"1-1"' else page(call, 1 if len(passed) <= 3 else 2)

    with scripted(answer) as server:
        provider = rest(f"{server.url}/", LIST)
        found = fetched(provider, tmp_path)
        provider.close()

    assert found.coverage.whole
    assert {record["version"] for record in found.records} == {2}
    assert passed[3:5] == ['"1-1"', None]


def test_a_304_may_call_the_answer_weaker_than_it_did(tmp_path: Path) -> None:
    """What compresses on the way makes a weak ETag of a strong one: it is the same page, and is not sent again."""

    def answer(call: Call) -> Answer:
        tag = call.headers.get("if-none-match")
        return page(call) if tag is None else Answer(b"", status=304, headers={"ETag": f"W/{tag}"})

    with scripted(answer) as server:
        provider = rest(f"{server.url}/", LIST)
        found = fetched(provider, tmp_path)
        provider.close()

    assert found.coverage.whole
    assert len(server.calls) == 6
    assert found.keys == ["o1", "o2", "o3"]


def test_a_304_that_nobody_asked_for_is_no_page(tmp_path: Path) -> None:
    """The first pass names no ETag: a 304 is refused there, and the fetch is not whole."""
    with scripted(lambda call: Answer(b"", status=304) if call.query.get("after") == "2" else page(call)) as server:
        provider = rest(f"{server.url}/", LIST)
        found = fetched(provider, tmp_path)
        provider.close()

    assert not found.coverage.whole
    assert "page 2 -> 304" in found.coverage.proof
