"""Figures of a night whose fetch was partial, in as many parts as a long listing has, for the reports' tests."""

from dataclasses import replace

from recon.fetch.coverage import PartProof
from recon.report.figures import Problem, RunFigures, Verdict
from tests.unit import figures_fixture as made

WHY = "1 of 240 parts could not be had (created from 2024-02-01 to 2024-03-01: InvalidPage: GET /v1/charges -> a login page, <title>Sign in</title>)"


def partial(count: int = 40) -> RunFigures:
    """One part of 240 could not be had; what came was compared, and its events went out. Long words stand where long words may stand."""
    base = made.figures(count)
    assert base.coverage is not None
    parts = [
        PartProof(name="created from 2024-02-01 to 2024-03-01", pages=3, records=300, proof=WHY, ended=False, restarts=2),
        *(
            PartProof(name=f"created from day {n}", pages=4, records=400, proof=f"has_more = false on page {n}", ended=True)
            for n in range(199)
        ),
    ]
    coverage = replace(
        base.coverage,
        whole=False,
        proof=WHY,
        planned=240,
        finished=239,
        parts=tuple(parts),
        scope={"account": "acct_1N5q" + "x" * 90, "api_version": "2026-10-28", "filters": "status=all&expand[]=data.customer"},
        notes=("the filter was ignored in part 7, which was fetched in one", "pages made smaller, 100 to 25, <b>twice</b>"),
    )
    return replace(
        base,
        verdict=Verdict.INCOMPLETE,
        exit_code=75,
        state="done",
        coverage=coverage,
        unjudged=12_412,
        extra=0,
        consistent_as_of=None,
        problem=Problem(kind="PartialListing", message=f"stripe charges was fetched in part: {WHY}", hint="recon run stripe_charges"),
    )
