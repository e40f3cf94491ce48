"""What is known of one user, and how two parts of it become one.

Merging is associative, commutative and idempotent in the events: whatever their order and batches, and however often
each of them comes, the state is the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from recsys.features.events import STRENGTH
from recsys.schema import (
    CONSENT_ANALYTICS,
    CONSENT_PERSONALIZATION,
    DO_NOT_SELL,
    EVENT_KINDS,
    SIGNED_UP_AT,
    EventKind,
)

if TYPE_CHECKING:
    from recsys.features import EventArrays, UserArrays
    from recsys.users.encoding import Encoding

DAY_US: Final = 86_400_000_000
FLAGS: Final = (CONSENT_PERSONALIZATION, CONSENT_ANALYTICS, DO_NOT_SELL)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_strength = attrgetter(*STRENGTH)


class Meeting(NamedTuple):
    """The strongest event of a user, an item and a UTC day; `timestamp` in microseconds since 1970, `kind` from 1."""

    item: str
    kind: int
    value: float | None
    timestamp: int
    device: str | None
    event_id: str | None
    weight: float
    positive: bool

    @property
    def event(self) -> EventKind:
        """The event's kind in words."""
        return EVENT_KINDS[self.kind - 1]

    @property
    def day(self) -> int:
        """Days since 1970, in UTC."""
        return self.timestamp // DAY_US


class Fact(NamedTuple):
    """A label, flag or time in microseconds; since when it is known (microseconds), and whether the user said it."""

    value: str | bool | int
    at: int
    by_user: bool = False


class Limits(NamedTuple):
    """How many meetings are kept whole, and of how many items it is only remembered that they were met."""

    max_meetings: int
    max_met: int


@dataclass(frozen=True, slots=True)
class UserState:
    """One user, by pseudonym.

    `facts` are demographic labels, flags and the time of signing up, by column. `meetings` are sorted by time, event id
    and item. `met` says of items of older meetings on which day (since 1970) the last of those was. Events before
    `since` (microseconds, 0 for none) are never taken in: the user's own withdrawal of consent took them away.
    `settings` is the digest of what the meetings' weights were computed with.
    """

    user: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    meetings: tuple[Meeting, ...] = ()
    met: Mapping[str, int] = field(default_factory=dict)
    since: int = 0
    settings: str = ""

    @property
    def demographics(self) -> dict[str, str]:
        """Coarse labels by column, as users pass the privacy door; what is not known is not among them."""
        return {name: str(fact.value) for name, fact in self.facts.items() if name not in (*FLAGS, SIGNED_UP_AT)}

    @property
    def consent_personalization(self) -> bool | None:
        """Whether the user agreed to personalisation; None where nobody recorded it."""
        return self._flag(CONSENT_PERSONALIZATION)

    @property
    def consent_analytics(self) -> bool | None:
        """Whether the user may be measured; None where nobody recorded it."""
        return self._flag(CONSENT_ANALYTICS)

    @property
    def do_not_sell(self) -> bool | None:
        """Whether the user objects to uses that count as a sale; None where nobody recorded it."""
        return self._flag(DO_NOT_SELL)

    @property
    def signed_up_at(self) -> datetime | None:
        """When the user signed up; None where nobody recorded it."""
        fact = self.facts.get(SIGNED_UP_AT)
        return None if fact is None else moment(int(fact.value))

    def arrays(self, encoding: "Encoding", until: int | None = None) -> "EventArrays":
        """Return this user's events before second `until` as a dataset under the encoding's spec would hold them."""
        return encoding.arrays(self, until)

    def user_arrays(self, encoding: "Encoding") -> "UserArrays":
        """Return the one row that a dataset under the encoding's spec would hold of this user."""
        return encoding.user_arrays(self)

    def _flag(self, name: str) -> bool | None:
        fact = self.facts.get(name)
        return None if fact is None else bool(fact.value)


def microseconds(time: datetime) -> int:
    """Return microseconds since 1970; raise ValueError for a time without a zone."""
    if time.tzinfo is None:
        raise ValueError("a time must have a zone, such as UTC; got one without")
    return (time - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """Return the time, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def merged(state: UserState, other: UserState, limits: Limits) -> UserState:
    """Return what both say of the same user: of each meeting the stronger event, of each fact the newer.

    A user who has withdrawn from personalisation keeps no meeting. The user's own withdrawal is undone by `decided`
    alone, never by a state that was made of stored tables, however new.
    """
    facts = dict(state.facts)
    for name, fact in other.facts.items():
        facts[name] = _newer(name, facts.get(name, fact), fact)
    for one, another in ((state, other), (other, state)):
        if _has_withdrawn(one) and not _decided_by_user(another):
            facts[CONSENT_PERSONALIZATION] = one.facts[CONSENT_PERSONALIZATION]
    met = dict(state.met)
    for item, day in other.met.items():
        met[item] = max(day, met.get(item, day))
    whole = replace(state, facts=facts, met=met, since=max(state.since, other.since))
    return _kept(whole, (*state.meetings, *other.meetings), limits)


def decided(state: UserState, decisions: Mapping[str, bool], at: int, limits: Limits) -> UserState:
    """Return the state after the user's own decisions, by flag, at a time in microseconds.

    Withdrawing from personalisation drops all meetings, and no event from before it is taken in again; after agreeing
    anew, none from before that. A withdrawal counts whatever tables said, even later ones: they may not know of it yet.
    A decision older than the user's last one changes nothing, save that events before a withdrawal are dropped.
    """
    facts, since = dict(state.facts), state.since
    for name, value in decisions.items():
        before = facts.get(name)
        if name == CONSENT_PERSONALIZATION:
            returns = value and before is not None and not before.value and at >= before.at
            since = max(since, at) if not value or returns else since
            # Of two facts from one time the refusal counts elsewhere; here the user has just agreed.
            if returns or not (value or (before is not None and before.by_user)):
                before = None
        decision = Fact(value, at, by_user=True)
        facts[name] = _newer(name, before or decision, decision)
    return _kept(replace(state, facts=facts, since=since), state.meetings, limits)


def expired(state: UserState, before: int, limits: Limits) -> UserState:
    """Return the state without what was met before a time in microseconds."""
    meetings = [meeting for meeting in state.meetings if meeting.timestamp >= before]
    met = {item: day for item, day in state.met.items() if day * DAY_US >= before}
    return _kept(replace(state, met=met), meetings, limits)


def in_order(meetings: Iterable[Meeting]) -> tuple[Meeting, ...]:
    """Sort meetings as `recsys.features.events.in_time` does: by time, event id and item; a missing id comes first."""
    return tuple(sorted(meetings, key=lambda each: (each.timestamp, *_present(each.event_id), each.item)))


def strongest_by_day(meetings: Iterable[Meeting]) -> dict[tuple[int, str], Meeting]:
    """Return of each day and item the meeting that `recsys.features.events.strongest` would keep."""
    strongest: dict[tuple[int, str], Meeting] = {}
    for meeting in meetings:
        key = (meeting.timestamp // DAY_US, meeting.item)
        known = strongest.get(key)
        strongest[key] = meeting if known is None else _stronger(known, meeting)
    return strongest


def _kept(state: UserState, meetings: Iterable[Meeting], limits: Limits) -> UserState:
    """Return the state with the strongest event of each item and day, and no more than the limits allow.

    What goes beyond is decided by day and item alone, as these cannot change: a meeting that was dropped once would be
    dropped whatever comes later.
    """
    agreed = state.facts.get(CONSENT_PERSONALIZATION)
    if agreed is not None and not agreed.value:
        return replace(state, meetings=(), met={})
    strongest = strongest_by_day(meeting for meeting in meetings if meeting.timestamp >= state.since)
    met = {item: day for item, day in state.met.items() if day * DAY_US >= state.since}
    if len(strongest) > limits.max_meetings:
        for day, item in sorted(strongest)[: len(strongest) - limits.max_meetings]:
            met[item] = max(day, met.get(item, day))
            del strongest[day, item]
    if len(met) > limits.max_met:
        latest = sorted(met.items(), key=lambda each: (each[1], each[0]))
        met = dict(latest[len(met) - limits.max_met :])
    return replace(state, meetings=in_order(strongest.values()), met=met)


def _stronger(one: Meeting, another: Meeting) -> Meeting:
    return max(one, another, key=lambda each: [_present(value) for value in _strength(each)])


def _present(value: str | float | None) -> tuple[bool, str | float]:
    return (value is not None, 0 if value is None else value)


def _newer(name: str, one: Fact, another: Fact) -> Fact:
    """Return the newer of two facts; of two from one time the refusal, or the label that sorts last."""

    def rank(fact: Fact) -> tuple[int, bool, str, bool]:
        refuses = name in FLAGS and bool(fact.value) == (name == DO_NOT_SELL)
        return fact.at, refuses, str(fact.value), fact.by_user

    return max(one, another, key=rank)


def _has_withdrawn(state: UserState) -> bool:
    fact = state.facts.get(CONSENT_PERSONALIZATION)
    return fact is not None and fact.by_user and not fact.value


def _decided_by_user(state: UserState) -> bool:
    fact = state.facts.get(CONSENT_PERSONALIZATION)
    return fact is not None and fact.by_user
