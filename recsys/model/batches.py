"""The input pipeline: users' events cut into windows, each event of a window a target of those it may see.

Every event is gathered once for all targets it helps to predict, batch by batch in a background thread, so that memory
stays bounded; every pass cuts and shuffles anew.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.config import ModelConfig
from recsys.features import Dataset, context_of
from recsys.model.examples import Examples, Task, catalogue_rows, first_hours
from recsys.model.inputs import item_inputs
from recsys.model.negatives import Neighbourhood

Batch: TypeAlias = dict[str, NDArray[np.generic] | dict[str, NDArray[np.generic]]]

_N_PARTS = 4  # queries of a window whose order says nothing, or that is asked for all that comes later
_MOMENTS = 0.0, 1 / 3, 2 / 3, 1.0  # places among a query's targets whose hours stand for those of all
_SHORTEST = 8  # windows are padded to 8, 16, 32, .. slots, so that short histories do not pay for long ones


class Batches:
    """Training batches of a dataset: of `n_negatives` items drawn a step, or with 0 of the whole catalogue.

    Of those drawn `n_hard` come from the neighbourhood of the batch's events, the others from everywhere.
    `counts` int64[n_items] are the events of every item, `hours` float32[n_items] their `first_hours`.
    """

    def __init__(
        self, dataset: Dataset, examples: Examples, length: int, *, n_negatives: int, task: Task, n_hard: int = 0
    ) -> None:
        self._dataset, self._examples = dataset, examples
        self._length, self._task, self._n_negatives, self._n_hard = length, task, n_negatives, n_hard
        self._rows = catalogue_rows(dataset)
        n_items = len(dataset.items.ids)
        self._place = np.zeros(n_items + 1, np.int32)  # 1 + item row -> 1 + place in the catalogue
        self._place[self._rows + 1] = np.arange(1, len(self._rows) + 1)
        items = np.asarray(dataset.events.item)[examples.positions]
        self.counts = np.bincount(items, minlength=n_items)
        self._share = self.counts[self._rows] / self.counts.sum()
        self._near = Neighbourhood(items, examples.offsets, self.counts) if n_hard else None
        self.hours = first_hours(dataset, examples)
        self._since = self.hours[self._rows]
        self._grows = bool(np.isfinite(self._since).any())

    @classmethod
    def of(cls, config: ModelConfig, dataset: Dataset, examples: Examples, *, full: bool, task: Task) -> Self:
        """Return the batches that a configuration asks for, `full` of the whole catalogue."""
        n_negatives, n_hard = (0, 0) if full else (config.n_negatives, config.n_hard)
        return cls(dataset, examples, config.history_length, n_negatives=n_negatives, n_hard=n_hard, task=task)

    def epoch(self, generator: np.random.Generator, batch_size: int, n_batches: int) -> Iterator[Batch]:
        """Yield batches of about `batch_size` slots, passing over all windows as often as it takes."""
        return _ahead(self._makers(generator, batch_size, n_batches), n_batches)

    def _makers(self, generator: np.random.Generator, batch_size: int, n_batches: int) -> Iterator[Callable[[], Batch]]:
        made = 0
        while made < n_batches:
            order = self._order(generator)
            starts, stops = self._cut(generator)
            for chosen, width in _batches(stops - starts, self._length, batch_size, generator):
                seed = int(generator.integers(2**32))
                yield partial(self.batch, order, starts[chosen], stops[chosen], width, seed)
                made += 1

    def _order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the examples in the order of a pass: in time, or shuffled within each user."""
        n = len(self._examples.positions)
        if self._task != "any":
            return np.arange(n)
        users = np.repeat(np.arange(len(self._examples.offsets) - 1), np.diff(self._examples.offsets))
        return np.lexsort((generator.random(n), users)).astype(np.int64)

    def _cut(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and stops of windows: users with more events than fit are cut at a random phase."""
        offsets, length = self._examples.offsets, self._length
        sizes = np.diff(offsets)
        phase = np.where(sizes > length, generator.integers(1, length + 1, len(sizes)), np.maximum(sizes, 1))
        n_windows = np.where(sizes > 0, 1 + -(-(sizes - phase) // length), 0)
        owner = np.repeat(np.arange(len(sizes)), n_windows)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        stops = np.minimum(offsets[owner] + phase[owner] + number * length, offsets[owner + 1])
        starts = np.where(number == 0, offsets[owner], offsets[owner] + phase[owner] + (number - 1) * length)
        return starts, stops

    def batch(
        self, order: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64], width: int, seed: int
    ) -> Batch:
        """Build the batch of some windows, padded on the left to `width` slots."""
        events, users = self._dataset.events, self._dataset.users
        places = stops[:, None] + np.arange(-width, 0)
        inside = places >= starts[:, None]
        generator = np.random.default_rng(seed)
        examples = order[np.where(inside, places, 0)]
        positions = self._examples.positions[examples]
        user_rows = np.searchsorted(self._examples.offsets, starts, side="right") - 1
        seconds = np.asarray(events.timestamp)[positions]
        items = np.where(inside, np.asarray(events.item)[positions] + 1, 0)
        weights = np.where(inside, self._examples.weights[examples], 0).astype(np.float32)
        targets = np.flatnonzero(weights.ravel())
        first = width - inside.sum(axis=1)  # [B], the first slot of each window
        slots, asked = np.unique(self._asked(targets, width, first, generator), return_inverse=True)
        return {
            "history_kinds": np.where(inside, np.asarray(events.kind)[positions], 0).astype(np.int32),
            "parts": ((np.arange(width) - first[:, None]) % _N_PARTS).astype(np.int32),
            "fresh": (weights > 0).astype(np.float32),
            "seconds": (seconds - seconds[:, -1:]).astype(np.int32),
            "context": context_of(
                seconds.ravel(), np.asarray(events.device)[positions].ravel(), timed=self._dataset.spec.timed
            ).reshape(*seconds.shape, 3),
            "user": np.asarray(users.vocab)[user_rows].astype(np.int32),
            "demographics": np.asarray(users.demographics)[user_rows].astype(np.int32),
            "slots": slots.astype(np.int32),
            "asked": asked.astype(np.int32),
            "weight": weights.ravel()[targets],
            **self._hours(seconds.ravel()[targets], asked, len(slots)),
            **self._candidates(self._place[items], targets, examples[inside], generator),
        }

    def _hours(self, seconds: NDArray[np.int64], asked: NDArray[np.intp], n_queries: int) -> Batch:
        """Return `until`, some hours float32[n_queries] of each query's targets: of the first, the last and between.

        Nothing where the catalogue was there from the start.
        """
        if not self._grows:
            return {}
        order = np.lexsort((seconds, asked))
        hours = (seconds[order] / 3600).astype(np.float32)
        n = np.bincount(asked, minlength=n_queries)
        first = np.cumsum(n) - n
        shares = (1.0,) if self._task == "next" else _MOMENTS
        return {"until": {str(share): hours[first + np.round(share * (n - 1)).astype(np.int64)] for share in shares}}

    def _asked(
        self, targets: NDArray[np.intp], width: int, first: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.intp]:
        """Return the slot whose query each target, itself a slot, is asked of.

        `next`: its own. `any`: the first of its part, of which all see the same. `later`: one of a few slots drawn from
        the window, at or before its own; the window's first where none is. Few queries for many targets save most of
        the softmax.
        """
        if self._task == "next":
            return targets
        window, slot = targets // width, targets % width
        start = first[window]
        if self._task == "any":
            return np.asarray(window * width + start + (slot - start) % _N_PARTS)
        places = first[:, None] + generator.random((len(first), _N_PARTS)) * (width - first[:, None])
        drawn = np.sort(places.astype(np.int64), axis=1)[window]
        n_before = (drawn <= slot[:, None]).sum(axis=1)
        chosen = (generator.random(len(targets)) * n_before).astype(np.int64)
        return np.asarray(window * width + np.where(n_before, drawn[np.arange(len(targets)), chosen], start))

    def _candidates(
        self,
        places: NDArray[np.int32],
        targets: NDArray[np.intp],
        examples: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> Batch:
        """Return `history`, `target` and `log_inclusion`; and `items` where only a sample is scored."""
        if not self._n_negatives:
            certain = np.zeros(len(self._rows), np.float32)
            found = {"history": places, "target": places.ravel()[targets] - 1, "log_inclusion": certain}
            return found | self._came(slice(None))
        n_anywhere = self._n_negatives - self._n_hard
        drawn = generator.integers(0, len(self._rows), n_anywhere)
        if self._near:
            near = self._near.items(generator.choice(examples, self._n_hard), generator)
            drawn = np.concatenate([drawn, self._place[near + 1] - 1])
        rows, inverse = np.unique(np.concatenate([[-1], places.ravel() - 1, drawn]), return_inverse=True)
        history = inverse[1 : 1 + places.size].reshape(places.shape).astype(np.int32)
        rows = rows[1:]  # row 0 of `rows` was padding
        n_events = np.count_nonzero(places)  # padding draws no item
        by_share = (n_events + self._n_hard) * np.log1p(-self._share[rows])
        missed = by_share + n_anywhere * np.log1p(-1 / len(self._rows))
        return {
            "history": history,
            "target": history.ravel()[targets] - 1,
            "log_inclusion": np.log(-np.expm1(missed)).astype(np.float32),
            "items": item_inputs(self._dataset.items, self._rows[rows]),
            **self._came(rows),
        }

    def _came(self, rows: NDArray[np.intp] | slice) -> Batch:
        """Return `since` of rows of the catalogue; nothing where it was there from the start."""
        return {"since": self._since[rows]} if self._grows else {}


def _batches(
    sizes: NDArray[np.int64], length: int, batch_size: int, generator: np.random.Generator
) -> list[tuple[NDArray[np.intp], int]]:
    """Group windows of like size into batches of about `batch_size` slots, in random order; with each its width."""
    widths = _SHORTEST * 2 ** np.ceil(np.log2(np.maximum(sizes, _SHORTEST) / _SHORTEST)).astype(np.int64)
    found = []
    for width in np.unique(widths):
        own = generator.permutation(np.flatnonzero(widths == width))
        n = max(1, batch_size // min(int(width), length))
        found += [(own[at : at + n], int(sizes[own[at : at + n]].max())) for at in range(0, len(own), n)]
    return [found[place] for place in generator.permutation(len(found))]


def _ahead(makers: Iterator[Callable[[], Batch]], n_batches: int) -> Iterator[Batch]:
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = [pool.submit(next(makers)) for _ in range(min(2, n_batches))]  # two ahead keep the trainer busy
        for number in range(n_batches):
            yield waiting.pop(0).result()
            if number + 2 < n_batches:
                waiting.append(pool.submit(next(makers)))
