"""Lists that another program made, so that peers are measured as our own models are."""

import fsspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import DataError, SourceError
from recsys.features import Dataset, Heldout
from recsys.schema import ITEM_ID, RANK, SCORE, USER_ID

_NEEDED = (USER_ID, ITEM_ID, RANK, SCORE)


class GivenLists:
    """Reads a Parquet file of user_id, item_id, rank (from 1) and score; a user without rows gets an empty list."""

    def __init__(self, name: str, dataset: Dataset, recommendable: NDArray[np.bool_], uri: str) -> None:
        self.name = name
        self._dataset, self._recommendable, self._uri = dataset, recommendable, uri
        self._lists = _read(uri)

    def recommend(self, heldout: Heldout, k: int) -> NDArray[np.int32]:
        """Return the first k of each list, checked."""
        return self.ranked(heldout, k)[0]

    def ranked(self, heldout: Heldout, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return item rows int32[n_users, k], -1 as padding, and scores float64[n_users, k], NaN there.

        Raises DataError when no list is for one of the users, when a list holds an item that does not exist, may not be
        ranked, was seen, or stands twice, when ranks do not count from 1 or one is used twice, or when scores are not
        finite or all the same.
        """
        self._refuse("have no rank of 1 or more", int((self._lists[RANK].fill_null(0) < 1).sum()))
        users = self._dataset.users.ids[heldout.user_rows].to_series(USER_ID).to_frame().with_row_index("user")
        items = self._dataset.items.ids.to_series(ITEM_ID).to_frame().with_row_index("item")
        mine = self._lists.join(users, on=USER_ID, maintain_order="left").filter(pl.col(RANK).is_between(1, k))
        if not len(mine):
            raise DataError(f"{self._uri} holds no list for any of the {len(users)} users who are asked; check its ids")
        rows = mine.join(items, on=ITEM_ID, how="left", maintain_order="left")
        user, place = rows["user"].to_numpy().astype(np.int64), rows[RANK].to_numpy().astype(np.int64) - 1
        item = rows["item"].fill_null(0).to_numpy().astype(np.int64)
        seen = np.asarray(heldout.seen[user, item]).ravel().astype(bool)
        self._refuse("hold items that are not in the catalogue", rows["item"].null_count())
        self._refuse("may not be ranked here", int((~self._recommendable[item]).sum()))
        self._refuse("were seen by their user before", int(seen.sum()))
        self._refuse("stand twice in a list", len(rows) - rows.select("user", "item").n_unique())
        self._refuse("share a rank with another", len(rows) - rows.select("user", RANK).n_unique())
        self._refuse("have a score that is not finite", int((~np.isfinite(rows[SCORE].to_numpy())).sum()))
        if len(rows) > 1 and rows[SCORE].n_unique() == 1:
            raise DataError(f"{self._uri} gives every item the same score for every user; correct what wrote it")
        result, scores = np.full((len(users), k), -1, np.int32), np.full((len(users), k), np.nan)
        result[user, place], scores[user, place] = item, rows[SCORE].to_numpy()
        return result, scores

    def _refuse(self, what: str, n_rows: int) -> None:
        if n_rows:
            raise DataError(f"{n_rows} rows of {self._uri} {what}; correct the program that wrote them")


def _read(uri: str) -> pl.DataFrame:
    try:
        with fsspec.open(uri, "rb") as stream:
            lists = pl.read_parquet(stream)
        if missing := [name for name in _NEEDED if name not in lists.columns]:
            raise SourceError(f"{uri} must have the columns {', '.join(_NEEDED)}; missing: {', '.join(missing)}")
        return lists.select(
            pl.col(USER_ID, ITEM_ID).cast(pl.String), pl.col(RANK).cast(pl.Int64), pl.col(SCORE).cast(pl.Float64)
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"cannot read the lists {uri}: {str(error).splitlines()[0]}; check the address") from None
