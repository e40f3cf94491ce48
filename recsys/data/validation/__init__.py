"""Validation's door. Importing it imports Great Expectations, so only `recsys.data.validate_partitions` does."""

from recsys.data.validation.validate import validate_partitions

__all__ = ["validate_partitions"]
