"""Fills the store of users' states from the tables that a training run reads."""

from datetime import datetime, timedelta
from heapq import merge
from typing import TYPE_CHECKING, Any, Final

from recsys.config import Config
from recsys.pipeline.addresses import at_present
from recsys.storage import digest_of, locked

if TYPE_CHECKING:
    import polars as pl

    from recsys.users import UserStore, Weighing

    _Tables = tuple[pl.DataFrame, pl.DataFrame]

Json = dict[str, Any]  # Any: JSON
_ROWS: Final = 500_000  # events in memory at a time: about 150 MB
_DIGITS: Final = 4  # hex digits of a pseudonym by which users are divided: 65,536 parts at most
_PROGRESS: Final = "filled"


@at_present
def fill_users(config: Config, dataset: str) -> Json:
    """Bring the store of users' states up to what a selected dataset says, and keep what came online meanwhile.

    Users are read in blocks, by the first digits of their pseudonyms. After a block is stored that is noted; a run that
    was ended goes on there, and one on a dataset that is filled already reads nothing. Users whom the dataset
    withholds lose their meetings, and so does everybody those past `privacy.retention_days`. Returns counts of `users`
    read, of those `changed` and `withheld`, and of `blocks` read of how many `of`.
    """
    from recsys.data import consent_end, end_of, read_withheld
    from recsys.users import Weighing, open_users

    durations, at = _durations(config, dataset), end_of(dataset)
    store, weighing = open_users(config, durations), Weighing(config.features, durations)
    counts = {"users": 0, "changed": 0}
    with locked(config.storage, "users"):
        # First of all, so that a run which is ended has not left in whom it must take out.
        withheld = store.withhold(read_withheld(dataset), consent_end(config.storage) or at)
        blocks = _Blocks(config, dataset)
        first = _done(store, blocks.name)
        for block in range(first, blocks.n):
            for name, n in _fill_block(store, weighing, config, blocks.read(block), at).items():
                counts[name] += n
            store.describe(_PROGRESS, f"{blocks.name} {block + 1}")
        if config.privacy.retention_days:
            store.expire(at - timedelta(days=config.privacy.retention_days))
        store.finish_fill()
    store.close()
    return {**counts, "withheld": withheld, "blocks": blocks.n - first, "of": blocks.n}


class _Blocks:
    """The tables of a dataset, divided by user into `n` blocks of about `_ROWS` events."""

    def __init__(self, config: Config, dataset: str) -> None:
        import polars as pl

        from recsys.data import read_table
        from recsys.features.events import USED
        from recsys.users import settings_digest

        self._events = read_table(dataset, "interactions").select(USED)
        self._users = read_table(dataset, "users")
        n_events = int(self._events.select(pl.len()).collect().item())
        self.n = min(max(-(-n_events // _ROWS), 1), 16**_DIGITS)
        self.name = digest_of(
            {
                "dataset": dataset.rstrip("/").rsplit("/", 1)[-1],
                "settings": settings_digest(config.features),
                "blocks": self.n,
                "columns": list(config.features.user_columns),
            }
        )

    def read(self, block: int) -> "_Tables":
        """Return the events and the rows of users of one block."""
        import polars as pl

        from recsys.schema import USER_ID

        start, end = self._edge(block), self._edge(block + 1)
        inside = pl.col(USER_ID) >= start if block else pl.lit(True)  # ids that are no pseudonyms have a block too
        if block + 1 < self.n:
            inside &= pl.col(USER_ID) < end
        events, users = (table.filter(inside) for table in (self._events, self._users))
        return events.collect(engine="streaming"), users.collect(engine="streaming")

    def _edge(self, block: int) -> str:
        return f"{block * 16**_DIGITS // self.n:0{_DIGITS}x}"


def _fill_block(store: "UserStore", weighing: "Weighing", config: Config, tables: "_Tables", at: datetime) -> Json:
    from recsys.schema import USER_ID
    from recsys.users import states_of_users

    events, users = tables
    told = states_of_users(users.sort(USER_ID), config.features.user_columns, at)
    # Side by side, so that a user's row and events are stored together.
    return store.fill(merge(told, weighing.states_of(events), key=lambda state: state.user))


def _done(store: "UserStore", name: str) -> int:
    """Return how many blocks of this division are stored already."""
    known, _, n = store.about().get(_PROGRESS, "").partition(" ")
    return int(n) if known == name else 0


def _durations(config: Config, dataset: str) -> dict[str, float]:
    """Return the items' durations where the settings ask for them."""
    if not config.features.watch_ratio_weight:
        return {}
    from recsys.data import read_table
    from recsys.schema import DURATION_S, ITEM_ID

    items = read_table(dataset, "items").select(ITEM_ID, DURATION_S).drop_nulls().collect()
    return dict(zip(items[ITEM_ID].to_list(), items[DURATION_S].to_list(), strict=True))
