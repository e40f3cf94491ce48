"""The matrix multiplies of a training step: their sizes from the batch, their operations, their time alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from recsys.model import item_tower, query_tower
from recsys.model._tensorflow import tf
from recsys.model.batches import Batch
from recsys.model.pooling import KEY, N_HEADS
from recsys.model.sizes import Sizes

_BACKWARD = 2  # multiplies a gradient needs for each one forward
_LARGE = 2048  # side of the square multiply that shows the machine's peak


@dataclass(frozen=True)
class Multiply:
    """`n_times` independent products [m, k] x [k, n], forward; a step does three for each."""

    name: str
    m: int
    k: int
    n: int
    n_times: int = 1

    @property
    def flop(self) -> float:
        """Floating-point operations of a step, backward included."""
        return 2.0 * self.m * self.k * self.n * self.n_times * (1 + _BACKWARD)


def multiplies(batch: Batch, n_candidates: int, sizes: Sizes) -> list[Multiply]:
    """Return the multiplies of a step of ordered towers on a batch scored against `n_candidates` items."""
    (n_windows, length), dim = batch["history"].shape, sizes.dim  # type: ignore[union-attr]
    slots, queries = n_windows * length, len(batch["slots"])
    counted = [("categories", sizes.n_categories - 1)] if sizes.n_categories <= item_tower.FEW else []
    inputs = [("text", sizes.text_dim), ("numeric", sizes.numeric_dim), *counted]
    refined = [
        Multiply("item hidden", n_candidates, dim, item_tower.WIDEN * dim, 2),
        Multiply("item out", n_candidates, item_tower.WIDEN * dim, dim, 2),
    ]
    return [
        Multiply("softmax", queries, dim, n_candidates),
        *(Multiply(f"item {name}", n_candidates, width, dim, 2) for name, width in inputs),
        *(refined if sizes.has_content else []),
        Multiply("pooling", length, length, dim, n_windows * N_HEADS),
        Multiply("pooling content", slots, dim, N_HEADS),
        Multiply("pooling asks and keys", slots, dim, N_HEADS * KEY, 2),
        Multiply("pooling likeness", length, KEY, length, n_windows * N_HEADS),
        Multiply("query mix", queries, N_HEADS * dim, dim),
        Multiply("query hidden", queries, (N_HEADS + 2) * dim, query_tower.WIDEN * dim),
        Multiply("query out", queries, query_tower.WIDEN * dim, dim),
    ]


def bound(found: list[Multiply], repeats: int = 5) -> tuple[float, float]:
    """Return wall and processor seconds of nothing but a step's multiplies, forward and backward; best of `repeats`."""
    total = [_time(_as_step(each), repeats) for each in found]
    return sum(wall for wall, _ in total), sum(cpu for _, cpu in total)


def peak_gflops(repeats: int = 5) -> float:
    """Return the billions of operations per second of a large square float32 multiply, by the clock."""
    square = Multiply("square", _LARGE, _LARGE, _LARGE)
    return square.flop / _time(_as_step(square), repeats)[0] / 1e9


def _as_step(each: Multiply) -> "Callable[[], tf.Tensor]":
    lead = [each.n_times] if each.n_times > 1 else []
    left, right = tf.random.normal([*lead, each.m, each.k]), tf.random.normal([*lead, each.k, each.n])
    gradient = tf.random.normal([*lead, each.m, each.n])

    @tf.function
    def run() -> "tuple[tf.Tensor, ...]":
        return (
            tf.matmul(left, right),
            tf.matmul(gradient, right, transpose_b=True),
            tf.matmul(left, gradient, transpose_a=True),
        )

    return run


def _time(run: "Callable[[], tf.Tensor]", repeats: int) -> tuple[float, float]:
    run()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)
