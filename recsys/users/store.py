"""The store of users' states: one behaviour over every backend."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from recsys.errors import ConfigError, StorageError
from recsys.schema import CONSENT_PERSONALIZATION
from recsys.users.backend import Backend, Swap
from recsys.users.codec import decode_state, encode_state
from recsys.users.state import FLAGS, Fact, Limits, UserState, decided, expired, merged, microseconds
from recsys.users.weighing import Event, Weighing

_BLOCK: Final = 500  # users whose states are in memory at once
_ATTEMPTS: Final = 200
_PAUSE_S: Final = 0.002  # mean pause before the next try of a user whom another process has just changed
_CHECKED_S: Final = 60.0
_KEY_ID: Final = "key_id"
_SETTINGS: Final = "settings"

Change = Callable[[UserState], UserState]


class UserStore(Protocol):
    """What is known of users, by pseudonym; shared by threads and processes.

    Every method raises StorageError while the store cannot be reached and works again when it can be; ConfigError where
    it was written with another pseudonym key; all but `fill` and `finish_fill` StorageError where its states were made
    under other settings of the features. No message names a user.
    """

    def get(self, user: str) -> UserState | None:
        """Return a user's state; None for a user of whom nothing is known."""
        ...

    def get_many(self, users: Sequence[str]) -> dict[str, UserState]:
        """Return the states of those users of whom anything is known."""
        ...

    def apply(self, events: Sequence[Event]) -> dict[str, int]:
        """Merge events into the states of their users, in any order and however often.

        Returns counts of `events` read, `users` whose events say something about taste, `changed` users and users
        `withheld` as they withdrew from personalisation. Raises DataError, before anything changes, for an event
        without user, item, kind or time. Each user changes at once; when an error ends the call, applying the batch
        again finishes it.
        """
        ...

    def put_demographics(self, user: str, labels: Mapping[str, str], at: datetime) -> None:
        """Store coarse labels by column as known at a time; a column known from later stays as it is."""
        ...

    def set_consent(self, user: str, decisions: Mapping[str, bool], at: datetime) -> None:
        """Store the user's own decisions by flag, made at a time.

        A withdrawal of `consent_personalization` drops all meetings at once; nothing from before it comes back.
        """
        ...

    def withhold(self, users: Iterable[str], at: datetime) -> int:
        """Drop the meetings of those users who, as tables said at a time, may not be read; return how many changed.

        Of a user of whom nothing is known, nothing is stored.
        """
        ...

    def delete(self, user: str) -> bool:
        """Erase a user; tell whether anything was stored.

        Raises StorageError where the user is gone, but the bytes may not be: calling again finishes it.
        """
        ...

    def holds(self, user: str) -> bool:
        """Tell whether anything is stored of a user."""
        ...

    def fill(self, states: Iterable[UserState]) -> dict[str, int]:
        """Merge states made of stored tables into what is there; return counts of `users` read and `changed`.

        It may be done again, and for parts of a user. Whoever withdrew stays without meetings.
        """
        ...

    def finish_fill(self) -> None:
        """Declare all states made under the settings of this store, after `fill` has passed all users."""
        ...

    def expire(self, before: datetime) -> int:
        """Drop every meeting from before a time; return how many users changed."""
        ...

    def count(self) -> int:
        """Return of how many users anything is known."""
        ...

    def users(self, limit: int | None = None) -> Iterator[str]:
        """Yield the pseudonyms of users, at most `limit`."""
        ...

    def about(self) -> dict[str, str]:
        """Return the facts about the store."""
        ...

    def describe(self, name: str, value: str) -> None:
        """Store a fact about the store, such as how far a stage has come."""
        ...

    def clear(self) -> None:
        """Erase all users, and which key they were written with."""
        ...

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        ...


class BackedUserStore:
    """The store over a backend; `key_id` names the pseudonym key, `weighing` makes meetings of events.

    Nothing is kept in memory between calls but whether key and settings agree.
    """

    def __init__(self, backend: Backend, weighing: Weighing, key_id: str, limits: Limits) -> None:
        self._backend, self._weighing, self._key_id, self._limits = backend, weighing, key_id, limits
        self._agrees, self._checked = False, 0.0

    def get(self, user: str) -> UserState | None:
        """Return a user's state; None for a user of whom nothing is known."""
        return self.get_many([user]).get(user)

    def get_many(self, users: Sequence[str]) -> dict[str, UserState]:
        """Return the states of those users of whom anything is known."""
        self._check()
        return {user: self._present(decode_state(user, stored)) for user, stored in self._backend.read(users).items()}

    def apply(self, events: Sequence[Event]) -> dict[str, int]:
        """Merge events into the states of their users; see `UserStore.apply`."""
        self._check()
        changed = withheld = n_users = 0
        states = self._weighing.states(events)
        while block := {state.user: state for state in islice(states, _BLOCK)}:
            found = self._merge(block)
            n_users += len(block)
            changed += found["changed"]
            withheld += found["withheld"]
        return {"events": len(events), "users": n_users, "changed": changed, "withheld": withheld}

    def put_demographics(self, user: str, labels: Mapping[str, str], at: datetime) -> None:
        """Store coarse labels by column as known at a time."""
        self._check()
        facts = {name: Fact(label, microseconds(at), by_user=True) for name, label in labels.items()}
        other = UserState(user, facts)
        self._update([user], lambda state: merged(state, other, self._limits))

    def set_consent(self, user: str, decisions: Mapping[str, bool], at: datetime) -> None:
        """Store the user's own decisions by flag, made at a time; raise ValueError for a flag that does not exist."""
        self._check()
        if unknown := sorted(set(decisions) - set(FLAGS)):
            raise ValueError(f"decisions must be about {', '.join(FLAGS)}; got {', '.join(unknown)}")
        self._update([user], lambda state: decided(state, decisions, microseconds(at), self._limits))
        if decisions.get(CONSENT_PERSONALIZATION) is False:
            self._backend.scrub()

    def withhold(self, users: Iterable[str], at: datetime) -> int:
        """Drop the meetings of those users who, as tables said at a time, may not be read."""
        self._check(filling=True)
        refusal = {CONSENT_PERSONALIZATION: Fact(False, microseconds(at))}
        names, changed = iter(users), 0
        while block := list(islice(names, _BLOCK)):
            known = list(self._backend.read(block))
            changed += self._update(
                known, lambda state: merged(state, UserState(state.user, refusal), self._limits), only_known=True
            )
        self._backend.scrub()
        return changed

    def delete(self, user: str) -> bool:
        """Erase a user; tell whether anything was stored."""
        self._check(filling=True)
        found = self._backend.remove(user)
        self._backend.scrub()
        return found

    def holds(self, user: str) -> bool:
        """Tell whether anything is stored of a user."""
        return bool(self._backend.read([user]))

    def fill(self, states: Iterable[UserState]) -> dict[str, int]:
        """Merge states made of stored tables into what is there; see `UserStore.fill`."""
        self._check(filling=True)
        rest, n_users, changed = iter(states), 0, 0
        while part := list(islice(rest, _BLOCK)):
            block: dict[str, UserState] = {}
            for state in part:
                block[state.user] = merged(block.get(state.user, UserState(state.user)), state, self._limits)
            n_users += len(block)
            changed += self._merge(block)["changed"]
        return {"users": n_users, "changed": changed}

    def finish_fill(self) -> None:
        """Declare all states made under the settings of this store."""
        self._check(filling=True)
        self._backend.describe(_SETTINGS, self._weighing.settings)

    def expire(self, before: datetime) -> int:
        """Drop every meeting from before a time; return how many users changed."""
        self._check(filling=True)
        names, changed = self._backend.users(), 0
        while block := list(islice(names, _BLOCK)):
            changed += self._update(
                block, lambda state: expired(state, microseconds(before), self._limits), only_known=True
            )
        self._backend.scrub()
        return changed

    def count(self) -> int:
        """Return of how many users anything is known."""
        return self._backend.count()

    def users(self, limit: int | None = None) -> Iterator[str]:
        """Yield the pseudonyms of users, at most `limit`."""
        return islice(self._backend.users(), limit)

    def about(self) -> dict[str, str]:
        """Return the facts about the store."""
        return self._backend.about()

    def describe(self, name: str, value: str) -> None:
        """Store a fact about the store; raise ValueError for one that the store keeps itself."""
        if name in (_KEY_ID, _SETTINGS):
            raise ValueError(f"{name} is kept by the store itself; choose another name")
        self._backend.describe(name, value)

    def clear(self) -> None:
        """Erase all users, and which key they were written with."""
        self._backend.clear()
        self._agrees = False

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        self._backend.close()

    def _merge(self, block: Mapping[str, UserState]) -> dict[str, int]:
        withheld: set[str] = set()

        def change(state: UserState) -> UserState:
            result = merged(state, replace(block[state.user], settings=state.settings), self._limits)
            if result.consent_personalization is False:
                withheld.add(state.user)
            return result

        changed = self._update(list(block), change)
        return {"changed": changed, "withheld": len(withheld)}

    def _update(self, users: Sequence[str], change: Change, *, only_known: bool = False) -> int:
        """Change each user's state, again from what is there now where another process was faster."""
        pending, changed = sorted(set(users)), 0
        for _ in range(_ATTEMPTS):
            stored = self._backend.read(pending)
            swaps = [swap for user in pending if (user in stored or not only_known)
                     and (swap := self._swap(user, stored.get(user), change))]  # fmt: skip
            pending = self._backend.swap(swaps) if swaps else []
            changed += len(swaps) - len(pending)
            if not pending:
                return changed
            time.sleep(random.uniform(0, 2 * _PAUSE_S))  # noqa: S311
        raise StorageError(
            f"{len(pending)} of {len(users)} users were changed by others {_ATTEMPTS} times in a row; try again later"
        )

    def _swap(self, user: str, old: bytes | None, change: Change) -> Swap | None:
        before = UserState(user) if old is None else decode_state(user, old)
        after = change(self._present(before))
        said = before if old is not None else replace(before, settings=after.settings)
        return None if after == said else Swap(user, old, encode_state(after))

    def _present(self, state: UserState) -> UserState:
        """Return a state with weights under the settings of this store."""
        if state.settings == self._weighing.settings:
            return state
        if not state.meetings:
            return replace(state, settings=self._weighing.settings)
        return self._weighing.reweighed(state)

    def _check(self, *, filling: bool = False) -> None:
        """Refuse another key and, unless the store is being filled, other settings; the first to come names both.

        The key is looked at again each minute, as the store may have been cleared for another one. Settings are not: a
        service goes on under its own while a fill under others is finished.
        """
        now = time.monotonic()
        if self._agrees and now < self._checked + _CHECKED_S:
            return
        about = self._backend.about()
        if len(about.keys() & {_KEY_ID, _SETTINGS}) < 2:
            self._backend.describe(_KEY_ID, self._key_id, if_absent=True)
            self._backend.describe(_SETTINGS, self._weighing.settings, if_absent=True)
            about = self._backend.about()
        if about[_KEY_ID] != self._key_id:
            raise ConfigError(
                f"the users' states were written with the pseudonym key {about[_KEY_ID]}, and the key here is "
                f"{self._key_id}: every user would become two. Set the key of before, or clear the store and fill it "
                "from tables of the new key"
            )
        self._checked = now
        self._agrees = self._agrees or about[_SETTINGS] == self._weighing.settings
        if not self._agrees and not filling:
            raise StorageError(
                "the users' states were made under other settings of event_weights, min_rating or watch_ratio_weight "
                "in [features] than these; fill them again, or set these back"
            )
