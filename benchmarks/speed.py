"""What training costs by events and catalogue: synthetic data, the product's own trainer, one process per cell.

    python benchmarks/speed.py run --date 2026-01-31                     # every cell; rewrites benchmarks/SPEED.md
    python benchmarks/speed.py run --events 1e6 --items 1e4,1e5 --steps 50 --out state/bench/speed.md

A cell is made and saved by one process and trained by another, so that peak memory is training's alone. Steps are
timed after a warm-up that compiles them; what is paid once (reading, examples, spectral start, export) is told apart.
A pass over all events is stated as the number of events times the measured cost of one.
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
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "SPEED.md"
_GIB = 2**30
_LIBRARIES = ("recsys", "numpy", "scipy", "tensorflow")
_MUST_GIB = 8.0
Json = dict[str, Any]  # Any: JSON between processes

app = typer.Typer(add_completion=False)


@app.command("run")
def main(
    date: Annotated[str, typer.Option(help="day of the run; default: that of the commit")] = "",
    events: Annotated[str, typer.Option(help="comma-separated")] = "1e6,5e6,20e6",
    items: Annotated[str, typer.Option(help="comma-separated")] = "1e4,1e5,1e6",
    steps: Annotated[int, typer.Option(min=10, help="steps timed per cell")] = 100,
    crossover: Annotated[str, typer.Option(help="catalogues on which both losses are timed")] = "2e3,5e3,1e4,2e4,4e4",
    out: Path = OUT,
) -> None:
    """Measure every cell, then both losses by catalogue; write the tables."""
    date, cells, pairs = date or _commit_date(), [], []
    out.parent.mkdir(parents=True, exist_ok=True)
    for n_events in _numbers(events):
        for n_items in _numbers(items):
            cells.append(_measured(n_events, n_items, steps, "auto"))
            out.write_text(_page(date, cells, pairs))  # after each, so that an interrupted run keeps what it measured
    for n_items in _numbers(crossover):
        pairs.append([_measured(1_000_000, n_items, steps, loss) for loss in ("full", "sampled")])
        out.write_text(_page(date, cells, pairs))


@app.command(hidden=True)
def make(folder: Path, n_events: int, n_items: int) -> None:
    """Write a synthetic dataset."""
    from synthetic import synthetic

    folder.mkdir(parents=True)
    synthetic(n_events, n_items).save(folder)


@app.command(hidden=True)
def train(folder: Path, steps: int, loss: str) -> None:
    """Train on a folder and print what it cost."""
    from recsys.config import ModelConfig
    from recsys.features import Dataset
    from recsys.model.trainer import Trainer

    wall, cpu, size = {}, {}, ModelConfig().batch_size

    def lap(name: str, work: Any) -> Any:  # Any: a stage and its result
        before, used = time.perf_counter(), time.process_time()
        result = work()
        wall[name], cpu[name] = time.perf_counter() - before, time.process_time() - used
        print(
            f"  {name}: {wall[name]:.1f} s, processor {cpu[name]:.1f} s, peak {_peak_gib():.2f} GiB",
            file=sys.stderr,
            flush=True,
        )
        return result

    config = ModelConfig(loss=loss, examples_per_epoch=size * steps, epochs=4)  # type: ignore[arg-type]
    dataset = lap("read", lambda: Dataset.load(folder))
    trainer = lap("examples", lambda: Trainer(config, dataset))
    trainer.has_validation = False
    lap("start", trainer.epoch)  # makes the weights, their start, and compiles the step
    rate = lap("steps", trainer.epoch)["examples_per_s"]
    trainer.has_validation = True
    lap("validation", trainer.epoch)
    with tempfile.TemporaryDirectory() as out:
        lap("export", lambda: trainer.export(Path(out)))
    peak = _peak_gib()
    for spent in (wall, cpu):  # an epoch's steps are not what is paid once
        for name in ("start", "validation"):
            spent[name] = max(0.0, spent[name] - spent["steps"])
    facts = _bound(config, dataset, trainer.full, trainer.task)
    print(json.dumps({"full": trainer.full, "peak_gib": peak, "examples_per_s": rate, "wall": wall, "cpu": cpu,
                      "step_s": wall["steps"] / steps, "step_cpu_s": cpu["steps"] / steps, **facts}))  # fmt: skip


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB


def _bound(config: Any, dataset: Any, full: bool, task: Any) -> Json:
    import numpy as np
    from multiplies import bound, multiplies, peak_gflops

    from recsys.model.batches import Batches
    from recsys.model.examples import catalogue_rows, training_examples
    from recsys.model.sizes import Sizes

    examples = training_examples(dataset)
    batches = Batches.of(config, dataset, examples, full=full, task=task)
    (batch,) = batches.epoch(np.random.default_rng(0), config.batch_size, 1)
    n_candidates = len(catalogue_rows(dataset)) if full else len(batch["log_inclusion"])
    found = multiplies(batch, n_candidates, Sizes.of(config, dataset))
    seconds, cpu = bound(found)
    return {"n_train": len(examples.positions), "n_targets": len(examples), "n_candidates": n_candidates,
            "gflop": sum(each.flop for each in found) / 1e9, "bound_s": seconds, "bound_cpu_s": cpu,
            "peak_gflops": peak_gflops()}  # fmt: skip


def _measured(n_events: int, n_items: int, steps: int, loss: str) -> Json:
    with tempfile.TemporaryDirectory() as root:
        folder = str(Path(root) / "dataset")
        _child("make", folder, str(n_events), str(n_items))
        return {"n_events": n_events, "n_items": n_items, "loss": loss, **_child("train", folder, str(steps), loss)}


def _child(*arguments: str) -> Json:
    command = [sys.executable, __file__, *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(answer.stdout.splitlines()[-1])) if answer.stdout else {}


def _page(date: str, cells: list[Json], pairs: list[list[Json]]) -> str:
    head = ["events", "items", "loss over", "s per 100 k events", "CPU s per 100 k", "s per pass", "start s",
            "validation s", "export s", "peak GiB", "x multiplies, CPU", "x multiplies, clock"]  # fmt: skip
    rows = [_cells(cell) for cell in cells]
    over = [cell for cell in cells if cell["peak_gib"] > _MUST_GIB]
    return "\n".join([
        "# Speed", "",
        "Written by `make bench-speed`: synthetic events by Zipf's law, default model, one process per row.",
        "A step's cost is timed over a bounded number of steps after a warm-up; *s per pass* is that cost times all",
        "training events, an extrapolation. *x multiplies* is a step's time over that of its matrix multiplies alone,",
        "forward and backward, at the same sizes in the same process. CPU seconds count both cores and are what to",
        "compare when other programs ran.", "",
        _conditions(date, cells or [pair[0] for pair in pairs]), "",
        "## Training", "", *_table(head, rows), "",
        f"Peak memory must stay below {_MUST_GIB:.0f} GiB: "
        + (f"missed by {len(over)} of {len(cells)} rows." if over else "met."),
        "", "Where a step's time goes (`python benchmarks/profile_step.py`):", "", "![A step's phases](step.png)", "",
        *(_crossing(pairs) if pairs else []),
    ])  # fmt: skip


def _crossing(pairs: list[list[Json]]) -> list[str]:
    rows = [[f"{full['n_items']:,}", *(f"{_per_100k(each, 'cpu'):.2f}" for each in (full, sampled))]
            for full, sampled in pairs]  # fmt: skip
    return [
        "## Full or sampled softmax", "",
        "CPU seconds per 100,000 events; where sampling becomes cheaper is what `model.full_softmax_max_items` is for.",
        "", *_table(["items", "full", "sampled"], rows), "",
    ]  # fmt: skip


def _cells(cell: Json) -> list[str]:
    wall, per = cell["wall"], _per_100k(cell, "wall")
    return [
        f"{cell['n_events']:,}", f"{cell['n_items']:,}", f"{cell['n_candidates']:,}{'' if cell['full'] else ' drawn'}",
        f"{per:.2f}", f"{_per_100k(cell, 'cpu'):.2f}", f"{per * cell['n_train'] / 1e5:.0f}",
        f"{wall['examples'] + wall['start']:.1f}", f"{wall['validation']:.1f}", f"{wall['export']:.1f}",
        f"{cell['peak_gib']:.1f}", f"{cell['step_cpu_s'] / cell['bound_cpu_s']:.1f}",
        f"{cell['step_s'] / cell['bound_s']:.1f}",
    ]  # fmt: skip


def _per_100k(cell: Json, clock: str) -> float:
    # A step's seconds over its events; padding is no event. Targets are counted, so events follow from their share.
    events_per_s = cell["examples_per_s"] * cell["n_train"] / cell["n_targets"]
    factor = 1.0 if clock == "wall" else cell["cpu"]["steps"] / cell["wall"]["steps"]
    return 1e5 / events_per_s * factor


def _conditions(date: str, cells: list[Json]) -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    peak = max((cell["peak_gflops"] for cell in cells), default=0.0)
    return (
        f"{date}; {found[1] if found else platform.machine()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / _GIB:.0f} GiB; load at the end {os.getloadavg()[0]:.1f}; multiply peak "
        f"{peak:.0f} GFLOP/s (float32, 2,048 square); "
        + ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
        + "."
    )


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _commit_date() -> str:
    command = ["git", "log", "-1", "--format=%cs"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def _numbers(text: str) -> list[int]:
    return [int(float(part)) for part in text.split(",") if part]


if __name__ == "__main__":
    app()
