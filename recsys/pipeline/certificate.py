"""Certificates of erasure: sealed, so that nobody without the key can write or change one unseen."""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from recsys.config import Config
from recsys.data import load_key
from recsys.errors import ConfigError, StorageError
from recsys.storage import exists, join, read_json, write_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Json = dict[str, Any]  # Any: JSON
_SEAL: Final = "signature"
_HMAC, _ED25519 = "HMAC-SHA256", "Ed25519"
_PURPOSE: Final = b"certificate of erasure"  # so that the key signs nothing else with the same bytes


def certificate_at(config: Config, receipt: str) -> str:
    """Return where the certificate of a receipt lies, or will."""
    return join(config.storage, "erasure", "certificates", f"{receipt}.json")


def write_certificate(config: Config, content: Json) -> Json:
    """Seal what a certificate says and store it under its receipt; returns all of it."""
    sealed = {**content, _SEAL: _sealed(config, content)}
    write_json(certificate_at(config, content["receipt"]), sealed)
    return sealed


def read_certificate(config: Config, receipt: str) -> Json:
    """Return the certificate of a receipt.

    Raises StorageError where there is none or it is not what was signed, ConfigError where the key is missing.
    """
    address = certificate_at(config, receipt)
    if not receipt.isalnum() or not exists(address):
        raise StorageError("there is no certificate of this receipt: the order is still open, or was never made")
    found = read_json(address)
    if not isinstance(found, dict) or not isinstance(found.get(_SEAL), dict) or found.get("receipt") != receipt:
        raise StorageError(f"{address} is no certificate of this receipt")
    content = {name: value for name, value in found.items() if name != _SEAL}
    if not _holds(config, content, found[_SEAL]):
        raise StorageError(f"{address} was changed since it was signed, or was signed with another key")
    return found


def _sealed(config: Config, content: Json) -> Json:
    key = _signing_key(config)
    if key is None:
        return {"algorithm": _HMAC, "value": _mac(config, content)}
    return {"algorithm": _ED25519, "public_key": _raw(key.public_key()).hex(), "value": key.sign(_bytes(content)).hex()}


def _holds(config: Config, content: Json, seal: Json) -> bool:
    from cryptography.exceptions import InvalidSignature

    if seal.get("algorithm") == _HMAC:
        return hmac.compare_digest(str(seal.get("value")), _mac(config, content))
    if seal.get("algorithm") != _ED25519:
        return False
    key = _signing_key(config)
    if key is None:
        raise ConfigError(f"the certificate is signed with Ed25519; set {config.privacy.certificate_key_file_env}")
    try:  # by the configured key, as whoever changes a certificate can also change the one that it names
        key.public_key().verify(bytes.fromhex(str(seal.get("value"))), _bytes(content))
    except (InvalidSignature, ValueError):
        return False
    return seal.get("public_key") == _raw(key.public_key()).hex()


def _signing_key(config: Config) -> "Ed25519PrivateKey | None":
    """Return the configured Ed25519 key; None where certificates are sealed with the pseudonym key."""
    name = config.privacy.certificate_key_file_env
    path = os.environ.get(name)
    if not path:
        return None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"the file that {name} names cannot be read as a PEM private key without password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"the file that {name} names must hold an Ed25519 private key; make one with openssl genpkey")
    return key


def _raw(key: "Ed25519PublicKey") -> bytes:
    return key.public_bytes_raw()


def _mac(config: Config, content: Json) -> str:
    secret = hashlib.sha256(_PURPOSE + load_key(config).key).digest()
    return hmac.digest(secret, _bytes(content), "sha256").hex()


def _bytes(content: Json) -> bytes:
    return _PURPOSE + json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
