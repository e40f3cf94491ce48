"""The one place where TensorFlow is imported: with Keras 2, as TensorFlow Recommenders needs, and without chatter."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hide what TensorFlow's C++ start writes to file descriptor 2 before its own log level is read."""
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


with _quiet_start():
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

tf.get_logger().setLevel("ERROR")
# One seed gives one result: no sum depends on which thread comes first. Costs no time that could be measured.
tf.config.experimental.enable_op_determinism()

__all__ = ["tf", "tfrs"]
