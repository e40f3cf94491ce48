"""The online service: HTTP on top of an engine that recommends, records events and keeps the catalogue."""

from recsys.service.app import create_app
from recsys.service.contract import Engine, Query
from recsys.service.keys import Keyring, add_key, list_keys, read_keyring, revoke_key
from recsys.service.server import serve

__all__ = ["Engine", "Keyring", "Query", "add_key", "create_app", "list_keys", "read_keyring", "revoke_key", "serve"]
