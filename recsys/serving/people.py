"""Who asks, looked up: in the store of users' states, or in a training set."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from recsys.features import Dataset, EventArrays, StringColumn, UserArrays
from recsys.users import Encoding, UserState, UserStore

_LOOKED_AT = 200  # users among whom the one with most events is an example


@dataclass(frozen=True)
class Person:
    """One user: a row of codes, and events in order of time."""

    users: UserArrays
    events: EventArrays

    @classmethod
    def of_state(cls, state: UserState, encoding: Encoding) -> Self:
        """Return a stored user, encoded as the model's training set holds them."""
        return cls(state.user_arrays(encoding), state.arrays(encoding))


class People(Protocol):
    """Finds users by pseudonym."""

    def find(self, user: str) -> Person | None:
        """Return what is known of a user, None for nothing."""
        ...

    def example(self) -> str | None:
        """Return somebody with many events, None where nobody is known."""
        ...


class DatasetPeople:
    """The users of a training set."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._rows = {user: row for row, user in enumerate(dataset.users.ids.tolist())}

    def find(self, user: str) -> Person | None:
        """Return a user's row and events."""
        row = self._rows.get(user)
        if row is None:
            return None
        events, users = self._dataset.events, self._dataset.users
        own = slice(int(events.offsets[row]), int(events.offsets[row + 1]))
        return Person(
            UserArrays(
                ids=StringColumn.of([user]),
                vocab=np.array(users.vocab[row : row + 1]),
                demographics=np.array(users.demographics[row : row + 1]),
            ),
            EventArrays(
                item=np.array(events.item[own]),
                kind=np.array(events.kind[own]),
                weight=np.array(events.weight[own]),
                timestamp=np.array(events.timestamp[own]),
                device=np.array(events.device[own]),
                positive=np.array(events.positive[own]),
                split=np.array(events.split[own]),
                offsets=np.array([0, own.stop - own.start], np.int64),
            ),
        )

    def example(self) -> str | None:
        """Return the user with most events."""
        lengths = np.diff(self._dataset.events.offsets)
        return self._dataset.users.ids[int(np.argmax(lengths))] if len(lengths) else None


class StoredPeople:
    """The users of the store of states, as they are now."""

    def __init__(self, store: UserStore, encoding: Encoding) -> None:
        self._store, self._encoding = store, encoding

    def find(self, user: str) -> Person | None:
        """Return a user's row and events as they are now."""
        state = self._store.get(user)
        return None if state is None else Person.of_state(state, self._encoding)

    def example(self) -> str | None:
        """Return, of the first users, the one with most events."""
        some = self._store.get_many(list(self._store.users(_LOOKED_AT)))
        return max(some, key=lambda user: (len(some[user].meetings), user), default=None)
