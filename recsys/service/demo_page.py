"""The page at `/` on which a person tries the service: static files that call the service's own operations."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from recsys.service.handlers import Page

_START: Final = "index.html"
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Trusted types make a browser refuse every text that a script would insert as HTML.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def read_files() -> dict[str, Page]:
    """Return every file of the page by its name."""
    found = {}
    for each in files("recsys.service").joinpath("page").iterdir():
        media_type = _MEDIA_TYPES.get(each.name[each.name.rfind(".") :])
        if media_type is not None:
            found[each.name] = Page(each.read_bytes(), media_type, _HEADERS)
    return found


def start_of(pages: Mapping[str, Page]) -> Page:
    """Return the file that stands at `/`."""
    return pages[_START]
