"""Pseudonyms and coarse labels: what a person becomes before anything is stored.

User ids become HMAC-SHA256 values. Event, session and request ids may have a user id inside, so they become keyed
BLAKE2b values, which are twice as fast and just as one-way; nothing needs to match them with another system.
Columns a source declares as extra features pass unchanged: do not declare one that identifies a person.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import polars as pl

from recsys.config import Config, PrivacyConfig
from recsys.errors import ConfigError
from recsys.schema import AGE, LOCATION

DEVELOPMENT_KEY: Final = b"recsys development key, never for production"
DEVELOPMENT_KEY_ID: Final = "development"
_MIN_KEY_BYTES: Final = 16
_PSEUDONYM_BYTES: Final = 16  # 128 bits: no collision to expect below 10^18 ids
_MAX_AGE: Final = 120  # above it, an age is a typing error and no information
_MOSTLY_UNIQUE: Final = 0.9  # from this share of distinct ids on, looking them up costs more than hashing again


@dataclass(frozen=True)
class PseudonymKey:
    """The secret, and the public id by which manifests name it.

    `applied` says that user ids are pseudonyms made with it already and pass as they are.
    """

    key: bytes = field(repr=False)
    key_id: str
    applied: bool = False


def load_key(config: Config) -> PseudonymKey:
    """Read the key from the environment, or from the file the environment names.

    Local mode falls back to a fixed development key. Raises ConfigError for a missing or default key in production
    and for a key under 16 bytes.
    """
    key = _configured_key(config.privacy)
    wanted = f"set {config.privacy.key_env}, or {config.privacy.key_file_env} to a file, with at least 16 random bytes"
    if config.mode == "production" and not key:
        raise ConfigError(f"the pseudonym key is missing and mode is 'production'; {wanted}")
    if config.mode == "production" and key == DEVELOPMENT_KEY:
        raise ConfigError(f"the pseudonym key is the public development key and mode is 'production'; {wanted}")
    if not key or key == DEVELOPMENT_KEY:
        return PseudonymKey(DEVELOPMENT_KEY, DEVELOPMENT_KEY_ID)
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigError(f"the pseudonym key must have at least {_MIN_KEY_BYTES} bytes; got {len(key)}; {wanted}")
    return PseudonymKey(key, hashlib.sha256(b"key-id" + key).hexdigest()[:8])


def pseudonymise(ids: pl.Series, key: PseudonymKey) -> pl.Series:
    """Return the first 32 hex digits of each id's HMAC-SHA256 (RFC 2104) over its UTF-8 bytes; null stays null.

    Ids to which the key is applied already are returned as they are.
    """
    if key.applied:
        return ids
    return _hash_ids(ids, lambda text: pseudonym_of(text, key))


def mask_references(ids: pl.Series, key: PseudonymKey) -> pl.Series:
    """Return 32 hex digits of keyed BLAKE2b (RFC 7693) for each event, session or request id; null stays null."""
    secret = _reference_secret(key)
    return _hash_ids(ids, lambda text: _masked(text, secret))


def pseudonym_of(user_id: str, key: PseudonymKey) -> str:
    """Return the pseudonym that `pseudonymise` gives one id."""
    if key.applied:
        return user_id
    return hmac.digest(key.key, user_id.encode(), "sha256")[:_PSEUDONYM_BYTES].hex()


def masked_ids(ids: Sequence[str], key: PseudonymKey) -> list[str]:
    """Return what `mask_references` gives a few ids."""
    secret = _reference_secret(key)
    return [_masked(text, secret) for text in ids]


def _reference_secret(key: PseudonymKey) -> bytes:
    return hashlib.sha256(b"reference-id" + key.key).digest()


def _masked(text: str, secret: bytes) -> str:
    return hashlib.blake2b(text.encode(), key=secret, digest_size=_PSEUDONYM_BYTES).hexdigest()


def coarsen_users(users: pl.DataFrame, privacy: PrivacyConfig) -> pl.DataFrame:
    """Turn age into a band such as "18-24" and keep the first parts of a location; same rows, same order."""
    return users.with_columns(
        _age_band(pl.col(AGE), privacy.age_bands).alias(AGE),
        _first_parts(pl.col(LOCATION), privacy.location_parts).alias(LOCATION),
    )


def _configured_key(privacy: PrivacyConfig) -> bytes:
    if text := os.environ.get(privacy.key_env):
        return text.strip().encode()
    if path := os.environ.get(privacy.key_file_env):
        try:
            return Path(path).read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                f"cannot read the pseudonym key file named by {privacy.key_file_env}: {error.strerror}"
            ) from None
    return b""


def _hash_ids(ids: pl.Series, one: Callable[[str], str]) -> pl.Series:
    distinct = ids.drop_nulls().unique(maintain_order=True)
    if len(distinct) >= _MOSTLY_UNIQUE * len(ids):
        hashed = [None if text is None else one(text) for text in ids.to_list()]
        return pl.Series(ids.name, hashed, dtype=pl.String)
    table = pl.DataFrame({"id": distinct, "hashed": pl.Series([one(text) for text in distinct], dtype=pl.String)})
    joined = ids.rename("id").to_frame().join(table, on="id", how="left", maintain_order="left")
    return joined["hashed"].rename(ids.name)


def _age_band(age: pl.Expr, bands: tuple[int, ...]) -> pl.Expr:
    if not bands:
        return pl.lit(None, dtype=pl.String)
    first, last = bands[0], bands[-1]
    label = pl.when(age < 0).then(None).when(age > _MAX_AGE).then(None).when(age < first).then(pl.lit(f"<{first}"))
    for lower, upper in pairwise(bands):
        label = label.when(age < upper).then(pl.lit(f"{lower}-{upper - 1}"))
    return label.when(age >= last).then(pl.lit(f"{last}+")).otherwise(None).cast(pl.String)


def _first_parts(location: pl.Expr, n_parts: int) -> pl.Expr:
    if n_parts == 0:
        return pl.lit(None, dtype=pl.String)
    kept = location.str.split("/").list.head(n_parts).list.join("/")
    return pl.when(location.is_null() | (kept == "")).then(None).otherwise(kept)
