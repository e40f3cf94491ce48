"""API keys: made, listed and revoked in a file below the storage root, which holds no key, only salted hashes."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from recsys.config.frozen import Frozen
from recsys.errors import ConfigError, StorageError
from recsys.storage import exists, join, locked, read_json, write_json

Scope = Literal["read", "write", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")  # each includes those before it
_PREFIX: Final = "rk"
_LONGEST: Final = 128
_SECRET_BYTES: Final = 32


class KeyRecord(Frozen):
    """One key without its secret; `rate` is the number of requests a second it may make on average."""

    key_id: str
    name: str = Field(min_length=1, max_length=100)
    scope: Scope
    rate: float = Field(gt=0, le=1_000_000)
    salt: str
    digest: str
    created_at: datetime

    def allows(self, scope: Scope) -> bool:
        """Tell whether the key's scope includes another."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


_RECORDS: Final[TypeAdapter[list[KeyRecord]]] = TypeAdapter(Annotated[list[KeyRecord], Field(max_length=10_000)])
_ABSENT: Final = KeyRecord(
    key_id="", name="-", scope="read", rate=1, salt="", digest="0" * 64, created_at=datetime.fromtimestamp(0)
)


@dataclass(frozen=True)
class Keyring:
    """The keys that count."""

    records: dict[str, KeyRecord]

    def find(self, presented: str) -> KeyRecord | None:
        """Return the record of a key, or None; the time it takes does not depend on how much of the secret is right."""
        if len(presented) > _LONGEST or not presented.isascii():
            return None
        key_id = presented.split("_", 2)[1] if presented.count("_") >= 2 else ""
        record = self.records.get(key_id, _ABSENT)
        right = hmac.compare_digest(_digest(record.salt, presented), record.digest)
        return record if right and record is not _ABSENT else None


def _digest(salt: str, key: str) -> str:
    """Hash a key. One SHA-256 is enough where a password would need scrypt.

    The secret is 256 random bits, so that nobody can try all of them however fast one try is; slow hashes protect
    secrets that people choose. The salt keeps equal keys of two deployments from being told equal.
    """
    return hashlib.sha256(f"{salt}:{key}".encode()).hexdigest()


def read_keyring(root: str) -> Keyring | None:
    """Return the keys of a storage root, or None where there is no key file; raise StorageError for a damaged one."""
    address = _address(root)
    if not exists(address):
        return None
    return Keyring({record.key_id: record for record in _read(address)})


def add_key(root: str, name: str, scope: Scope, rate: float, now: datetime) -> str:
    """Make a key and return it, the only time that it can be seen; raise ConfigError for a name that is taken."""
    with locked(root, "keys"):
        records = _present(root)
        if any(record.name == name for record in records):
            raise ConfigError(f"a key named {name!r} exists; revoke it first or choose another name")
        key_id = secrets.token_hex(6)
        secret = base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")
        key, salt = f"{_PREFIX}_{key_id}_{secret}", secrets.token_hex(16)
        try:
            record = KeyRecord(
                key_id=key_id, name=name, scope=scope, rate=rate, salt=salt, digest=_digest(salt, key), created_at=now
            )
        except ValidationError as error:
            told = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_url=False))
            raise ConfigError(f"the key cannot be made: {told}") from None
        _write(root, [*records, record])
    return key


def revoke_key(root: str, name: str) -> None:
    """Remove a key; raise ConfigError when there is none of that name."""
    with locked(root, "keys"):
        records = _present(root)
        kept = [record for record in records if record.name != name]
        if len(kept) == len(records):
            names = ", ".join(record.name for record in records) or "none"
            raise ConfigError(f"there is no key named {name!r}; there are: {names}")
        _write(root, kept)


def list_keys(root: str) -> list[KeyRecord]:
    """Return the keys' records, oldest first."""
    return sorted(_present(root), key=lambda record: (record.created_at, record.name))


def _address(root: str) -> str:
    return join(root, "service", "keys.json")


def _present(root: str) -> list[KeyRecord]:
    address = _address(root)
    return _read(address) if exists(address) else []


def _read(address: str) -> list[KeyRecord]:
    try:
        return _RECORDS.validate_python(read_json(address)["keys"])
    except (ValidationError, KeyError, TypeError):
        raise StorageError(f"{address} is no file of keys; restore it, or remove it and make new keys") from None


def _write(root: str, records: Sequence[KeyRecord]) -> None:
    """Replace the file; its mode is 0600, as that of every temporary file that takes its place."""
    write_json(_address(root), {"version": 1, "keys": [record.model_dump(mode="json") for record in records]})
