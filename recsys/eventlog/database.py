"""What the log needs of a database: transactions that are durable, serial where they write, and told in clear words."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from recsys.eventlog.rows import Cell


class Cursor(Protocol):
    """The part of a DB-API cursor that the log uses."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, statement: str, cells: Sequence[Cell] = ..., /) -> object:
        """Run a statement."""
        ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Cell]], /) -> object:
        """Run a statement once per row of cells."""
        ...

    def fetchall(self) -> list[Any]:  # Any: tuples of cells
        """Return all rows of the last statement."""
        ...


class Database(Protocol):
    """A place of tables; statements mark cells by `?`.

    All errors of the database leave it as StorageError without address, SQL or cell. After a lost connection the next
    call opens a new one. Threads take turns; a forked process opens its own connection.
    """

    integer: str  # its type of 64 bits; as a primary key it orders the rows on disk
    counter: str  # the statement that reads the log's counter and, where writers are many, holds it until the commit
    prepare: Callable[[Cursor], None]  # run in a transaction of its own on each new connection

    def reading(self) -> AbstractContextManager[Cursor]:
        """Open a transaction that sees one state of the log."""
        ...

    def writing(self) -> AbstractContextManager[Cursor]:
        """Open a transaction that is on disk when the block ends, and undone when it raises."""
        ...

    def clear_erased(self) -> None:
        """Remove what deleted rows have left behind; raise StorageError where a reader prevents it."""
        ...

    def close(self) -> None:
        """Close the connection, if any."""
        ...
