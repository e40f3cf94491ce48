"""Where a training step's time goes, and how far it is from the machine's matrix-multiply peak.

    python benchmarks/profile_step.py                               # 1 M synthetic events, 100 k items
    python benchmarks/profile_step.py --items 1e4 --plot step.png   # a full softmax; with a picture
    python benchmarks/profile_step.py --jit --steps 10              # compiled by XLA instead

The step is run with parts left out: forward alone, then with gradients, then with the optimiser; differences are the
phases. Batches are made beforehand, and the cost of making them is timed apart: in training it falls on another
thread, so it shows as waiting only where it exceeds a step's. Processor seconds count every core, and are what to
compare when other programs ran. The multiplies alone, at the same sizes in the same process, are the bound. XLA
compiles every shape of a batch anew, and each batch has one of its own, so `--jit` runs one batch again and again; the
first call tells what a shape costs.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import typer
from multiplies import bound, multiplies, peak_gflops
from synthetic import synthetic

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf
from recsys.model.batches import Batch, Batches
from recsys.model.examples import catalogue_rows, training_examples
from recsys.model.inputs import item_inputs
from recsys.model.optimizer import Optimizer
from recsys.model.retrieval import TwoTower
from recsys.model.sizes import Sizes

Loss: TypeAlias = Literal["auto", "full", "sampled"]

_WARM_UP = 3


def main(
    events: Annotated[float, typer.Option()] = 1e6,
    items: Annotated[float, typer.Option(help="size of the catalogue")] = 1e5,
    loss: Annotated[Loss, typer.Option(help="auto: as training chooses by the size of the catalogue")] = "auto",
    steps: Annotated[int, typer.Option(min=1)] = 20,
    jit: Annotated[bool, typer.Option(help="compile the step by XLA")] = False,
    plot: Annotated[Path | None, typer.Option(help="write a picture")] = None,
) -> None:
    """Print the phases, the bound and the achieved share as JSON."""
    config, dataset = ModelConfig(loss=loss), synthetic(int(events), int(items))
    sizes, examples, rows = Sizes.of(config, dataset), training_examples(dataset), catalogue_rows(dataset)
    full = config.scores_all(len(rows))
    batches = Batches.of(config, dataset, examples, full=full, task="next")
    before = time.process_time()
    made = list(batches.epoch(np.random.default_rng(0), config.batch_size, _WARM_UP + steps))
    input_s = (time.process_time() - before) / len(made)
    catalogue = item_inputs(dataset.items, rows) if full else None
    inputs = [_tensors({**batch, "items": catalogue} if catalogue else batch) for batch in made]
    inputs = inputs[_WARM_UP : _WARM_UP + 1] * len(inputs) if jit else inputs
    timed = {name: _timed(run, inputs) for name, run in _parts(config, sizes, inputs[0], jit).items()}
    clock, processor = ({name: each[place] for name, each in timed.items()} for place in (0, 1))
    median = made[_WARM_UP]
    n_candidates = len(rows) if full else len(np.asarray(median["log_inclusion"]))
    found = multiplies(median, n_candidates, sizes)
    bound_s, bound_cpu_s = bound(found)
    peak = peak_gflops()
    gflop = sum(each.flop for each in found) / 1e9
    report = {
        "loss": "full" if full else "sampled",
        "targets": len(np.asarray(median["target"])),
        "candidates": n_candidates,
        "ms by the clock": _phases(clock),
        "ms of processor": {"making a batch": _ms(input_s), **_phases(processor)},
        "first call of a step, s": round(timed["step"][2], 1),
        "gflop": {each.name: round(each.flop / 1e9, 3) for each in found} | {"all": round(gflop, 2)},
        "multiplies alone, ms": {"clock": _ms(bound_s), "processor": _ms(bound_cpu_s)},
        "gflops": {
            "peak, 2,048 square": round(peak),
            "multiplies alone": round(gflop / bound_s),
            "step": round(gflop / clock["step"]),
        },
        "share of the peak": round(gflop / clock["step"] / peak, 3),
        "step over multiplies": {
            "clock": round(clock["step"] / bound_s, 2),
            "processor": round(processor["step"] / bound_cpu_s, 2),
        },
    }
    print(json.dumps(report, indent=2))
    if plot:
        _draw(report["ms of processor"], _ms(bound_cpu_s), plot)


def _parts(
    config: ModelConfig, sizes: Sizes, first: "dict[str, tf.Tensor]", jit: bool
) -> dict[str, "Callable[[dict[str, tf.Tensor]], tf.Tensor]"]:
    model = TwoTower(config, sizes, ordered=True)
    with tf.GradientTape() as made:
        loss = model.compute_loss(first)  # makes the weights
    variables = model.trainable_variables
    optimizer = Optimizer(variables, made.gradient(loss, variables), config.l2)

    def forward(inputs: "dict[str, tf.Tensor]") -> "tf.Tensor":
        return model.compute_loss(inputs, training=True)

    def gradients(inputs: "dict[str, tf.Tensor]") -> "tuple[tf.Tensor, list[tf.Tensor]]":
        with tf.GradientTape() as tape:
            loss = forward(inputs)
        return loss, tape.gradient(loss, variables)

    def step(inputs: "dict[str, tf.Tensor]") -> "tf.Tensor":
        loss, found = gradients(inputs)
        optimizer.apply(found, tf.constant(config.learning_rate))
        return loss

    return {
        part.__name__: tf.function(part, reduce_retracing=True, jit_compile=jit, autograph=False)
        for part in (forward, gradients, step)
    }


def _timed(run: "Callable[[Any], Any]", inputs: "list[dict[str, tf.Tensor]]") -> tuple[float, float, float]:
    """Return median wall and processor seconds of a call, after a few that compile it, and the first one's."""
    walls, cpus = [], []
    for each in inputs:
        wall, cpu = time.perf_counter(), time.process_time()
        run(each)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls[_WARM_UP:]), statistics.median(cpus[_WARM_UP:]), walls[0]


def _phases(seconds: dict[str, float]) -> dict[str, float]:
    return {
        "forward": _ms(seconds["forward"]),
        "backward": _ms(seconds["gradients"] - seconds["forward"]),
        "optimiser": _ms(seconds["step"] - seconds["gradients"]),
        "step": _ms(seconds["step"]),
    }


def _draw(phases: dict[str, float], bound_ms: float, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.2), layout="constrained")
    axes, left = figure.subplots(), 0.0
    for name in ("forward", "backward", "optimiser"):
        axes.barh("a step", phases[name], left=left, label=name)
        left += phases[name]
    axes.barh("making its batch", phases["making a batch"], label="input pipeline, another thread")
    axes.barh("its multiplies alone", bound_ms, label="bound")
    axes.set_xlabel("processor milliseconds")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def _tensors(arrays: Batch) -> "dict[str, tf.Tensor]":
    return {
        name: _tensors(value) if isinstance(value, dict) else tf.convert_to_tensor(value)
        for name, value in arrays.items()
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


if __name__ == "__main__":
    typer.run(main)
