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
from recsys.model.examples import Batch, Batches, catalogue_rows, training_examples
from recsys.model.export import export_towers
from recsys.model.inputs import item_inputs, query_inputs
from recsys.model.retrieval import TwoTower, with_history_vectors
from recsys.model.sizes import Sizes
from recsys.model.validation import ndcg_at_k

Array: TypeAlias = NDArray[np.generic]

_VALIDATION = 1  # the split's number in EventArrays
_CHUNK = 8192  # items encoded at a time outside training
_MAX_VALIDATION_USERS = 5000  # the mean over 5,000 users has a standard error of about 0.003
_AVERAGE = 0.99  # weights are averaged over about the last 100 steps, which are noisier than they are wrong
_CLIP_NORM = 1.0  # a rare batch must not undo an epoch


class Trainer:
    """One model in training: its weights, optimizer, batches and random generators."""

    def __init__(self, config: ModelConfig, dataset: Dataset) -> None:
        tf.keras.utils.set_random_seed(config.seed)
        self._config = config
        self._dataset = dataset
        self._generator = np.random.default_rng(config.seed)
        self._sizes = Sizes.of(config, dataset)
        examples = training_examples(dataset)
        rows = catalogue_rows(dataset)
        self.full = config.loss == "full" or (config.loss == "auto" and len(rows) <= config.full_softmax_max_items)
        self._batches = Batches(dataset, examples, config.history_length, self.full)
        self._catalogue = _tensors(item_inputs(dataset.items, rows)) if self.full else None
        self._model = TwoTower(config, self._sizes, self.full)
        self._optimizer = tf.keras.optimizers.Adam(config.learning_rate, global_clipnorm=_CLIP_NORM)
        # Shorter at first, or the first epochs would be averaged with the random start.
        self._average = tf.train.ExponentialMovingAverage(_AVERAGE, num_updates=self._optimizer.iterations)
        self._step = tf.function(self._train_step, reduce_retracing=True)
        self._encode = tf.function(self._model.item_tower, reduce_retracing=True)
        self._heldout = _draw(heldout(dataset, _VALIDATION), config.seed)
        self.has_validation = len(self._heldout.user_rows) > 0
        self._n_steps = 0

    @property
    def n_parameters(self) -> int:
        """The number of trained weights."""
        return int(sum(np.prod(variable.shape) for variable in self._model.trainable_variables))

    def weights(self) -> list[NDArray[np.float32]]:
        """Return a copy of every weight, averaged over the last steps."""
        return [self._average.average(variable).numpy().copy() for variable in self._model.trainable_variables]

    def restore(self, weights: list[NDArray[np.float32]]) -> None:
        """Put weights back."""
        for variable, value in zip(self._model.trainable_variables, weights, strict=True):
            variable.assign(value)

    def epoch(self, number: int) -> dict[str, float]:
        """Train on every example once, then validate; return loss, val_ndcg_at_10 and examples_per_s."""
        started, losses, n_examples = time.perf_counter(), [], 0
        config = self._config
        for batch in self._batches.epoch(self._generator, config.batch_size, config.max_examples_per_epoch):
            losses.append(self._descend(batch, number))
            n_examples += len(np.asarray(batch["weight"]))
        seconds = time.perf_counter() - started
        return {
            "loss": float(np.mean(losses)),
            "val_ndcg_at_10": self._validate(),
            "examples_per_s": n_examples / seconds,
        }

    def item_vectors(self) -> NDArray[np.float32]:
        """Return unit vectors [n_items, D] of every item row."""
        n_items = len(self._dataset.items.ids)
        chunks = (slice(start, start + _CHUNK) for start in range(0, n_items, _CHUNK))
        return np.concatenate([self._encode(_tensors(item_inputs(self._dataset.items, rows))) for rows in chunks])

    def export(self, out_dir: Path) -> None:
        """Write the ONNX files and item vectors."""
        temperature = self._config.temperature
        export_towers(self._model, self._sizes, temperature, self._dataset.items, self.item_vectors(), out_dir)

    def _descend(self, batch: Batch, epoch: int) -> float:
        self._n_steps += 1
        inputs = _tensors(batch)
        if self._catalogue is not None:
            inputs["items"] = self._catalogue
        loss = float(self._step(inputs))
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self._n_steps} (epoch {epoch}) with model.learning_rate = "
                f"{self._config.learning_rate}; lower the learning rate, or look for infinite features"
            )
        return loss

    def _train_step(self, inputs: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(inputs, training=True)
        variables = self._model.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self._average.apply(variables)
        return loss

    def _validate(self) -> float:
        if not self.has_validation:
            return 0.0
        current = [variable.numpy().copy() for variable in self._model.trainable_variables]
        self.restore(self.weights())
        vectors, held = self.item_vectors(), self._heldout
        value = ndcg_at_k(self._queries(held, vectors), vectors, held.relevant, held.seen)
        self.restore(current)
        return value

    def _queries(self, held: Heldout, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = query_inputs(
            self._dataset,
            held.user_rows,
            held.history_end,
            held.query_time,
            held.device,
            self._config.history_length,
        )
        parts = []
        for start in range(0, len(held.user_rows), self._config.batch_size):
            part = {name: tf.constant(array[start : start + self._config.batch_size]) for name, array in inputs.items()}
            parts.append(self._model.query_tower(with_history_vectors(part, tf.constant(vectors))).numpy())
        return np.concatenate(parts)


def _tensors(arrays: Mapping[str, Array | dict[str, Array]]) -> dict[str, "tf.Tensor"]:
    return {
        name: _tensors(value) if isinstance(value, dict) else tf.convert_to_tensor(value)
        for name, value in arrays.items()
    }


def _draw(held: Heldout, seed: int) -> Heldout:
    n_users = len(held.user_rows)
    if n_users <= _MAX_VALIDATION_USERS:
        return held
    chosen = np.sort(np.random.default_rng(seed).choice(n_users, _MAX_VALIDATION_USERS, replace=False))
    return replace(held, **{field.name: getattr(held, field.name)[chosen] for field in fields(held)})
