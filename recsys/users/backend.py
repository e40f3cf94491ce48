"""What a place for states can do: bytes by name, exchanged only where nobody else was faster."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Swap(NamedTuple):
    """Put `new` in the place of `old`, or where nothing is for None."""

    user: str
    old: bytes | None
    new: bytes


class Backend(Protocol):
    """Bytes by user. Every method raises StorageError while the place cannot be reached, and works when it can again.

    Messages of errors name neither users nor credentials.
    """

    def read(self, users: Sequence[str]) -> dict[str, bytes]:
        """Return what is stored of those users of whom anything is."""
        ...

    def swap(self, swaps: Sequence[Swap]) -> list[str]:
        """Exchange, each atomically, and return the users of whom something else than `old` was stored."""
        ...

    def remove(self, user: str) -> bool:
        """Delete what is stored of a user; tell whether there was anything."""
        ...

    def scrub(self) -> None:
        """Overwrite the bytes that were deleted or replaced, where that can be done; raise StorageError if it fails."""
        ...

    def count(self) -> int:
        """Return of how many users anything is stored."""
        ...

    def users(self) -> Iterator[str]:
        """Yield every user; one stored or erased meanwhile may be among them or not."""
        ...

    def about(self) -> dict[str, str]:
        """Return the facts about the whole store, by name."""
        ...

    def describe(self, name: str, value: str, *, if_absent: bool = False) -> None:
        """Store a fact about the whole store; with `if_absent` only where there is none."""
        ...

    def clear(self) -> None:
        """Erase all users and facts."""
        ...

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        ...
