"""Peak memory of every stage of the loop by events and catalogue, from raw files to monitoring.

    python benchmarks/scale_memory.py run --date 2026-01-31                       # 20 M events, 1 M items
    python benchmarks/scale_memory.py run --events 1e6 --items 5e4 --out state/bench/memory.md

The data are written as one Parquet file per day. Every stage then runs in a process of its own, with the product's
defaults but for one short epoch: how long a model trains does not move its memory. What a stage starts, as promotion
does to check parity, counts as its own when that is larger.
"""

import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import psutil
import typer

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "MEMORY.md"
_GIB = 2**30
_MUST_GIB = 8.0
_START = datetime(2026, 1, 1, tzinfo=UTC)
_DAYS, _TRAINED_DAYS = 30, 26  # the rest is for monitoring
_EVENTS_PER_USER = 50
_N_CATEGORIES, _N_WORDS, _TITLE_WORDS, _TEXT_WORDS = 40, 30_000, 6, 20
_OWN_TASTE = 0.7  # share of events with items of the user's own category
_EPOCH = 64_000  # examples: 40 steps

Json = dict[str, Any]  # Any: JSON between processes
STAGES = ("ingest", "validate", "select", "build_features", "train", "evaluate", "refit", "export_index", "register",
          "promote", "monitor")  # fmt: skip

app = typer.Typer(add_completion=False)


@app.command("run")
def main(
    events: Annotated[float, typer.Option(help="number of events")] = 20e6,
    items: Annotated[float, typer.Option(help="number of items")] = 1e6,
    date: Annotated[str, typer.Option(help="day of the run; default: that of the commit")] = "",
    out: Path = OUT,
    folder: Annotated[Path | None, typer.Option(help="where data and storage are kept; stages done are kept")] = None,
    measured: Annotated[int, typer.Option(help="users measured in evaluation and by the blend; 0: the defaults")] = 0,
) -> None:
    """Write the data, run every stage in a process of its own, and write the table after each.

    Fewer measured users save hours with a million items; they are scored in blocks of a fixed size either way.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        if not (place / "items.parquet").exists():
            write_tables(int(events), int(items), place)
        rows: list[Json] = []
        for stage in STAGES:
            rows.append(_measured(stage, place, measured))
            print(json.dumps(rows[-1]), flush=True)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(_page(date or _commit_date(), int(events), int(items), measured, rows))


@app.command(hidden=True)
def stage(name: str, place: Path, measured: int = 0) -> None:
    """Run one stage on what those before it left in `place`; print what it cost."""
    before = time.perf_counter()
    results = {path.stem: json.loads(path.read_text()) for path in place.glob("*.json")}
    answer = _run(name, place, results, measured)
    (place / f"{name}.json").write_text(json.dumps(answer))
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = time.perf_counter() - before
    print(json.dumps({"stage": name, "peak_gib": max(peaks) * 1024 / _GIB, "seconds": seconds}))


def _run(name: str, place: Path, done: Json, measured: int) -> Any:  # Any: what the stage returns
    from recsys import pipeline
    from recsys.config import Config

    tables = {name: {"uri": str(place / f"{name}*.parquet")} for name in ("interactions", "users", "items")}
    settings = {"source": {"kind": "files", **tables}, "model": {"epochs": 1, "examples_per_epoch": _EPOCH}}
    if measured:
        settings |= {section: {"max_users": measured} for section in ("evaluation", "blend")}
    config = Config.model_validate({"storage": str(place / "state"), **settings})
    learned, now = (str((_START + timedelta(days=days)).date()) for days in (_TRAINED_DAYS, _DAYS))
    stages = {
        "ingest": lambda: pipeline.ingest(config),
        "validate": lambda: pipeline.validate(config, done["ingest"]["partitions"]),
        "select": lambda: pipeline.select(config, learned),
        "build_features": lambda: pipeline.build_features(config, done["select"]["dataset"]),
        "train": lambda: pipeline.train(config, done["build_features"]["features"], done["select"]["dataset"]),
        "evaluate": lambda: pipeline.evaluate(config, done["train"]),
        "refit": lambda: pipeline.refit(config, done["train"]),
        "export_index": lambda: pipeline.export_index(config, done["refit"]),
        "register": lambda: pipeline.register(
            *[config, *map(done.get, ("train", "evaluate", "refit", "export_index"))]
        ),
        "promote": lambda: pipeline.promote(config, done["register"]),
        "monitor": lambda: pipeline.monitor(config, now),
    }
    return stages[name]()


def write_tables(n_events: int, n_items: int, place: Path) -> None:
    """Write users, items and one file of events per day: items by Zipf's law, most of a user's of one category."""
    place.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    n_users = _n_users(n_events)
    category = generator.integers(0, _N_CATEGORIES, n_items)
    _items(category, generator).write_parquet(place / "items.parquet")
    _users(n_users, generator).write_parquet(place / "users.parquet")
    order = np.argsort(category, kind="stable")  # in each category the first are the most popular
    starts = np.concatenate([[0], np.cumsum(np.bincount(category, minlength=_N_CATEGORIES))])
    taste = generator.integers(0, _N_CATEGORIES, n_users)
    for day in range(_DAYS):
        n = n_events // _DAYS
        user = (generator.random(n) ** 2 * n_users).astype(np.int64)  # some come often
        of = np.where(generator.random(n) < _OWN_TASTE, taste[user], generator.integers(0, _N_CATEGORIES, n))
        sizes = np.maximum(np.diff(starts)[of], 1)
        rank = np.exp(generator.random(n) * np.log(sizes)).astype(np.int64) - 1  # Zipf's law with exponent 1
        item = order[np.minimum(starts[of] + rank, n_items - 1)]
        _events(day, user, item, generator).write_parquet(place / f"interactions-{day:02d}.parquet")


def _n_users(n_events: int) -> int:
    return max(100, n_events // _EVENTS_PER_USER)


def _events(day: int, user: "np.ndarray", item: "np.ndarray", generator: np.random.Generator) -> pl.DataFrame:
    n, start = len(user), _START + timedelta(days=day)
    seconds = np.sort(generator.integers(0, 86_400, n))
    kinds = np.array(["view", "click", "like", "share"])[generator.choice(4, n, p=[0.6, 0.25, 0.1, 0.05])]
    return pl.DataFrame({"user": user, "item": item, "s": seconds, "event": kinds}).select(
        event_id=pl.format("e{}-{}", pl.lit(day), pl.int_range(n)),
        user_id=pl.format("u{}", "user"),
        item_id=pl.format("i{}", "item"),
        event="event",
        timestamp=pl.lit(start) + pl.duration(seconds="s"),
        device=pl.lit("phone"),
    )


def _items(category: "np.ndarray", generator: np.random.Generator) -> pl.DataFrame:
    n = len(category)
    words = np.array([f"word{place}" for place in range(_N_WORDS)])

    def texts(length: int) -> list[str]:
        return [" ".join(words[(generator.random(length) ** 3 * _N_WORDS).astype(int)]) for _ in range(n)]

    return pl.DataFrame({"row": np.arange(n), "category": category}).select(
        item_id=pl.format("i{}", "row"),
        title=pl.Series(texts(_TITLE_WORDS)),
        description=pl.Series(texts(_TEXT_WORDS)),
        categories=pl.concat_list(pl.format("category {}", "category")),
        creator=pl.format("creator {}", pl.col("row") // 20),
        language=pl.lit("en"),
        published_at=pl.lit(_START - timedelta(days=400)) + pl.duration(hours=pl.col("row") % 9600),
        duration_s=pl.lit(60.0) + pl.col("row") % 3600,
    )


def _users(n: int, generator: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame({"row": np.arange(n)}).select(
        user_id=pl.format("u{}", "row"),
        age=pl.Series(generator.integers(18, 80, n)),
        gender=pl.Series(np.array(["f", "m", "x"])[generator.integers(0, 3, n)]),
        location=pl.format("place {}", pl.col("row") % 20),
        consent_personalization=pl.lit(True),
        consent_analytics=pl.lit(True),
        do_not_sell=pl.lit(False),
        signed_up_at=pl.lit(_START - timedelta(days=100)),
    )


def _measured(name: str, place: Path, measured: int) -> Json:
    command = [sys.executable, __file__, "stage", name, str(place), "--measured", str(measured)]
    environment = os.environ | {"RECSYS_PSEUDONYM_KEY": "0123456789abcdef" * 4, "TF_CPP_MIN_LOG_LEVEL": "3"}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=place)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def _page(date: str, n_events: int, n_items: int, measured: int, rows: list[Json]) -> str:
    over = [row["stage"] for row in rows if row["peak_gib"] > _MUST_GIB]
    return "\n".join([
        "# Memory", "",
        "Written by `python benchmarks/scale_memory.py run`: every stage in a process of its own, default settings but",
        f"for one epoch of 40 steps{f' and at most {measured:,} measured users' if measured else ''}. Seconds are of a",
        "machine that other programs may have used too.", "",
        f"{n_events:,} events of {_n_users(n_events):,} users with {n_items:,} items in {_DAYS} days. "
        + _conditions(date), "",
        "| stage | peak GiB | seconds |", "| --- | --- | --- |",
        *(f"| {row['stage']} | {row['peak_gib']:.2f} | {row['seconds']:.0f} |" for row in rows), "",
        f"Peak memory must stay at or below {_MUST_GIB:.0f} GiB: "
        + (f"missed by {', '.join(over)}." if over else "met.")
        + ("" if len(rows) == len(STAGES) else " Unfinished."), "",
    ])  # fmt: skip


def _conditions(date: str) -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    total = psutil.virtual_memory().total / _GIB
    return f"{date}; {found[1] if found else platform.machine()}, {os.cpu_count()} cores, {total:.0f} GiB."


def _commit_date() -> str:
    command = ["git", "log", "-1", "--format=%cs"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


if __name__ == "__main__":
    app()
