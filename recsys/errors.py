"""Errors that callers must tell apart. Data errors never get better by trying again; the rest may."""

from recsys.redaction import without_secrets


class RecsysError(Exception):
    """Base of every error this package raises on purpose; no text of one shows a credential of an address in it."""

    def __init__(self, *told: object) -> None:
        super().__init__(*(without_secrets(each) if isinstance(each, str) else each for each in told))


class ConfigError(RecsysError):
    """A setting is missing, unknown or contradicts another."""


class DataError(RecsysError):
    """The data itself is wrong: a retry with the same input fails again."""


class SourceError(DataError):
    """A source cannot be read as the data contract demands."""


class ValidationFailedError(DataError):
    """Too many rows failed an expectation, or an expectation about the whole table failed."""


class GateError(RecsysError):
    """A candidate model was refused by a promotion gate."""


class StorageError(RecsysError):
    """A file cannot be written, or does not hold what its manifest says."""


class TrainingError(RecsysError):
    """Training cannot start or has diverged."""


class RegistryError(RecsysError):
    """The model registry cannot be reached or does not hold what was asked for."""


class NotFoundError(DataError):
    """The item or user that was asked for is not known."""


class RefusedError(DataError):
    """A request is refused for a reason its sender may read: the text must hold no id of a person or an item."""
