"""Text that may be shown: addresses and texts without the credentials that stand in them."""

import hashlib
import re
from typing import Any, Final

HIDDEN: Final = "***"
_TELLING_NAME: Final = r"(?:password|passwd|pwd|passphrase|secret|token|signature|credential|api_?key|access_?key" \
    r"|account_?key|shared_?key|private_?key|sas|sig)"  # fmt: skip
_TEXT: Final = r"[^\s'\"<>]"
# With a colon among what precedes an `@`, it is user and password, which may hold slashes as some secret keys do.
_USER_AND_PASSWORD: Final = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.\-]*://)[^\s'\"<>/?#]*:{_TEXT}*@", re.IGNORECASE)
_USER: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]*://)[^\s'\"<>/?#]*@", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    rf"(?P<name>(?<![a-z0-9])(?:[a-z0-9]+[-_.])*[a-z0-9]*{_TELLING_NAME}\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s'\"<>&;,)]+)",
    re.IGNORECASE,
)
_AZURE: Final = re.compile(r"(?P<name>[?&](?:key|auth|code)=)[^\s'\"<>&;,)]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a text with user and password of every address in it, and every secret-looking parameter, hidden.

    Hides too much rather than too little: an `@` in a path behind a port hides what stands before it.

    >>> without_secrets("cannot read s3://id:key@bucket/a.csv?sig=abc&v=1")
    'cannot read s3://***@bucket/a.csv?sig=***&v=1'
    """
    text = _USER_AND_PASSWORD.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _PARAMETER.sub(rf"\g<name>{HIDDEN}", text)
    return _AZURE.sub(rf"\g<name>{HIDDEN}", text)


def shown_settings(settings: Any) -> Any:  # Any: JSON
    """Return settings as they may be logged: texts without secrets, and of an SQL query its digest alone.

    A query may name a person or hold a password anywhere; the digest still tells two of them apart.
    """
    if isinstance(settings, dict):
        return {name: _digest(value) if name == "query" and value else shown_settings(value)
                for name, value in settings.items()}  # fmt: skip
    if isinstance(settings, list | tuple):
        return [shown_settings(value) for value in settings]
    return without_secrets(settings) if isinstance(settings, str) else settings


def _digest(query: object) -> str:
    return f"sha256:{hashlib.sha256(str(query).encode()).hexdigest()[:16]}"
