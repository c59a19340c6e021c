"""The pages that hold the log in memory: lots, gains and income, returns, sessions; of books that are short enough."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from cli.page.asking import PageRequest
from cli.page.log import links_of
from cli.page.rendering import blocks
from cli.page.site import Site, SiteCache
from cli.shared.ages import parse_age
from cli.shared.usage import WrongUsage
from engine.cost_basis import CostMethod
from engine.reports import gains as gains_report
from engine.reports import lots as lots_report
from engine.reports import returns as returns_report
from engine.reports import sessions as sessions_report
from engine.reports.report import Report
from ledger.errors import Refusal, Refused
from projections.lots import METHODS

FEES = {"apart": "apart", "in-cost": "in cost"}
GROUPS = {"": "none", **{name: name for name in gains_report.GROUPS}}
ROWS_ON_A_PAGE = 500


def cost_method(site: Site, asked: PageRequest) -> CostMethod:
    """How cost basis is counted: as the address says, or the server. Raises Refused."""
    method = asked.choice("method", {name: name for name in METHODS}, site.method.name)
    fees = asked.choice("fees", FEES, "in-cost" if site.method.fees_in_cost else "apart")
    return CostMethod(method, fees == "in-cost")


def lots(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """The open lots at a moment."""
    how, moment = cost_method(site, asked), asked.moment()
    with kept.held(name, moment, "netbasis lots"):
        report = lots_report.lots(site.database, [name], how, moment, now=asked.now, asset=asked.given.get("asset"))
    return _shown(report, asked, "Open lots") | _choices(how)


def gains(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """What was closed with a gain or a loss in a period, and what was earned beside trading."""
    how, moment = cost_method(site, asked), asked.moment()
    group_by = asked.choice("group_by", GROUPS, "")
    period: Any = {"start": asked.start(), "end": asked.end(), "known_at": moment.known_at, "as_of": moment.as_of}
    with kept.held(name, moment, "netbasis gains"):
        closed = gains_report.gains(
            site.database, [name], how, **period, now=asked.now, zone=site.zone or UTC, group_by=group_by or None
        )
        earned = gains_report.income(site.database, [name], **period, now=asked.now)
    income = blocks(earned, "Income", links_of(asked)) if earned.rows is not None and earned.rows.rows else []
    context = _shown(closed, asked, "Gains") | _choices(how)
    return context | {"income": income, "groups": GROUPS, "group_by": group_by}


def returns(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """What a period earned as a rate."""
    moment, given = asked.moment(), asked.given.get("max_mark_age", "1d")
    try:
        age = parse_age(given)
    except WrongUsage as error:
        expected = "such as 90s, 15m, 2h or 1d"
        raise Refused(Refusal.TIME_MALFORMED, "max mark age: not an age", expected=expected, actual=given) from error
    with kept.held(name, moment, "netbasis returns"):
        report = returns_report.returns(
            site.database,
            [name],
            start=asked.start(),
            end=asked.end(),
            known_at=moment.known_at,
            as_of=moment.as_of,
            max_mark_age=age,
            now=asked.now,
        )
    return _shown(report, asked, "Periods between capital movements") | {"max_mark_age": given}


def sessions(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """The sessions with their fills, volume, fees and realised PnL."""
    how, moment = cost_method(site, asked), asked.moment()
    with kept.held(name, moment, "netbasis sessions"):
        report = sessions_report.sessions(
            site.database,
            name,
            how,
            start=asked.start(),
            end=asked.end(),
            known_at=moment.known_at,
            as_of=moment.as_of,
            now=asked.now,
        )
    return _shown(report, asked, "Sessions") | _choices(how)


def _choices(how: CostMethod) -> dict[str, Any]:
    return {
        "methods": {name: name for name in METHODS},
        "method": how.name,
        "fees_views": FEES,
        "fees": "in-cost" if how.fees_in_cost else "apart",
    }


def _shown(report: Report, asked: PageRequest, caption: str) -> dict[str, Any]:
    """The blocks of a report, of a long table a part."""
    skip = asked.version("skip") or 0
    found = blocks(report, caption, links_of(asked))
    longest = max((len(block.grid.rows) for block in found if block.grid is not None), default=0)
    return {
        "blocks": [block.cut(skip, ROWS_ON_A_PAGE) for block in found],
        "notes": report.notes,
        "rows": longest,
        "skip": skip,
        "until": min(skip + ROWS_ON_A_PAGE, longest),
    }
