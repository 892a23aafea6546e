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
    assert "page 2 -> 304: it says that nothing has changed, which it was not asked" in found.coverage.proof


BY_LAST = """
path = "orders"
records = "data"
paging = { rule = "last_id", param = "after" }
passes = 2
etags = true
"""


def test_a_page_that_was_had_by_another_request_is_asked_for_outright(tmp_path: Path) -> None:
    """A page whose cursor's item is gone comes by the item before it, with that request's ETag, which says nothing of the one that was refused."""

    def answer(call: Call) -> Answer:
        after = call.query.get("after")
        if after == "o2":
            return Answer({"error": "no such order"}, status=404)
        rows, more = {None: (["o1", "o2"], True), "o1": (["o3", "o4"], True), "o4": (["o5"], False)}[after]
        tag = f'"{after}"'
        if call.headers.get("if-none-match") == tag:
            return Answer(b"", status=304, headers={"ETag": tag})
        return Answer({"data": [{"id": key} for key in rows], "has_more": more}, headers={"ETag": tag})

    with scripted(answer) as server:
        provider = rest(f"{server.url}/", BY_LAST)
        found = fetched(provider, tmp_path)
        provider.close()

    assert found.coverage.whole
    assert found.keys == ["o1", "o2", "o3", "o4", "o5"]
    tags = [(call.query.get("after"), call.headers.get("if-none-match")) for call in server.calls]
    assert tags.count(("o2", None)) == 2
    assert (None, '"None"') in tags
