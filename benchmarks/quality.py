"""Run benchmark cases and write what was found into RESULTS.md.

    python benchmarks/quality.py                     # every case, three seeds
    python benchmarks/quality.py v2 v5 --seeds 1     # some, with one seed
    python benchmarks/quality.py v1 --models ease,popularity
    python benchmarks/quality.py v1 --peers-only     # peers' lists alone, into the section that is there

Prepares the data first. A case's section of RESULTS.md is replaced whole and the others stay; the files of the run lie
under `state/bench/CASE/out`. With `--peers-only` peers' lists are scored on the same split by the same code, without
training ours, the section says when, and files lie under `out_peers`.
"""

import json
import os
import platform
import re
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from bars import CASES, Case
from prepare import OUT, ROOT, prepare

from recsys.config import Config, load_config
from recsys.errors import GateError, RecsysError
from recsys.pipeline import backtest
from recsys.pipeline.cases import fold_names

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
_HEAD = """# Results

Every figure comes from `make bench-quality` (`python benchmarks/quality.py CASE`): full catalogue, seen items masked,
ties broken by item id, defaults unless a row says otherwise, means over the seeds, intervals by bootstrap over users.
Protocols: the headers of `benchmarks/*.toml` and [docs/backtest.md](../docs/backtest.md). Rows `peer_..` are other
people's models, fitted before by `make bench-peers`. Newcomers, onboarding and re-ranking:
[docs/newcomers.md](../docs/newcomers.md); what is not reached: [docs/limits.md](../docs/limits.md).
"""
_SEEDS = (11, 12, 13, 14, 15)
_GIB = 2**30
Json = dict[str, Any]  # Any: metrics.json

app = typer.Typer(add_completion=False)


@app.command()
def main(
    cases: Annotated[list[str] | None, typer.Argument(help="v1 to v6; default: all")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=len(_SEEDS))] = 3,
    models: Annotated[str, typer.Option(help="comma-separated; default: those of the case")] = "",
    peers_only: Annotated[bool, typer.Option(help="measure peers' lists, for the section that is there")] = False,
) -> None:
    """Run the cases one after another; ends with 1 when a model does not beat popularity."""
    failed = False
    for name in [case.lower() for case in cases or CASES]:
        if name not in CASES:
            raise typer.BadParameter(f"a case is one of {', '.join(CASES)}; got {name!r}")
        if peers_only:
            _add_peers(name)
        else:
            failed = _run(name, seeds, tuple(models.split(",")) if models else ()) or failed
    raise SystemExit(int(failed))


def _add_peers(name: str) -> None:
    _, parts = _parts()
    if name not in parts:
        raise SystemExit(f"{name}: {RESULTS.name} has no section to add peers to; run quality.py {name} instead")
    config = _prepared(name, 1, ("popularity",))
    peers = sorted(config.backtest.recommendations)
    if not peers:
        raise SystemExit(f"{name}: no peer has lists for every fold; first make bench-peers CASES={name}")
    report, seconds, _ = _backtested(name, config, OUT / name / "out_peers")
    rows = dict(zip(peers, _table([_row(peer, CASES[name], report, []) for peer in peers]), strict=True))
    told = f"{', '.join(rows)} measured apart: {_conditions(report, seconds)}"
    _write(name, _beside(parts[name], rows, told))


def _beside(section: str, rows: dict[str, str], told: str) -> str:
    """Return a section with the rows of a table's models replaced or added, in the order of their names."""
    lines = [line for line in section.splitlines() if not any(line.startswith(f"| {name} |") for name in rows)]
    lines = [line for line in lines if " measured apart: " not in line]
    for name, row in rows.items():
        ours = [place for place, line in enumerate(lines) if re.match(r"\| \w", line)][1:]  # the first is the head
        lines.insert(next((place for place in ours if lines[place][2:] > name), ours[-1] + 1), row)
    return "\n".join(lines).rstrip() + f"\n\n{told}\n"


def _run(name: str, n_seeds: int, models: tuple[str, ...]) -> bool:
    out = OUT / name / "out"
    report, seconds, refused = _backtested(name, _prepared(name, n_seeds, models), out)
    _write(name, _section(name, report, json.loads((out / "timing.json").read_text()), seconds, refused))
    return bool(refused)


def _backtested(name: str, config: Config, out: Path) -> tuple[Json, float, str]:
    """Return what a backtest reports, the seconds it took and why a gate refused it, if one did."""
    started, refused = time.perf_counter(), ""
    try:
        backtest(config, out, _say)
    except GateError as error:
        refused = str(error)
    except RecsysError as error:
        raise SystemExit(f"{name}: {error}") from error
    return json.loads((out / "metrics.json").read_text()), time.perf_counter() - started, refused


def _prepared(name: str, n_seeds: int, models: tuple[str, ...]) -> Config:
    prepare(name)
    os.chdir(ROOT)
    config = load_config(ROOT / "benchmarks" / f"{name}.toml")
    peers = _peers(OUT / name / "peers", config)
    changes = {"seeds": _SEEDS[:n_seeds], "models": models or config.backtest.models, "recommendations": peers}
    return config.model_copy(update={"backtest": config.backtest.model_copy(update=changes)})


def _peers(folder: Path, config: Config) -> dict[str, str]:
    """Return name -> address of the lists of peers that have finished every fold."""
    folds = fold_names(config)
    return {
        path.name: f"{path}/{{fold}}.parquet"
        for path in sorted(folder.glob("peer_*"))
        if all((path / f"{fold}.parquet").exists() for fold in folds)
    }


def _say(title: str, epoch: int, record: dict[str, float]) -> None:
    print(f"{title}: epoch {epoch}: " + ", ".join(f"{name} {value:.4g}" for name, value in record.items()), flush=True)


def _section(name: str, report: Json, timing: list[Json], seconds: float, refused: str) -> str:
    case, main = CASES[name], report["main_metric"]
    header = ["model", *case.metrics, f"{main}, 95 %", "fit s"]
    rows = [_row(model, case, report, timing) for model in report["models"]]
    published = [[f"*{system}*, published", *_padded(values, len(case.metrics)), "", ""] for system, values in
                 case.published.items()]  # fmt: skip
    lines = [
        f"## {name.upper()}: {case.title}",
        "",
        _conditions(report, seconds),
        "",
        *_table([header, ["---"] * len(header), *rows, *published]),
        "",
        *_bars(case, report),
        *_seconds(case, report, timing),
        *(["", case.note] if case.note else []),
    ]
    return "\n".join([*lines, *([f"\nRefused: {refused}"] if refused else []), ""])


def _row(model: str, case: Case, report: Json, timing: list[Json]) -> list[str]:
    found, main = report["models"][model], report["main_metric"]
    fit_s = "" if model.startswith("peer_") else f"{_fit_s(model, timing):.1f}"
    low, high = found["intervals"][main]
    values = [f"{found['metrics'][metric]:.4f}" for metric in case.metrics]
    return [model, *values, f"{low:.4f} to {high:.4f}", fit_s]


def _fit_s(model: str, timing: list[Json]) -> float:
    fits = [each["seconds"]["fit"] for each in timing if each["model"] == model]
    return float(sum(fits) / len(fits))


def _seconds(case: Case, report: Json, timing: list[Json]) -> list[str]:
    if not case.goal_s or not {"two_tower", "hybrid"} <= set(report["models"]):
        return []
    seconds = _fit_s("two_tower", timing) + _fit_s("hybrid", timing)
    met = "met" if seconds < case.goal_s else "missed"
    return [f"- towers and hybrid of one seed fitted in {seconds:.0f} s; goal {case.goal_s:.0f} s ({met})"]


def _padded(values: tuple[float, ...], n: int) -> list[str]:
    return [f"{value:.3f}" for value in values] + [""] * (n - len(values))


def _table(rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in rows]


def _bars(case: Case, report: Json) -> list[str]:
    judged = case.judged
    if judged not in report["models"]:
        return ["No model of ours was run: these are the baselines, against the published figures."]
    values = report["models"][judged]["metrics"]
    return [
        f"- {judged} {bar.metric}: {values[bar.metric]:.4f}; must {bar.must:.3f} "
        f"({'met' if values[bar.metric] >= bar.must else 'missed'}), goal {bar.goal:.3f} "
        f"({'met' if values[bar.metric] >= bar.goal else 'missed'})"
        for bar in case.bars
    ]


def _conditions(report: Json, seconds: float) -> str:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB
    versions = ", ".join(f"{library} {number}" for library, number in sorted(report["versions"].items()))
    return (
        f"{datetime.now(UTC).date().isoformat()}; {_processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / _GIB:.0f} GiB; load at the end {os.getloadavg()[0]:.1f}; seeds "
        f"{', '.join(map(str, report['seeds']))}; {len(report['folds'])} folds; {seconds:.0f} s in all, peak "
        f"{peak:.1f} GiB; {versions}; configuration {report['config_digest']}."
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    return found[1] if found else platform.machine()


def _parts() -> tuple[str, dict[str, str]]:
    """Return what stands above the sections of RESULTS.md, and each section by its case."""
    text = RESULTS.read_text() if RESULTS.exists() else _HEAD
    head, *parts = re.split(r"(?m)^(?=## )", text)
    return head, {part.split(":", 1)[0][3:].strip().lower(): part.rstrip() + "\n" for part in parts}


def _write(name: str, section: str) -> None:
    head, parts = _parts()
    kept = parts | {name: section}
    RESULTS.write_text(head.rstrip() + "\n\n" + "\n".join(kept[key] for key in sorted(kept)))


if __name__ == "__main__":
    app()
