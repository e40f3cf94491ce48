"""One model in training: weights, optimizer, batches and validation."""

import math
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.config import ModelConfig
from recsys.errors import TrainingError
from recsys.features import Dataset, Heldout, heldout
from recsys.model._tensorflow import tf
from recsys.model.batches import Batch, Batches
from recsys.model.content_start import ContentWeights, fit_content
from recsys.model.examples import Task, catalogue_rows, task_of, training_examples, trust
from recsys.model.export import export_towers
from recsys.model.inputs import item_inputs, query_inputs
from recsys.model.optimizer import Optimizer, learning_rate_at
from recsys.model.retrieval import TwoTower, with_history_vectors
from recsys.model.sizes import Sizes
from recsys.model.spectral import starting_vectors
from recsys.model.validation import ndcg_at_k
from recsys.model.warm import Predecessor, save_query_weights, weight_shapes

Array: TypeAlias = NDArray[np.generic]

_VALIDATION = 1  # the split's number in EventArrays
_EVENTS = 100_000  # events at which weights decay by `l2`: the more events, the less a prior says
_GENTLE_RATE = 0.3  # of the peak learning rate, where the start is nearly as good as what is to come
_NARROW = 64  # dimensions beyond which the rate falls as 1 / width: Adam moves every one alike (Yang et al. 2022)
_FEWEST_EVENTS = 25_000  # fewer count as so many: stronger decay would leave nothing
_SCALES = tuple(2.0**step for step in range(2, -7, -1))  # of candidates, to try
_POPULARITY = (0.0, 0.25, 0.5, 1.0, 2.0)  # factors of their last dimension, to try
_CHUNK = 8192  # items encoded at a time outside training
_QUERIES = 1024  # users encoded at a time outside training
_MAX_VALIDATION_USERS = 5000  # the mean over 5,000 users has a standard error of about 0.003
_MAX_VALIDATION_SCORES = 1_000_000_000  # users x items; bounds the time where the catalogue is huge


class Trainer:
    """One model in training: its weights, optimizer, batches and random generators."""

    def __init__(self, config: ModelConfig, dataset: Dataset, predecessor: Predecessor | None = None) -> None:
        tf.keras.utils.set_random_seed(config.seed)
        self._config = config
        self._dataset = dataset
        self._predecessor = predecessor
        self.warm = False  # whether training goes on from the predecessor: known once the weights are made
        self._generator = np.random.default_rng(config.seed)
        self._sizes = Sizes.of(config, dataset)
        examples = self._examples = training_examples(dataset)
        rows = catalogue_rows(dataset)
        self.full = config.scores_all(len(rows))
        self.task: Task = task_of(dataset, _VALIDATION) if config.task == "auto" else config.task
        self._batches = Batches.of(config, dataset, examples, full=self.full, task=self.task)
        self._catalogue = _tensors(item_inputs(dataset.items, rows)) if self.full else None
        self._model = TwoTower(config, self._sizes, ordered=self.task != "any")
        self._optimizer: Optimizer | None = None
        self._encode = tf.function(self._model.item_tower, reduce_retracing=True, autograph=False)
        self._query = tf.function(self._model.query_tower, reduce_retracing=True, autograph=False)
        self._heldout = _draw(heldout(dataset, _VALIDATION))
        self.n_validation = len(self._heldout.user_rows)
        self._steps_per_epoch = max(
            1, round(min(config.examples_per_epoch, len(examples.positions)) / config.batch_size)
        )
        self._n_steps = 0

    @property
    def dim(self) -> int:
        """The width of the vectors."""
        return self._sizes.dim

    @property
    def peak_rate(self) -> float:
        """The learning rate at the schedule's peak."""
        gentle = self.warm or self.task == "any"
        return self._config.learning_rate * min(1.0, _NARROW / self.dim) * (_GENTLE_RATE if gentle else 1.0)

    @property
    def n_parameters(self) -> int:
        """The number of trained weights."""
        return int(sum(np.prod(variable.shape) for variable in self._model.trainable_variables))

    def weights(self) -> list[NDArray[np.float32]]:
        """Return a copy of every weight, averaged over the last steps; raise TrainingError where one is not finite."""
        assert self._optimizer is not None, "nothing was trained yet"  # noqa: S101
        with np.errstate(invalid="ignore", over="ignore"):  # told in words
            weights = self._optimizer.averaged()
            finite = all(np.isfinite(each.sum()) for each in weights)  # a sum needs no copy
        if not finite:
            raise self._diverged("a weight is no longer finite after")
        return weights

    def restore(self, weights: list[NDArray[np.float32]]) -> None:
        """Put weights back."""
        for variable, value in zip(self._model.trainable_variables, weights, strict=True):
            variable.assign(value)

    def epoch(self) -> dict[str, float]:
        """Train on one pass, or `examples_per_epoch` of it, then validate.

        Returns `loss`, `val_ndcg_at_10` and `examples_per_s`.
        """
        started, losses, n_examples = time.perf_counter(), [], 0
        for batch in self._batches.epoch(self._generator, self._config.batch_size, self._steps_per_epoch):
            losses.append(self._descend(batch))
            n_examples += len(np.asarray(batch["target"]))
        seconds = time.perf_counter() - started
        return {
            "loss": float(np.mean(losses)),
            "val_ndcg_at_10": self._validate(),
            "examples_per_s": n_examples / seconds,
        }

    def vectors(self) -> NDArray[np.float32]:
        """Return candidate beside history vectors [n_items, 2 D] of every item row."""
        items = self._dataset.items
        result = np.empty((len(items.ids), 2 * self._sizes.dim), np.float32)
        for start in range(0, len(result), _CHUNK):
            rows = slice(start, start + _CHUNK)
            result[rows] = self._encode(_tensors(item_inputs(items, rows)))
        return result

    def export(self, out_dir: Path) -> None:
        """Write the ONNX files and item vectors."""
        export_towers(self._model, self._sizes, self._dataset.items, self.vectors(), out_dir)
        save_query_weights(self._model.query_tower, self._dataset.spec, out_dir)

    def _descend(self, batch: Batch) -> float:
        inputs = _tensors(batch)
        if self._catalogue is not None:
            inputs["items"] = self._catalogue
        if self._optimizer is None:
            self._optimizer = self._begin(inputs)
        rate = self._rate(self._n_steps)
        self._n_steps += 1
        loss = float(self._step(inputs, tf.constant(rate, tf.float32)))
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss} at")
        return loss

    def _rate(self, step: int) -> float:
        return learning_rate_at(step, self._config.epochs * self._steps_per_epoch, self.peak_rate)

    def _diverged(self, what: str) -> TrainingError:
        config, epoch, rate = self._config, -(-self._n_steps // self._steps_per_epoch), self._rate(self._n_steps - 1)
        return TrainingError(
            f"{what} step {self._n_steps} (epoch {epoch}) and learning rate {rate:.3g}, of model.learning_rate = "
            f"{config.learning_rate} with model.l2 = {config.l2}; lower them, or look for infinite features"
        )

    def _begin(self, inputs: Mapping[str, "tf.Tensor"]) -> Optimizer:
        """Make the weights, set where they start and return what moves them."""
        with tf.GradientTape() as tape:  # the first call makes the weights
            loss = self._model.compute_loss(inputs)
        variables = self._model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._start(inputs)
        self._step = tf.function(
            self._train_step,
            input_signature=[tf.nest.map_structure(_any_size, inputs), tf.TensorSpec([], tf.float32)],
            autograph=False,
        )
        weight_decay = self._config.l2 * _EVENTS / max(len(self._examples), _FEWEST_EVENTS)
        return Optimizer(variables, gradients, weight_decay)

    def _start(self, inputs: Mapping[str, "tf.Tensor"]) -> None:
        """Start from the predecessor where there is one that fits, else from the data."""
        config, items, towers, dim = self._config, self._dataset.items, self._model, self._sizes.dim
        before, shares = self._predecessor, trust(self._batches.counts, self._batches.hours)
        ids = np.asarray(items.vocab), shares
        if before and before.fits(dim, weight_shapes(towers.query_tower)):
            self.warm = True
            before.start(towers.query_tower, self._dataset.spec)
            vectors, known = before.item_vectors(items.ids)
            towers.item_tower.start(*ids, *self._parted(towers.item_tower.encoded(vectors), known))
            return
        start = starting_vectors(self._dataset, self._examples, self.task, dim, config.seed)
        rest, content = self._parted(start, np.asarray(start.any(axis=1)))
        rest *= shares[:, np.newaxis]
        towers.item_tower.start(*ids, rest, content)
        queries, candidates = towers.encode(inputs)

        def factors(scale: float, popularity: float) -> NDArray[np.float32]:
            return np.array([scale] * (dim - 1) + [popularity], np.float32)

        def loss_at(scale: float, popularity: float) -> float:
            return float(towers.loss_of(queries, candidates * factors(scale, popularity), inputs))

        scale, popularity = 0.25, 0.25
        for _ in range(2):
            scale = min(_SCALES, key=lambda tried: loss_at(tried, popularity))
            popularity = min(_POPULARITY, key=lambda tried: loss_at(scale, tried))
        found = factors(scale, popularity)
        if self.task == "any":  # the candidates' table says histories too: let the queries answer instead
            towers.query_tower.times(found)
        else:
            found = np.concatenate([found, np.ones(dim, np.float32)])
            towers.item_tower.start(*ids, rest * found, content.times(found))

    def _parted(
        self, vectors: NDArray[np.float32], known: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], ContentWeights]:
        """Part item vectors into what content explains, as weights, and the rest [n_items, K] of the known items."""
        items, sizes = self._dataset.items, self._sizes
        tables = sizes.n_categories, sizes.n_creators, sizes.n_languages
        content = fit_content(items, vectors, self._batches.counts * known, tables)
        return np.where(known[:, np.newaxis], vectors - content.predict(items), 0).astype(np.float32), content

    def _train_step(self, inputs: Mapping[str, "tf.Tensor"], rate: "tf.Tensor") -> "tf.Tensor":
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(inputs, training=True)
        if self._optimizer is not None:
            self._optimizer.apply(tape.gradient(loss, self._model.trainable_variables), rate)
        return loss

    def _validate(self) -> float:
        if not self.n_validation:
            return 0.0
        current = [variable.numpy().copy() for variable in self._model.trainable_variables]
        self.restore(self.weights())
        vectors, held = self.vectors(), self._heldout
        candidates, past = vectors[:, : self._sizes.dim], vectors[:, self._sizes.dim :]
        value = ndcg_at_k(self._queries(held, past), candidates, held.relevant, held.seen, held.candidates)
        self.restore(current)
        return value

    def _queries(self, held: Heldout, past: NDArray[np.float32]) -> NDArray[np.float32]:
        parts, known = [], tf.constant(past)
        for start in range(0, len(held.user_rows), _QUERIES):
            part = slice(start, start + _QUERIES)
            inputs = query_inputs(
                self._dataset,
                held.user_rows[part],
                held.history_end[part],
                held.query_time[part],
                held.device[part],
                self._config.history_length,
            )
            parts.append(self._query(with_history_vectors(_tensors(inputs), known)).numpy())
        return np.concatenate(parts)


def _tensors(arrays: Mapping[str, Array | dict[str, Array]]) -> dict[str, "tf.Tensor"]:
    return {
        name: _tensors(value) if isinstance(value, dict) else tf.convert_to_tensor(value)
        for name, value in arrays.items()
    }


def _any_size(tensor: "tf.Tensor") -> "tf.TensorSpec":
    """Return what tensors like this one are, of however many windows, slots and candidates."""
    return tf.TensorSpec([None] * min(tensor.ndim, 2) + tensor.shape[2:], tensor.dtype)


def _draw(held: Heldout) -> Heldout:
    """Return the users who choose the epoch, the same whatever the seed of the training."""
    n_users, n_items = held.relevant.shape
    n_chosen = min(_MAX_VALIDATION_USERS, max(1, _MAX_VALIDATION_SCORES // n_items))
    if n_users <= n_chosen:
        return held
    chosen = np.sort(np.random.default_rng(0).choice(n_users, n_chosen, replace=False))
    per_user = [field.name for field in fields(held) if field.name != "candidates"]
    return replace(held, **{name: getattr(held, name)[chosen] for name in per_user})
