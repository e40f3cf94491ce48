"""What a users table says of each user, as states without meetings."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from recsys.features.encode import labels
from recsys.schema import SIGNED_UP_AT, USER_ID
from recsys.users.state import FLAGS, Fact, UserState, microseconds


def states_of_users(users: pl.DataFrame, columns: Sequence[str], at: datetime) -> Iterator[UserState]:
    """Yield a state for each row of a users table behind the privacy door, as known at a time.

    Of demographics those in `columns` are taken. What is null is not known, and changes nothing that is.
    """
    known = microseconds(at)
    told: dict[str, Sequence[str | bool | int | None]] = {
        name: labels(users, name) for name in columns if name in users.columns
    }
    told |= {name: users[name].to_list() for name in FLAGS if name in users.columns}
    if SIGNED_UP_AT in users.columns:
        told[SIGNED_UP_AT] = users[SIGNED_UP_AT].dt.epoch("us").to_list()
    for place, user in enumerate(users[USER_ID].to_list()):
        facts = {name: Fact(value, known) for name, own in told.items() if (value := own[place]) is not None}
        yield UserState(user, facts)
