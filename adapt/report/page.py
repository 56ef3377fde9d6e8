"""The report as one page, reports/index.html: claims and verdicts, figures, studies, tables; it needs no network."""

from collections.abc import Mapping
from typing import Any

from adapt.report.formatting import Table, environment
from adapt.report.load import Runs, shorten

PIXELS = 98  # of the page per inch of a figure: the widest just fit


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
    """The page. Images and tables are linked relative to its folder: figures/NAME.png, tables/NAME.csv.

    claims: of `adapt.report.claims.judge`; figures, study_figures: `title` and `caption` by name; widths: of the
    figures, in inches; absent: by study, why it is not shown
    """
    return environment().get_template("page.html").render(
        runs=runs, missing=shorten(runs.missing), claims=claims, sources=sources, figures=figures,
        study_figures=study_figures, widths={name: round(PIXELS * inches) for name, inches in widths.items()},
        absent=absent, tables=tables, not_published=not_published,
    )  # fmt: skip
