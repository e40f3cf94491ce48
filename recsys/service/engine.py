"""What answers: the champion's bundle for users whose states are stored, kept up to date by every event."""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from recsys.config import Config
from recsys.data import PseudonymKey, load_key
from recsys.data.privacy import masked_ids
from recsys.errors import ConfigError, NotFoundError, RecsysError, RefusedError, StorageError
from recsys.eventlog import Event as LoggedEvent
from recsys.eventlog import EventLog, Item, open_log
from recsys.service.answers import (
    DegradedStep,
    EngineCounts,
    OnboardingQuestion,
    Parameters,
    Questions,
    RankedItem,
    RankedList,
    Readiness,
    Receipt,
    Recorded,
    SimilarItem,
    SimilarItems,
    UserExport,
)
from recsys.service.contract import Query
from recsys.service.exposures import Exposures
from recsys.service.personal import Personal
from recsys.service.requests import Consent, Event, ItemRecord, OnboardingRequest, UserRecord
from recsys.service.swapping import Swapper
from recsys.service.version import Version
from recsys.service.words import parameters_of
from recsys.service.writing import Writer
from recsys.serving import Person
from recsys.serving.listing import Ask, Listed
from recsys.serving.requests import HistoryEvent
from recsys.users import UserState, UserStore, open_users

_LAST_LISTS: Final = 10_000  # users whose last list is kept for when the next one takes too long
_IMPERSONAL: Final = 1.0


class LiveEngine:
    """Answers from the version in force; see `recsys.service.contract.Engine` for what each call does.

    A list is made of the user's state as it is at the moment of the request. Who has not agreed to personalisation gets
    what is popular and fresh, and nothing of the request is stored.
    """

    def __init__(self, config: Config, log: EventLog, store: UserStore, key: PseudonymKey) -> None:
        self._config, self._log, self._store, self._key = config, log, store, key
        self._personal = Personal(config.privacy, key)
        self._exposures = Exposures(log)
        self._writer = Writer(config, log, store, key, self._exposures)
        self._last: OrderedDict[str, RankedList] = OrderedDict()
        self._lock = threading.Lock()
        self._swapper = Swapper(config, log)
        self._swapper.start()

    def recommend_many(self, queries: Sequence[Query]) -> Sequence[RankedList | RecsysError]:
        """Answer each query in its place; states are read once, scores are made together."""
        version = self._swapper.version
        if version is None:
            return [self._no_model() for _ in queries]
        users = [self._personal.pseudonym(query.user_id) for query in queries]
        states, degraded = self._states([user for user in users if user])
        answers: list[RankedList | RecsysError] = [StorageError("not answered")] * len(queries)
        asks, places = [], []
        for place, (query, user) in enumerate(zip(queries, users, strict=True)):
            state = states.get(user) if user else None
            if not query.wanted.profiling or not self._personal.may_profile(user, state):
                answers[place] = self._impersonal(version, query, degraded if user else None)
                continue
            try:
                asks.append(self._ask(version, query, state))
                places.append(place)
            except RecsysError as error:
                answers[place] = error
        listed = version.recommender.lister.lists(asks)
        for place, one in zip(places, listed, strict=True):
            user = users[place]
            answers[place] = self._told(version, queries[place], user, one, states.get(user or ""), degraded)
        return answers

    def fallback(self, query: Query, step: DegradedStep) -> RankedList:
        """Return the user's last list where it still holds, else what is popular and fresh."""
        version = self._swapper.version
        user = self._personal.pseudonym(query.user_id)
        with self._lock:
            last = self._last.get(user) if user else None
        if version is None:
            return self._no_model()
        if last is None or not query.wanted.profiling or last.bundle_version != version.name:
            return self._impersonal(version, query, step)
        barred, second = set(query.wanted.exclude_ids), int(query.time.timestamp())
        eligible = version.catalogue.eligible(query.wanted.filters, second)
        kept = [
            item
            for item in last.items
            if item.item_id not in barred
            and version.catalogue.may_be_listed(item.item_id, eligible, query.wanted.filters, second)
        ]
        items = tuple(
            replace(item, rank=rank, source="fallback") for rank, item in enumerate(kept[: query.wanted.k], 1)
        )
        return RankedList(items, version.name, True, degraded=step)

    def similar(self, item_id: str, k: int) -> SimilarItems:
        """Return up to k items like one."""
        version = self._current()
        if not version.catalogue.is_there(item_id):
            raise NotFoundError("the item is not known")
        second = int(datetime.now(UTC).timestamp())
        found = version.catalogue.similar(item_id, k, second)
        items = tuple(SimilarItem(name, title, score, rank) for rank, (name, title, score) in enumerate(found, 1))
        return SimilarItems(items, version.name)

    def questions(self, request: OnboardingRequest) -> Questions:
        """Return what to ask a newcomer next."""
        version = self._current()
        places = version.catalogue.places
        if unknown := [item for item in request.answers if item not in places]:
            raise RefusedError(f"{len(unknown)} of {len(request.answers)} answered items are not in the catalogue")
        asked = version.newcomers.next_questions(
            tuple(request.answers.items()), self._personal.labels(request.demographics), request.n
        )
        return Questions(tuple(OnboardingQuestion(each.item_id, each.title, each.familiarity) for each in asked))

    def record_many(self, batches: Sequence[Sequence[Event]]) -> Sequence[Recorded | RecsysError]:
        """Make each batch durable, then let it count for the next list."""
        found: list[Recorded | RecsysError] = []
        for batch in batches:
            try:
                found.append(self._writer.record(batch))
            except RecsysError as error:
                found.append(error)
        return found

    def record_answers(self, request: OnboardingRequest, time: datetime) -> None:
        """Store a user's onboarding answers as events of that time."""
        self._writer.record_answers(request, time)

    def put_item(self, item_id: str, item: ItemRecord) -> None:
        """Add an item to the catalogue or replace it."""
        self._changed(self._writer.put_item(item_id, item))

    def delete_item(self, item_id: str) -> None:
        """Take an item out of every list."""
        self._changed(self._writer.delete_item(item_id))

    def put_user(self, user_id: str, user: UserRecord) -> None:
        """Add a user or replace the demographics."""
        self._writer.put_user(user_id, user)

    def put_consent(self, user_id: str, consent: Consent) -> None:
        """Replace a user's consent."""
        self._writer.put_consent(user_id, consent)
        if not consent.personalization:
            self._forget(user_id)

    def erase_user(self, user_id: str) -> Receipt:
        """Erase a user from states and log at once, and leave an order for all else."""
        self._forget(user_id)
        return self._writer.erase(user_id)

    def export_user(self, user_id: str) -> UserExport:
        """Return everything kept about a user."""
        return self._writer.export(user_id)

    def parameters(self) -> Parameters:
        """Return the main parameters in plain words."""
        version = self._swapper.version
        return parameters_of(version.weights, version.columns) if version else parameters_of({}, [])

    def readiness(self) -> Readiness:
        """Tell whether lists can be served."""
        version = self._swapper.version
        if version is None:
            return Readiness(False, self._swapper.reason, None, self._swapper.refused)
        return Readiness(True, None, version.name, self._swapper.refused)

    def counts(self) -> EngineCounts:
        """Return the numbers for the metrics."""
        version = self._swapper.version
        sizes = {"last_lists": len(self._last), "exposures_waiting": len(self._exposures),
                 "exposures_dropped": self._exposures.n_dropped,
                 "items_changed": version.catalogue.n_changed if version else 0}  # fmt: skip
        return EngineCounts(self._swapper.n_swaps, self._swapper.n_refused, sizes)

    def close(self) -> None:
        """Write what waits, and let go of files."""
        self._swapper.close()
        self._exposures.close()
        self._store.close()
        self._log.close()

    def _current(self) -> Version:
        version = self._swapper.version
        if version is None:
            raise StorageError(self._swapper.reason or "no version serves yet")
        return version

    def _changed(self, item: Item) -> None:
        if (version := self._swapper.version) is not None:
            version.catalogue.change(item)

    def _no_model(self) -> RankedList:
        return RankedList((), "none", False, degraded="no_model")

    def _states(self, users: Sequence[str]) -> tuple[dict[str, UserState], DegradedStep | None]:
        try:
            return (self._store.get_many(users) if users else {}), None
        except StorageError:
            return {}, "no_state"

    def _ask(self, version: Version, query: Query, state: UserState | None) -> Ask:
        wanted, second = query.wanted, _second_from(query.time)
        places = version.catalogue.places
        demographics = self._personal.labels(wanted.demographics)
        answers = tuple((item, answer) for item, answer in wanted.answers.items() if item in places)
        history: list[HistoryEvent] = [(each.item_id, each.event, each.time) for each in query.events]
        taste = None
        if answers:
            history, taste = version.newcomers.folded(answers, demographics, history)
        met = (*(each.item for each in state.meetings), *state.met) if state is not None else ()
        # What was met is never listed again, be its time after that of the request, as of a clock that is ahead.
        barred = [places[item] for item in (*wanted.exclude_ids, *wanted.answers, *met) if item in places]
        return Ask(
            person=None if state is None else Person.of_state(state, version.encoding),
            k=wanted.k,
            second=second,
            demographics=demographics,
            device=wanted.context.device,
            history=history,
            taste=taste,
            barred=np.array(barred, np.int32),
            eligible=version.catalogue.eligible(wanted.filters, second),
            settings=wanted.rerank or self._config.rerank,
        )

    def _told(
        self,
        version: Version,
        query: Query,
        user: str | None,
        listed: Listed,
        state: UserState | None,
        degraded: DegradedStep | None,
    ) -> RankedList:
        items = self._personal.items(version, query, listed, state)
        ranked = RankedList(items, version.name, True, degraded=degraded)
        if user is not None and degraded is None:
            with self._lock:
                self._last[user] = ranked
                self._last.move_to_end(user)
                while len(self._last) > _LAST_LISTS:
                    self._last.popitem(last=False)
            self._exposures.add(_exposures(query, user, ranked, self._key))
        return ranked

    def _impersonal(self, version: Version, query: Query, degraded: DegradedStep | None) -> RankedList:
        wanted, second = query.wanted, int(query.time.timestamp())
        found = version.popular(wanted.k, second, wanted.filters, set(wanted.exclude_ids))
        reason = "popular and new" if wanted.explain else None
        items = tuple(
            RankedItem(name, title, score, rank, reason, "fallback", _IMPERSONAL)
            for rank, (name, title, score) in enumerate(found, 1)
        )
        return RankedList(items, version.name, False, degraded=degraded)

    def _forget(self, user_id: str) -> None:
        user = self._personal.pseudonym(user_id)
        with self._lock:
            self._last.pop(user or "", None)


def open_engine(config: Config) -> LiveEngine:
    """Return the engine of a deployment; raises ConfigError where log, states or key cannot be had."""
    if config.features.watch_ratio_weight:
        raise ConfigError(
            "features.watch_ratio_weight needs the durations of all items at every event, which the service does not "
            "hold; set it to 0 to serve"
        )
    threadpool_limits(config.service.threads)
    key = load_key(config)
    return LiveEngine(config, open_log(config, key.key_id, lambda: datetime.now(UTC)), open_users(config), key)


def _second_from(time: datetime) -> int:
    """Return the first whole second that is not before a time.

    Histories hold events that are older than the second of the list; what was done a moment ago is among them only if
    that second is not rounded down.
    """
    return math.ceil(time.timestamp())


def _exposures(query: Query, user: str, ranked: RankedList, key: PseudonymKey) -> list[LoggedEvent]:
    request = masked_ids([query.request_id], key)[0]
    return [
        LoggedEvent(
            event_id=f"{request}-{item.rank}",
            user_id=user,
            item_id=item.item_id,
            event="impression",
            timestamp=query.time,
            device=query.wanted.context.device,
            country=query.wanted.context.country,
            request_id=request,
            position=item.rank,
            propensity=item.propensity,
            bundle_version=ranked.bundle_version,
        )
        for item in ranked.items
    ]
