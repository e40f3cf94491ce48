"""What clients tell: durable in the event log first, then in the users' states, so that the next list knows of it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from recsys.config import Config
from recsys.data import PseudonymKey
from recsys.data.erased import order_erasure
from recsys.data.privacy import masked_ids, pseudonym_of
from recsys.errors import NotFoundError, RefusedError
from recsys.eventlog import Event as LoggedEvent
from recsys.eventlog import EventLog, Item
from recsys.eventlog import User as LoggedUser
from recsys.schema import AGE, CONSENT_ANALYTICS, CONSENT_PERSONALIZATION, DO_NOT_SELL, EVENT_KINDS
from recsys.service.answers import Receipt, Recorded, UserExport
from recsys.service.exposures import Exposures
from recsys.service.personal import Personal, coarse
from recsys.service.requests import Consent, Event, ItemRecord, OnboardingRequest, UserRecord
from recsys.users import Event as StateEvent
from recsys.users import UserStore

_COLUMNS: Final = ("age", "gender", "location", "occupation")
_ANSWERED: Final = ("like", "dislike")


class Writer:
    """Writes log and states; one thread at a time."""

    def __init__(
        self, config: Config, log: EventLog, store: UserStore, key: PseudonymKey, exposures: Exposures
    ) -> None:
        self._config, self._log, self._store, self._key = config, log, store, key
        self._exposures = exposures
        self._personal = Personal(config.privacy, key)

    def record(self, batch: Sequence[Event]) -> Recorded:
        """Store the events of those who agreed; of others nothing is kept, and they count as accepted."""
        users = {each.user_id: pseudonym_of(each.user_id, self._key) for each in batch}
        states = self._store.get_many(sorted(set(users.values())))
        kept = [each for each in batch
                if self._personal.may_profile(users[each.user_id], states.get(users[each.user_id]))]  # fmt: skip
        if not kept:
            return Recorded(len(batch), 0)
        ids = masked_ids([each.event_id for each in kept], self._key)
        rows = [self._logged(each, users[each.user_id], name) for each, name in zip(kept, ids, strict=True)]
        found = self._log.append_events(rows)
        # A snapshot's ids are masked once more, and a state must know the same event by the same id.
        again = masked_ids(ids, self._key)
        self._store.apply(
            [StateEvent(name, row.user_id, row.item_id, row.event, row.value, row.timestamp, row.device)
             for row, name in zip(rows, again, strict=True)]
        )  # fmt: skip
        return Recorded(len(batch) - found.repeated, found.repeated)

    def record_answers(self, request: OnboardingRequest, time: datetime) -> None:
        """Store answers as likes and dislikes, one event for each item and answer."""
        if request.user_id is None:
            return
        self.record(
            [
                Event.model_construct(
                    event_id=f"onboarding {request.user_id} {item} {answer}",
                    user_id=request.user_id,
                    item_id=item,
                    event=answer,
                    timestamp=time,
                )
                for item, answer in request.answers.items()
                if answer in _ANSWERED
            ]
        )  # fmt: skip

    def put_item(self, item_id: str, item: ItemRecord) -> Item:
        """Log an item as it is from now on, and return the row."""
        row = Item(item_id=item_id, **dict(item))
        self._log.put_items([row])
        return row

    def delete_item(self, item_id: str) -> Item:
        """Log that an item is gone, and return the row."""
        self._log.delete_items([item_id])
        return Item(item_id=item_id, deleted=True)

    def put_user(self, user_id: str, user: UserRecord) -> None:
        """Store a user's demographics, coarse in the states."""
        unknown = sorted(set(user.demographics) - set(_COLUMNS))
        if unknown:
            raise RefusedError(f"demographics may have the columns {', '.join(_COLUMNS)}; got {len(unknown)} others")
        age = user.demographics.get(AGE)
        if age is not None and not (age.isascii() and age.isdigit() and int(age) <= 120):
            raise RefusedError("age must be whole years from 0 to 120")
        hidden, now = pseudonym_of(user_id, self._key), datetime.now(UTC)
        before = self._known(hidden)
        told: dict[str, Any] = {name: user.demographics.get(name) for name in _COLUMNS}
        told[AGE] = int(age) if age is not None else None
        self._log.put_users([LoggedUser(**{**before, **told, "user_id": hidden, "signed_up_at": user.signed_up_at})])
        self._store.put_demographics(hidden, coarse(user.demographics, self._config.privacy), now)

    def put_consent(self, user_id: str, consent: Consent) -> None:
        """Store what a user agrees to; a withdrawal takes away what was known at once."""
        hidden, now = pseudonym_of(user_id, self._key), datetime.now(UTC)
        flags = {
            CONSENT_PERSONALIZATION: consent.personalization,
            CONSENT_ANALYTICS: consent.analytics,
            DO_NOT_SELL: consent.do_not_sell,
        }
        self._log.put_users([LoggedUser(**{**self._known(hidden), **flags, "user_id": hidden, "deleted": False})])
        self._store.set_consent(hidden, flags, now)
        if not consent.personalization:
            self._exposures.forget(hidden)

    def erase(self, user_id: str) -> Receipt:
        """Erase a user from states and log, and write an order by which the pipeline erases the rest."""
        hidden = pseudonym_of(user_id, self._key)
        receipt = order_erasure(self._config.storage, user_id, self._key, datetime.now(UTC))
        self._exposures.forget(hidden)
        self._store.delete(hidden)
        self._log.erase(hidden)
        return Receipt(receipt)

    def export(self, user_id: str) -> UserExport:
        """Return what states and log hold of a user."""
        hidden = pseudonym_of(user_id, self._key)
        state = self._store.get(hidden)
        tables: dict[str, list[dict[str, Any]]] = {
            "facts": [], "meetings": [], "users": [], "events": []
        }  # fmt: skip
        if state is not None:
            tables["facts"] = [{"name": name, "value": fact.value} for name, fact in state.facts.items()]
            tables["meetings"] = [
                {"item_id": each.item, "event": EVENT_KINDS[each.kind - 1], "value": each.value,
                 "timestamp": datetime.fromtimestamp(each.timestamp / 1e6, UTC).isoformat()}
                for each in state.meetings
            ]  # fmt: skip
        latest = self._log.user(hidden)
        tables["users"] = [_plain(latest.row)] if latest is not None else []
        tables["events"] = [_plain(each.row) for each in self._log.events_of(hidden)]
        if state is None and not tables["users"] and not tables["events"]:
            raise NotFoundError("nothing is kept of this user")
        return UserExport(datetime.now(UTC), tables)

    def _known(self, user: str) -> dict[str, Any]:
        """Return the latest row of a user as fields; empty for an unknown one."""
        latest = self._log.user(user)
        return {} if latest is None else asdict(latest.row)

    def _logged(self, event: Event, user: str, event_id: str) -> LoggedEvent:
        session, request = (
            masked_ids([name], self._key)[0] if name else None for name in (event.session_id, event.request_id)
        )
        hidden = {"event_id": event_id, "user_id": user, "session_id": session, "request_id": request}
        return LoggedEvent(**{**dict(event), **hidden})


def _plain(row: Any) -> dict[str, Any]:  # Any: one of the log's records
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(row).items()
            if value is not None}  # fmt: skip
