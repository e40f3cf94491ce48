"""What every event log offers, whatever database holds it."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

from recsys.eventlog.rows import Appended, Columns, Event, Item, Logged, User


class EventLog(Protocol):
    """An append-only log of three streams: events, users and items.

    User ids are pseudonyms, all made with the key `key_id`. Every row gets an arrival number, one sequence over the
    three streams, in the order in which batches are committed: who has read up to n never misses a row with a number
    of n or less that is committed later. Numbers only ever leave a gap where a user was erased.

    What is written is on disk before the call returns; a batch is stored whole or not at all. `at`, the time of
    arrival, is the log's clock where it is left out. Every method raises StorageError when the database cannot be
    reached, is busy for long, is full, or was written with another key; the call may then be repeated.
    """

    key_id: str

    def append_events(self, batch: Sequence[Event], at: datetime | None = None) -> Appended:
        """Store events; an id that the log holds, or that came earlier in the batch, counts once: the first stays.

        Raises DataError naming the place in the batch, from 1, and the field of a value that is of another type, too
        long, or no finite number; then nothing of the batch is stored.
        """
        ...

    def put_users(self, batch: Sequence[User], at: datetime | None = None) -> Appended:
        """Store what is known of users from now on; a row equal to the user's latest is `repeated`."""
        ...

    def put_items(self, batch: Sequence[Item], at: datetime | None = None) -> Appended:
        """Store what is known of items from now on; a row equal to the item's latest is `repeated`."""
        ...

    def delete_items(self, item_ids: Sequence[str], at: datetime | None = None) -> Appended:
        """Mark items as deleted; what was known of them is kept. Items deleted already are `repeated`."""
        ...

    def last(self) -> int:
        """Return the newest arrival number, 0 for an empty log."""
        ...

    def read_events(self, after: int, limit: int) -> list[Logged[Event]]:
        """Return the first `limit` events that arrived after a number, in the order of arrival."""
        ...

    def interval(self) -> tuple[datetime, datetime] | None:
        """Return the midnight before the first event's timestamp and the one after the last; None without events."""
        ...

    def days_since(self, after: int, until: int | None = None) -> dict[date, int]:
        """Return by UTC day of their timestamp how many events arrived after one number and up to another.

        A day that only lost events in that time, because a user was erased, counts 0.
        """
        ...

    def changes_since(self, after: int, until: int | None = None) -> int:
        """Return how many rows of users and items arrived, and users were erased, after one number up to another."""
        ...

    def read_day(self, day: date, until: int | None = None) -> Iterator[Columns]:
        """Yield the events whose timestamp lies on a UTC day, in batches in the order of arrival.

        A batch maps each column of `Event` to a list; `timestamp` is in microseconds since 1970. `until` leaves out
        what arrived after that number.
        """
        ...

    def users(self, until: int | None = None) -> Iterator[Logged[User]]:
        """Yield the latest row of each user as of an arrival number, by default the newest."""
        ...

    def user(self, user_id: str) -> Logged[User] | None:
        """Return the latest row of one user, None where there is none."""
        ...

    def events_of(self, user_id: str) -> list[Logged[Event]]:
        """Return all events of one user, in the order of arrival."""
        ...

    def items(self, until: int | None = None) -> Iterator[Logged[Item]]:
        """Yield the latest row of each item as of an arrival number, deleted ones too."""
        ...

    def erase(self, user_id: str) -> dict[str, int]:
        """Remove every row of a user for good; returns stream -> how many rows went.

        The rows' bytes are overwritten in SQLite; PostgreSQL frees their space. Raises StorageError when the rows are
        gone and their bytes could not be cleared yet, as someone reads the log: then call it again.
        """
        ...

    def holds(self, user_id: str) -> dict[str, int]:
        """Return stream -> how many rows of a user the log holds."""
        ...

    def close(self) -> None:
        """Give back the connection; the next call opens a new one."""
        ...
