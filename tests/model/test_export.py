"""What was exported is compared with what was trained, each kind of vector by its own size."""

import numpy as np
import pytest

from recsys.errors import TrainingError
from recsys.model.export import _compare


def vectors(candidate=0.0, history=0.0):
    """Three items' candidate and history vectors, float32[3, 2, 4]; the second item has the values."""
    made = np.zeros((3, 2, 4), np.float32)
    made[1, 0, 2], made[1, 1, 3] = candidate, history
    return made


def test_what_agrees_passes_whatever_its_size():
    _compare("item", [(vectors(2.0, 100.0), vectors(2.0, 100.005)), (vectors(), vectors())])
    _compare("item", [])


@pytest.mark.parametrize(
    ("exported", "trained"),
    [
        (vectors(0.001, 100.0), vectors(0.0, 100.0)),  # small beside the histories, not beside the candidates
        (vectors(0.0, 100.02), vectors(0.0, 100.0)),
        (vectors(np.nan), vectors()),
        (vectors(), vectors(0.0, np.nan)),
    ],
)
def test_what_differs_in_any_chunk_is_refused(exported, trained):
    alike = vectors(0.5, 100.0)
    with pytest.raises(TrainingError, match="the exported item tower differs"):
        _compare("item", [(alike, alike), (exported, trained), (alike, alike)])
