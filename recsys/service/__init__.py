"""The online service: HTTP on top of an engine that recommends, records events and keeps the catalogue."""

from recsys.service.contract import Engine, Query

__all__ = ["Engine", "Query"]
