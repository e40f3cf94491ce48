"""Features' one door: from validated tables to the arrays every model, baseline and metric reads."""

from recsys.features.availability import available_at
from recsys.features.blind import without_test
from recsys.features.build import build_features, frames_to_dataset, load_dataset, load_spec, reindex
from recsys.features.cases import case_dataset
from recsys.features.content import content_vectors
from recsys.features.dataset import Dataset, EventArrays, ItemArrays, UserArrays
from recsys.features.encode import encode_items, encode_users
from recsys.features.events import positive
from recsys.features.followers import followers
from recsys.features.heldout import Heldout, Requested, heldout, histories_of, requested
from recsys.features.histories import HistoryBatch, context_of, histories
from recsys.features.kernel import content_kernel, predicted_by_content
from recsys.features.protocols import GIVEN
from recsys.features.redact import (
    REMOVED,
    redact_features,
    redacted,
    redacted_from,
    without_events_before,
    without_people,
    without_users,
)
from recsys.features.ridge import ridge_regression, rows_to_regress
from recsys.features.segments import SEGMENT_COLUMNS, Segments
from recsys.features.spec import FeatureSpec
from recsys.features.split import TEST, TRAIN, VALIDATION
from recsys.features.strings import StringColumn
from recsys.features.tastes import inverse_power
from recsys.features.text import TextModel

__all__ = [
    "GIVEN",
    "REMOVED",
    "SEGMENT_COLUMNS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Dataset",
    "EventArrays",
    "FeatureSpec",
    "Heldout",
    "HistoryBatch",
    "ItemArrays",
    "Requested",
    "Segments",
    "StringColumn",
    "TextModel",
    "UserArrays",
    "available_at",
    "build_features",
    "case_dataset",
    "content_kernel",
    "content_vectors",
    "context_of",
    "encode_items",
    "encode_users",
    "followers",
    "frames_to_dataset",
    "heldout",
    "histories",
    "histories_of",
    "inverse_power",
    "load_dataset",
    "load_spec",
    "positive",
    "predicted_by_content",
    "redact_features",
    "redacted",
    "redacted_from",
    "reindex",
    "requested",
    "ridge_regression",
    "rows_to_regress",
    "without_events_before",
    "without_people",
    "without_test",
    "without_users",
]
