"""Addresses that an orchestrator kept from earlier stages, when the storage root has moved since."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from recsys.errors import StorageError
from recsys.storage import resolve

_NAMES = frozenset(
    {"features", "dataset", "towers", "evaluation", "index", "bundle", "recipe_towers", "recipe_features"}
)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def at_present(stage: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a stage find what it is handed below the root of its `config`, by name or inside another stage's result.

    An address that is not found there stays, so that the stage's own error names it.
    """
    signature = inspect.signature(stage)

    @wraps(stage)
    def located(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        bound = signature.bind(*args, **kwargs)
        root = bound.arguments["config"].storage
        handed = ((name, value) for name, value in bound.arguments.items() if name != "config")
        bound.arguments.update({name: _present(root, name, value) for name, value in handed})
        return stage(*bound.args, **bound.kwargs)

    return located


def _present(root: str, name: str, value: Any) -> Any:  # Any: a stage's argument
    if isinstance(value, dict):
        return {key: _present(root, key, inner) if isinstance(inner, str) else inner for key, inner in value.items()}
    if name not in _NAMES or not isinstance(value, str):
        return value
    try:
        return resolve(root, value)
    except StorageError:
        return value
