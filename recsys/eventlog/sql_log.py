"""The log in tables: one row per arrival and stream, one counter that numbers them all."""

# ruff: noqa: S608 - the names of tables and columns in the statements are constants of this room

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from recsys.errors import StorageError
from recsys.eventlog.cells import DAY_US, checked_id, columns_of, declarations, decode, encode, moment_of, utc_time
from recsys.eventlog.database import Cursor, Database
from recsys.eventlog.rows import Appended, Cell, Columns, Event, Item, Logged, RowT, RowType, User

_FORMAT: Final = 1  # of the tables
_IDS: Final = 500  # ids a statement asks for at once
_PAGE: Final = 20_000  # rows a transaction reads, so that writers of another process never wait for a reader
_EPOCH_DAY: Final = date(1970, 1, 1)
_TABLES: Final[dict[type, str]] = {Event: "events", User: "users", Item: "items"}
_AT_EVENT_TIME: Final = columns_of(Event).index("timestamp")

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS log (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, "
    "key_id TEXT NOT NULL, last BIGINT NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS events (arrival BIGINT PRIMARY KEY, arrived_us BIGINT NOT NULL, day BIGINT NOT NULL, "
    f"{declarations(Event)}, UNIQUE (event_id))",
    "CREATE INDEX IF NOT EXISTS events_by_day ON events (day, arrival)",
    "CREATE INDEX IF NOT EXISTS events_by_user ON events (user_id)",
    f"CREATE TABLE IF NOT EXISTS users (arrival BIGINT PRIMARY KEY, arrived_us BIGINT NOT NULL, {declarations(User)})",
    "CREATE INDEX IF NOT EXISTS users_by_id ON users (user_id, arrival)",
    f"CREATE TABLE IF NOT EXISTS items (arrival BIGINT PRIMARY KEY, arrived_us BIGINT NOT NULL, {declarations(Item)})",
    "CREATE INDEX IF NOT EXISTS items_by_id ON items (item_id, arrival)",
    "CREATE TABLE IF NOT EXISTS erasures (arrival BIGINT NOT NULL, day BIGINT)",
)


class SqlLog:
    """An `EventLog` in a database; nothing is opened before the first call."""

    def __init__(self, database: Database, key_id: str, clock: Callable[[], datetime] | None = None) -> None:
        """Keep what is needed; without `clock` every call that writes must say when its rows arrived."""
        self.key_id, self._clock, self._database = key_id, clock, database
        database.prepare = self._prepare

    def append_events(self, batch: Sequence[Event], at: datetime | None = None) -> Appended:
        """Store events, each id once; see `EventLog`."""
        rows, arrived_us = encode(Event, batch), self._arrival_time(at)
        first: dict[Cell, tuple[Cell, ...]] = {}
        for row in rows:
            first.setdefault(row[0], row)
        if not rows:
            return Appended(0, 0)
        with self._database.writing() as cursor:
            last = self._last(cursor)  # from here on no other writer can add one of these ids
            known = {one for (one,) in _by_ids(cursor, "SELECT event_id FROM events WHERE event_id", list(first))}
            new = [row for name, row in first.items() if name not in known]
            _insert(cursor, Event, last, arrived_us, new)
        return Appended(len(new), len(rows) - len(new))

    def put_users(self, batch: Sequence[User], at: datetime | None = None) -> Appended:
        """Store the users' newest rows; see `EventLog`."""
        return self._put(User, encode(User, batch), at)

    def put_items(self, batch: Sequence[Item], at: datetime | None = None) -> Appended:
        """Store the items' newest rows; see `EventLog`."""
        return self._put(Item, encode(Item, batch), at)

    def delete_items(self, item_ids: Sequence[str], at: datetime | None = None) -> Appended:
        """Mark items as deleted; see `EventLog`."""
        ids = [checked_id(one, f"item id {place} of {len(item_ids)}") for place, one in enumerate(item_ids, start=1)]
        return self._put(Item, [encode(Item, [Item(item_id=one)])[0] for one in ids], at, deletes=True)

    def _put(
        self, kind: RowType, rows: list[tuple[Cell, ...]], at: datetime | None, *, deletes: bool = False
    ) -> Appended:
        """Store rows whose first cell is their id and whose last one says whether they are deleted."""
        arrived_us = self._arrival_time(at)
        new: list[tuple[Cell, ...]] = []
        if not rows:
            return Appended(0, 0)
        with self._database.writing() as cursor:
            last = self._last(cursor)
            newest = _newest(cursor, kind, list({row[0] for row in rows}))
            for given in rows:
                before = newest.get(given[0])
                row = (*(before or given)[:-1], 1) if deletes else given
                if row != before:
                    newest[row[0]] = row
                    new.append(row)
            _insert(cursor, kind, last, arrived_us, new)
        return Appended(len(new), len(rows) - len(new))

    def last(self) -> int:
        """Return the newest arrival number."""
        with self._database.reading() as cursor:
            return _number(cursor, "SELECT last FROM log")

    def read_events(self, after: int, limit: int) -> list[Logged[Event]]:
        """Return the first events that arrived after a number."""
        statement = (
            f"SELECT arrival, arrived_us, {', '.join(columns_of(Event))} FROM events WHERE arrival > ? "
            "ORDER BY arrival LIMIT ?"
        )
        return [_logged(Event, row) for row in self._rows(statement, (after, limit))]

    def interval(self) -> tuple[datetime, datetime] | None:
        """Return the first midnight and the last of the events' days."""
        first, last = self._rows("SELECT min(day), max(day) FROM events")[0]
        return None if first is None else (moment_of(first * DAY_US), moment_of((last + 1) * DAY_US))

    def days_since(self, after: int, until: int | None = None) -> dict[date, int]:
        """Count events by day that arrived after one number and up to another."""
        limits = (after, self.last() if until is None else until)
        counted = self._rows("SELECT day, count(*) FROM events WHERE arrival > ? AND arrival <= ? GROUP BY day", limits)
        erased = self._rows(
            "SELECT DISTINCT day, 0 FROM erasures WHERE arrival > ? AND arrival <= ? AND day IS NOT NULL", limits
        )
        return {_EPOCH_DAY + timedelta(days=day): n for day, n in sorted({**dict(erased), **dict(counted)}.items())}

    def changes_since(self, after: int, until: int | None = None) -> int:
        """Count rows of users and items, and erasures, after one number up to another."""
        limits = (after, self.last() if until is None else until)
        where = "WHERE arrival > ? AND arrival <= ?"
        counts = (f"SELECT count(DISTINCT arrival) FROM {table} {where}" for table in ("users", "items", "erasures"))
        return sum(int(self._rows(statement, limits)[0][0]) for statement in counts)

    def read_day(self, day: date, until: int | None = None) -> Iterator[Columns]:
        """Yield a day's events as columns, page by page."""
        names = columns_of(Event)
        statement = (
            f"SELECT arrival, {', '.join(names)} FROM events WHERE day = ? AND arrival > ? AND arrival <= ? "
            "ORDER BY arrival LIMIT ?"
        )
        after, end = 0, self.last() if until is None else until
        while rows := self._rows(statement, ((day - _EPOCH_DAY).days, after, end, _PAGE)):
            arrivals, *columns = zip(*rows, strict=True)
            yield dict(zip(names, columns, strict=True))
            after = int(arrivals[-1])

    def users(self, until: int | None = None) -> Iterator[Logged[User]]:
        """Yield each user's latest row, in the order of their ids."""
        return self._latest(User, until)

    def user(self, user_id: str) -> Logged[User] | None:
        """Return a user's latest row."""
        statement = (
            f"SELECT arrival, arrived_us, {', '.join(columns_of(User))} FROM users WHERE user_id = ? "
            "ORDER BY arrival DESC LIMIT 1"
        )
        return next((_logged(User, row) for row in self._rows(statement, (user_id,))), None)

    def events_of(self, user_id: str) -> list[Logged[Event]]:
        """Return all events of a user, in the order of arrival."""
        statement = (
            f"SELECT arrival, arrived_us, {', '.join(columns_of(Event))} FROM events WHERE user_id = ? ORDER BY arrival"
        )
        return [_logged(Event, row) for row in self._rows(statement, (user_id,))]

    def items(self, until: int | None = None) -> Iterator[Logged[Item]]:
        """Yield each item's latest row, in the order of their ids."""
        return self._latest(Item, until)

    def _latest(self, kind: type[RowT], until: int | None) -> Iterator[Logged[RowT]]:
        columns, table = columns_of(kind), _TABLES[kind]
        key = columns[0]
        statement = (
            f"SELECT arrival, arrived_us, {', '.join(columns)} FROM {table} AS a WHERE a.{key} > ? AND a.arrival = "
            f"(SELECT max(b.arrival) FROM {table} AS b WHERE b.{key} = a.{key} AND b.arrival <= ?) "
            f"ORDER BY a.{key} LIMIT ?"
        )
        after, end = "", self.last() if until is None else until
        while rows := self._rows(statement, (after, end, _PAGE)):
            yield from (_logged(kind, row) for row in rows)
            after = str(rows[-1][2])

    def erase(self, user_id: str) -> dict[str, int]:
        """Remove a user's rows for good; see `EventLog`."""
        who = (checked_id(user_id, "user_id"),)
        counts = {}
        with self._database.writing() as cursor:
            number = self._last(cursor) + 1
            cursor.execute("SELECT DISTINCT day FROM events WHERE user_id = ?", who)
            days = [day for (day,) in cursor.fetchall()] or [None]
            for table in ("events", "users"):
                cursor.execute(f"DELETE FROM {table} WHERE user_id = ?", who)
                counts[table] = cursor.rowcount
            if any(counts.values()):
                cursor.executemany("INSERT INTO erasures (arrival, day) VALUES (?, ?)", [(number, day) for day in days])
                cursor.execute("UPDATE log SET last = ?", (number,))
        self._database.clear_erased()
        return counts

    def holds(self, user_id: str) -> dict[str, int]:
        """Count a user's rows by stream."""
        who = (checked_id(user_id, "user_id"),)
        return {
            table: int(self._rows(f"SELECT count(*) FROM {table} WHERE user_id = ?", who)[0][0])
            for table in ("events", "users")
        }

    def close(self) -> None:
        """Give back the connection."""
        self._database.close()

    def _prepare(self, cursor: Cursor) -> None:
        """Make the tables where they are missing, and refuse a log of another format or key."""
        for statement in _SCHEMA:
            cursor.execute(statement.replace("BIGINT", self._database.integer))
        cursor.execute(
            "INSERT INTO log (one, format, key_id, last) VALUES (1, ?, ?, 0) ON CONFLICT DO NOTHING",
            (_FORMAT, self.key_id),
        )
        cursor.execute("SELECT format, key_id FROM log")
        found, key_id = cursor.fetchall()[0]
        if found != _FORMAT:
            raise StorageError(f"the event log has the format {found}, this version reads {_FORMAT}; use its version")
        if key_id != self.key_id:
            raise StorageError(
                f"the event log was written with the pseudonym key {key_id}, the present key is {self.key_id}: one "
                "user would be two. Set the key of before; pseudonyms cannot be made anew from a log"
            )

    def _last(self, cursor: Cursor) -> int:
        return _number(cursor, self._database.counter)

    def _rows(self, statement: str, cells: Sequence[Cell] = ()) -> list[Any]:  # Any: tuples of cells
        with self._database.reading() as cursor:
            cursor.execute(statement, cells)
            return cursor.fetchall()

    def _arrival_time(self, at: datetime | None) -> int:
        moment = at if at is not None or self._clock is None else self._clock().astimezone(UTC)
        if moment is None:
            raise ValueError("at, the time of arrival, must be passed to an event log that was opened without a clock")
        try:
            return utc_time(moment)
        except ValueError as error:
            raise ValueError(f"at must be {error}") from None


def _insert(cursor: Cursor, kind: RowType, last: int, arrived_us: int, rows: Sequence[tuple[Cell, ...]]) -> None:
    """Append rows under the numbers after `last`; events also get the day of their timestamp."""
    if not rows:
        return
    columns: tuple[str, ...] = ("arrival", "arrived_us", *columns_of(kind))
    numbered: list[tuple[Cell, ...]] = [(last + n, arrived_us, *row) for n, row in enumerate(rows, start=1)]
    if kind is Event:
        columns = (*columns, "day")
        numbered = [(*row, int(row[2 + _AT_EVENT_TIME] or 0) // DAY_US) for row in numbered]
    marks = ", ".join("?" * len(columns))
    cursor.executemany(f"INSERT INTO {_TABLES[kind]} ({', '.join(columns)}) VALUES ({marks})", numbered)
    cursor.execute("UPDATE log SET last = ?", (last + len(rows),))


def _newest(cursor: Cursor, kind: RowType, ids: Sequence[Cell]) -> dict[Cell, tuple[Cell, ...]]:
    """Return id -> cells of the latest row, for the ids that have one."""
    columns, table = columns_of(kind), _TABLES[kind]
    key = columns[0]
    statement = (
        f"SELECT {', '.join(columns)} FROM {table} AS a WHERE a.arrival = "
        f"(SELECT max(b.arrival) FROM {table} AS b WHERE b.{key} = a.{key}) AND a.{key}"
    )
    return {row[0]: tuple(row) for row in _by_ids(cursor, statement, ids)}


def _by_ids(cursor: Cursor, statement: str, ids: Sequence[Cell]) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows of a statement that ends in the column of ids, for these ids."""
    for start in range(0, len(ids), _IDS):
        some = ids[start : start + _IDS]
        cursor.execute(f"{statement} IN ({', '.join('?' * len(some))})", some)
        yield from cursor.fetchall()


def _number(cursor: Cursor, statement: str) -> int:
    cursor.execute(statement)
    return int(cursor.fetchall()[0][0])


def _logged(kind: type[RowT], row: Sequence[Cell]) -> Logged[RowT]:
    arrival, arrived_us, *cells = row
    return Logged(int(arrival or 0), moment_of(int(arrived_us or 0)), decode(kind, cells))
