"""Data docs that stand on their own: nothing comes from elsewhere, and the first page needs no script.

Great Expectations' pages load scripts, styles and icons from six hosts. Behind a firewall its index stays blank and no
result shows its status; and as Airflow serves the pages, foreign scripts would run as whoever is logged in.
"""

import html
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOREIGN: Final = re.compile(
    r"<(script|style|footer)\b.*?</\1>|<(link|img)\b[^>]*>",  # inline ones steer what the foreign ones draw
    re.DOTALL | re.IGNORECASE,
)
_STYLE: Final = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 1rem; }
td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; }
.ge-breadcrumbs { list-style: none; padding: 0; } .ge-breadcrumbs li { display: inline; margin-right: .6rem; }
.card:has(.btn-group-toggle) { display: none; }
.fa-check-circle::before, .passed::before { content: "\\2713  passed"; color: #060; }
.fa-times::before, .failed::before { content: "\\2717  failed"; color: #b00; font-weight: bold; }
.fa-exclamation-triangle::before { content: "!  error"; color: #b00; font-weight: bold; }
</style>"""


@dataclass(frozen=True)
class Outcome:
    """One suite over one batch: how many of its expectations were checked, and how many failed."""

    suite: str
    run: str
    n_expectations: int
    n_failed: int


def make_self_contained(site: Path, outcomes: Sequence[Outcome]) -> None:
    """Take what is foreign out of every page, and write a first page that lists the outcomes."""
    shutil.rmtree(site / "static", ignore_errors=True)  # fonts and pictures of a megabyte a site
    for page in site.rglob("*.html"):
        text = _FOREIGN.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", f"{_STYLE}</head>", 1), encoding="utf-8")
    (site / "index.html").write_text(_index(site, outcomes), encoding="utf-8")


def _index(site: Path, outcomes: Sequence[Outcome]) -> str:
    rows = "\n".join(_row(site, outcome) for outcome in outcomes)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data docs</title>{_STYLE}</head>\n'
        '<body><p><a href="../index.html">All data docs</a></p><h1>What was checked</h1>\n'
        "<p>Failed rows are in quarantine with their reasons; too many of them stop the run.</p>\n"
        "<table><tr><th>Status</th><th>Table</th><th>Run</th><th>Failed expectations</th></tr>\n"
        f"{rows}\n</table></body></html>\n"
    )


def _row(site: Path, outcome: Outcome) -> str:
    found = sorted((site / "validations" / outcome.suite / outcome.run).rglob("*.html"))
    address = found[0].relative_to(site).as_posix() if found else f"expectations/{outcome.suite}.html"
    status = "failed" if outcome.n_failed else "passed"
    return (
        f'<tr><td class="{status}"></td><td><a href="{html.escape(address)}">{html.escape(outcome.suite)}</a></td>'
        f"<td>{html.escape(outcome.run)}</td><td>{outcome.n_failed} of {outcome.n_expectations}</td></tr>"
    )
