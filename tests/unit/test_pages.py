"""Pages on disk know whose fetch they are of, so that those of an earlier watermark are not gone on from."""

from datetime import timedelta
from pathlib import Path

from recon.fetch.page import Page
from recon.fetch.spool import Spool
from recon.run import pages
from recon.state.run import Run, RunState
from recon.testing.clock import START


def run(**facts) -> Run:
    """A run that is fetching."""
    known = {"id": "01K", "domain": "orders", "state": RunState.FETCHING, "trigger": "cli", "slot": None, "dry_run": False, "key": None}
    times = dict.fromkeys(("logical_start", "started_at", "updated_at"), START)
    return Run(**{**known, **times, "owner": "alpha:1", "fence": 1, "watermark": START, "host": "alpha", "folder": "/a", **facts})


def spool_with_a_page(folder: Path) -> Spool:
    """A fetch begun under the watermark START, one page far."""
    spool = Spool.open(folder)
    pages.begin(spool, START)
    spool.append(Page(items=[b"{}"], next={"after": "x"}))
    return spool


def test_pages_of_the_runs_own_watermark_are_gone_on_from(tmp_path: Path) -> None:
    """Begun and interrupted on this disk, the fetch goes on; an empty spool has nothing to go on from."""
    spool = spool_with_a_page(tmp_path)

    assert pages.usable(spool, run(), START)
    spool.reset()
    assert not pages.usable(spool, run(), START)
    spool.close()


def test_pages_before_the_watermark_are_not_gone_on_from(tmp_path: Path) -> None:
    """Another host took a newer watermark meanwhile; or there is none; or the clock was set back behind it; or the mark is gone."""
    spool = spool_with_a_page(tmp_path)

    assert not pages.usable(spool, run(watermark=START + timedelta(microseconds=1)), START + timedelta(days=1))
    assert not pages.usable(spool, run(watermark=None), START)
    assert not pages.usable(spool, run(), START - timedelta(seconds=1))
    (tmp_path / pages.MARK).unlink()
    assert not pages.usable(spool, run(), START)
    spool.close()


def test_a_fetch_begun_anew_has_no_pages_of_the_old_one(tmp_path: Path) -> None:
    """The spool is emptied before the new mark stands beside it."""
    spool = spool_with_a_page(tmp_path)

    pages.begin(spool, START + timedelta(seconds=1))

    assert spool.pages == 0
    spool.close()


def test_the_certificate_names_the_host_only_where_another_one_had_begun(tmp_path: Path) -> None:
    """A fetch begun by nobody, or here, is no fetch again."""
    spool = spool_with_a_page(tmp_path)

    assert "what alpha had fetched lies on its disk" in pages.abroad(run(), spool)
    assert pages.abroad(run(watermark=None), spool) == ""
    assert pages.abroad(run(host=None), spool) == ""
    spool.close()
