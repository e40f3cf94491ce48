"""Adam that touches only the rows of a table which a batch has used, with a schedule and averaged weights."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.model._tensorflow import tf

Gradient: TypeAlias = "tf.Tensor | tf.IndexedSlices"

_BETA_1, _BETA_2 = 0.9, 0.98
_EPSILON = 1e-6  # gradients below it are rounding noise, which Adam would blow up to whole steps
_CLIP_NORM = 1.0  # a rare batch must not undo an epoch
_AVERAGE = 0.998  # weights are averaged over about the last 500 steps, which are noisier than they are wrong


class Optimizer:
    """Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019) and averaged weights.

    Of a table only the rows that a step uses are moved, decayed and averaged, so that a step costs the same whatever
    the size of the table (lazy Adam). Such rows have one second moment each, the mean over their columns. `gradients`,
    of any step, tell which variables are tables: those whose gradients are IndexedSlices.
    """

    def __init__(
        self, variables: "Sequence[tf.Variable]", gradients: "Sequence[Gradient]", weight_decay: float
    ) -> None:
        self._variables = list(variables)
        self._weight_decay = weight_decay
        tables = [place for place, gradient in enumerate(gradients) if isinstance(gradient, tf.IndexedSlices)]
        self._first = [_zeros(variable.shape) for variable in self._variables]
        self._second = [
            _zeros([variable.shape[0], 1] if place in tables else variable.shape)
            for place, variable in enumerate(self._variables)
        ]
        self._averages = [tf.Variable(variable, trainable=False) for variable in self._variables]
        self._step = tf.Variable(0.0, trainable=False)
        self._faded = tf.Variable(0.0, trainable=False)  # sum of the logarithms of all steps' decays
        # Of each row of a table, when its average was last brought forward.
        self._faded_at = {place: _zeros([self._variables[place].shape[0], 1]) for place in tables}

    def apply(self, gradients: "Sequence[Gradient]", learning_rate: "tf.Tensor") -> None:
        """Take one step on gradients aligned with the variables."""
        self._step.assign_add(1.0)
        clipped, _ = tf.clip_by_global_norm(gradients, _CLIP_NORM)
        # Both moments start at 0; the factor undoes that bias for the step as a whole.
        rate = learning_rate * tf.sqrt(1 - _BETA_2**self._step) / (1 - _BETA_1**self._step)
        # Shorter at first, or the first steps would be averaged with the random start.
        decay = tf.minimum(_AVERAGE, self._step / (self._step + 3.0))
        for place, gradient in enumerate(clipped):
            if isinstance(gradient, tf.IndexedSlices):
                self._rows(place, gradient, rate, learning_rate)
            else:
                self._whole(place, gradient, rate, learning_rate)
                self._averages[place].assign_sub((1 - decay) * (self._averages[place] - self._variables[place]))
        self._faded.assign_add(tf.math.log(decay))

    def averaged(self) -> list[NDArray[np.float32]]:
        """Return a copy of every variable's average over the last steps."""
        averages = [np.array(average) for average in self._averages]
        for place, faded_at in self._faded_at.items():  # in place: a table may be large
            average, value = averages[place], self._variables[place].numpy()
            average -= value
            average *= np.exp(self._faded.numpy() - faded_at.numpy())
            average += value
        return averages

    def _whole(self, place: int, gradient: "tf.Tensor", rate: "tf.Tensor", learning_rate: "tf.Tensor") -> None:
        first, second, variable = self._first[place], self._second[place], self._variables[place]
        first.assign(_BETA_1 * first + (1 - _BETA_1) * gradient)
        second.assign(_BETA_2 * second + (1 - _BETA_2) * gradient**2)
        change = rate * first / (tf.sqrt(second) + _EPSILON)
        variable.assign_sub(change + learning_rate * self._weight_decay * variable)

    def _rows(self, place: int, slices: "tf.IndexedSlices", rate: "tf.Tensor", learning_rate: "tf.Tensor") -> None:
        rows, position = tf.unique(slices.indices)
        gradient = tf.math.unsorted_segment_sum(slices.values, position, tf.size(rows))
        variable, average = self._variables[place], self._averages[place]
        second = self._second[place]
        before, faded_at = tf.gather(variable, rows), tf.gather(self._faded_at[place], rows)
        # Since its last use the row has not moved, so that its average is brought forward in one go.
        kept = tf.exp(self._faded - faded_at)
        _put(average, rows, before + kept * (tf.gather(average, rows) - before))
        _put(self._faded_at[place], rows, tf.fill(tf.shape(faded_at), self._faded))
        mean_square = tf.reduce_mean(gradient**2, axis=1, keepdims=True)
        first_moment = _BETA_1 * tf.gather(self._first[place], rows) + (1 - _BETA_1) * gradient
        second_moment = _BETA_2 * tf.gather(second, rows) + (1 - _BETA_2) * mean_square
        _put(self._first[place], rows, first_moment)
        _put(second, rows, second_moment)
        change = rate * first_moment / (tf.sqrt(second_moment) + _EPSILON)
        _put(variable, rows, before - change - learning_rate * self._weight_decay * before)


def _zeros(shape: "Sequence[int]") -> "tf.Variable":
    return tf.Variable(tf.zeros(shape), trainable=False)


def _put(variable: "tf.Variable", rows: "tf.Tensor", values: "tf.Tensor") -> None:
    variable.scatter_update(tf.IndexedSlices(values, rows))


def learning_rate_at(step: int, n_steps: int, peak: float) -> float:
    """Return the rate of a step, from 0: a rise over the first tenth or 200 steps, then a straight fall to 2 %.

    >>> learning_rate_at(1000, 1000, 0.01)
    0.0002
    """
    n_rising = max(1, min(200, n_steps // 10))
    falling = (n_steps - step) / max(n_steps - n_rising, 1)
    return peak * min((step + 1) / n_rising, max(0.02, falling))
