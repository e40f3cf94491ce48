"""From what a client says of a person to what the engine knows them by, and from a list to what the client is told."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from recsys.config import PrivacyConfig
from recsys.data import PseudonymKey
from recsys.data.privacy import coarsen_users, pseudonym_of
from recsys.schema import AGE, LOCATION
from recsys.service.answers import ItemSource, RankedItem
from recsys.service.catalogue import Newcomer
from recsys.service.contract import Query
from recsys.service.version import Version
from recsys.serving.listing import Listed
from recsys.users import UserState


class Personal:
    """Pseudonyms, consent and labels under a deployment's privacy settings."""

    def __init__(self, privacy: PrivacyConfig, key: PseudonymKey) -> None:
        self._privacy, self._key = privacy, key

    def pseudonym(self, user_id: str | None) -> str | None:
        """Return the pseudonym of a user's own id."""
        return None if user_id is None else pseudonym_of(user_id, self._key)

    def may_profile(self, user: str | None, state: UserState | None) -> bool:
        """Tell whether a list may be made of what is known of a person.

        Where consent is not recorded, `privacy.consent_missing` decides; somebody without an id, who brings a session
        along, asks for it by that. With `purpose = "advertising"` those who object to a sale are left out too.
        """
        if user is None:
            return True
        if self._privacy.purpose == "advertising" and state is not None and state.do_not_sell:
            return False
        agreed = state.consent_personalization if state is not None else None
        return agreed if agreed is not None else self._privacy.consent_missing == "allow"

    def labels(self, demographics: Mapping[str, str]) -> dict[str, str]:
        """Return demographics as they pass the privacy door: a plain age as its band, a location's first parts."""
        return coarse(demographics, self._privacy)

    def items(self, version: Version, query: Query, listed: Listed, state: UserState | None) -> tuple[RankedItem, ...]:
        """Return a list as it is told; items that came after training stand where their nearest stand."""
        wanted, second, catalogue = query.wanted, int(query.time.timestamp()), version.catalogue
        source: ItemSource = "model" if len(listed.asker.positives) else "cold_start"
        explain = version.recommender.reasons.explain
        found: list[tuple[float, str, str, str | None, ItemSource]] = [
            (float(score), catalogue.ids[row], catalogue.titles[row],
             explain(listed.asker, int(row)) if wanted.explain else None, source)
            for row, score in zip(listed.rows.tolist(), listed.scores.tolist(), strict=True)
        ]  # fmt: skip
        met = {*wanted.exclude_ids, *wanted.answers, *(each.item_id for each in query.events)}
        if state is not None:
            met |= {*state.met, *(each.item for each in state.meetings)}
        fresh = [each for each in catalogue.newcomers
                 if each.item.item_id not in met and each.may_be_listed(second, wanted.filters)]  # fmt: skip
        reason = "new, and like what suits you" if wanted.explain else None
        for each, score in zip(fresh, _where_nearest_stand(version, listed, fresh), strict=True):
            place = next((at for at, one in enumerate(found) if one[0] < score), len(found))
            if place < wanted.k:
                found.insert(place, (score, each.item.item_id, each.item.title or "", reason, "cold_start"))
        return tuple(
            RankedItem(name, title, score, rank, reason, kind, 1.0)
            for rank, (score, name, title, reason, kind) in enumerate(found[: wanted.k], 1)
        )


def _where_nearest_stand(version: Version, listed: Listed, fresh: Sequence[Newcomer]) -> list[float]:
    """Return for each item the mean score of its nearest items, for who asked."""
    if not fresh:
        return []
    nearest = np.stack([each.nearest for each in fresh])
    rows, places = np.unique(nearest, return_inverse=True)
    values = version.recommender.lister.values(listed, rows)[places.reshape(nearest.shape)]
    return [float(mean) for mean in values.mean(axis=1)]


def coarse(demographics: Mapping[str, str], privacy: PrivacyConfig) -> dict[str, str]:
    """Return labels by column as they pass the privacy door; an age that is no number is taken for a band."""
    result = dict(demographics)
    if not result:
        return result
    age = result.get(AGE, "")
    told = pl.DataFrame(
        {AGE: [int(age) if age.isascii() and age.isdigit() else None], LOCATION: [result.get(LOCATION)]},
        schema={AGE: pl.Int64(), LOCATION: pl.String()},
    )
    row = coarsen_users(told, privacy).row(0, named=True)
    for name in (AGE, LOCATION):
        if row[name] is not None:
            result[name] = row[name]
        elif name == LOCATION or age.isdigit():
            result.pop(name, None)
    return result
