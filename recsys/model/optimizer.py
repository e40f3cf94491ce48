"""Adam that touches only the rows of a table which a batch has used, with a schedule and averaged weights."""

from collections.abc import Sequence

from recsys.model._tensorflow import tf

_BETA_1, _BETA_2 = 0.9, 0.98
_EPSILON = 1e-6  # gradients below it are rounding noise, which Adam would blow up to whole steps
_CLIP_NORM = 1.0  # a rare batch must not undo an epoch
_AVERAGE = 0.99  # weights are averaged over about the last 100 steps, which are noisier than they are wrong
_LARGEST_AVERAGED = 4_000_000  # cells; averaging a larger table would cost more than its rows' updates


class Optimizer:
    """Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019).

    Moments of a table's row decay when the row is used, so that a step costs the rows it touches whatever the size of
    the table (lazy Adam).
    """

    def __init__(self, variables: "Sequence[tf.Variable]", weight_decay: float) -> None:
        self._variables = list(variables)
        self._weight_decay = weight_decay
        self._first = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in self._variables]
        self._second = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in self._variables]
        self._averages = [
            tf.Variable(variable, trainable=False) if tf.size(variable) <= _LARGEST_AVERAGED else None
            for variable in self._variables
        ]
        self._step = tf.Variable(0.0, trainable=False)

    def apply(self, gradients: "Sequence[tf.Tensor | tf.IndexedSlices]", learning_rate: "tf.Tensor") -> None:
        """Take one step on gradients aligned with the variables."""
        self._step.assign_add(1.0)
        clipped, _ = tf.clip_by_global_norm(gradients, _CLIP_NORM)
        # Both moments start at 0; the factor undoes that bias for the step as a whole.
        rate = learning_rate * tf.sqrt(1 - _BETA_2**self._step) / (1 - _BETA_1**self._step)
        for place, gradient in enumerate(clipped):
            if isinstance(gradient, tf.IndexedSlices):
                self._rows(place, gradient, rate, learning_rate)
            else:
                self._whole(place, gradient, rate, learning_rate)
        # Shorter at first, or the first steps would be averaged with the random start.
        decay = tf.minimum(_AVERAGE, self._step / (self._step + 9.0))
        for variable, average in zip(self._variables, self._averages, strict=True):
            if average is not None:
                average.assign_sub((1 - decay) * (average - variable))

    def averaged(self) -> "list[tf.Tensor]":
        """Return every variable's average over the last steps; a large table as it is."""
        return [
            variable if average is None else average
            for variable, average in zip(self._variables, self._averages, strict=True)
        ]

    def _whole(self, place: int, gradient: "tf.Tensor", rate: "tf.Tensor", learning_rate: "tf.Tensor") -> None:
        first, second, variable = self._first[place], self._second[place], self._variables[place]
        first.assign(_BETA_1 * first + (1 - _BETA_1) * gradient)
        second.assign(_BETA_2 * second + (1 - _BETA_2) * gradient**2)
        change = rate * first / (tf.sqrt(second) + _EPSILON)
        variable.assign_sub(change + learning_rate * self._weight_decay * variable)

    def _rows(self, place: int, slices: "tf.IndexedSlices", rate: "tf.Tensor", learning_rate: "tf.Tensor") -> None:
        rows, position = tf.unique(slices.indices)
        gradient = tf.math.unsorted_segment_sum(slices.values, position, tf.size(rows))
        variable = self._variables[place]
        first = _BETA_1 * tf.gather(self._first[place], rows) + (1 - _BETA_1) * gradient
        second = _BETA_2 * tf.gather(self._second[place], rows) + (1 - _BETA_2) * gradient**2
        self._first[place].scatter_update(tf.IndexedSlices(first, rows))
        self._second[place].scatter_update(tf.IndexedSlices(second, rows))
        decay = learning_rate * self._weight_decay * tf.gather(variable, rows)
        variable.scatter_sub(tf.IndexedSlices(rate * first / (tf.sqrt(second) + _EPSILON) + decay, rows))


def learning_rate_at(step: int, n_steps: int, peak: float) -> float:
    """Return the rate of a step, from 0: a rise over the first tenth or 200 steps, then a straight fall to 2 %.

    >>> learning_rate_at(1000, 1000, 0.01)
    0.0002
    """
    n_rising = max(1, min(200, n_steps // 10))
    falling = (n_steps - step) / max(n_steps - n_rising, 1)
    return peak * min((step + 1) / n_rising, max(0.02, falling))
