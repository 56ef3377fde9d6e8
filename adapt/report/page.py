"""The report as one page, reports/index.html.

It shows claims with verdicts, figures, studies and tables, and needs no network.
"""

from collections.abc import Mapping
from typing import Any

from adapt.report.formatting import Table, environment
from adapt.report.load import Runs, shorten

PIXELS = 98  # of the page per inch of a figure: the widest figures just fit


def render(
    runs: Runs,
    claims: list[dict[str, str]],
    sources: Mapping[str, Any],
    figures: Mapping[str, Any],
    study_figures: Mapping[str, Any],
    widths: Mapping[str, float],
    absent: Mapping[str, str],
    tables: Mapping[str, Table],
    not_published: str | None,
) -> str:
    """Render the page.

    It links images and tables relative to its own folder: figures/NAME.png, tables/NAME.csv.

    Args:
        runs: the runs of the report.
        claims: as `adapt.report.claims.judge` returns them.
        sources: of the claims, by name.
        figures: `title` and `caption` by name.
        study_figures: the same for the figures of studies.
        widths: of the figures, in inches.
        absent: the reason for each study that is not shown.
        tables: the tables by name.
        not_published: why there is no table of published numbers; None if there is one.
    """
    return environment().get_template("page.html").render(
        runs=runs, missing=shorten(runs.missing), claims=claims, sources=sources, figures=figures,
        study_figures=study_figures, widths={name: round(PIXELS * inches) for name, inches in widths.items()},
        absent=absent, tables=tables, not_published=not_published,
    )  # fmt: skip
