"""Choose a blend's weights on validation users: greedy coordinate ascent that must pay for every component."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.config import BlendConfig, Config
from recsys.errors import RecsysError
from recsys.evaluation.metrics import Floats, ndcg_at_k
from recsys.evaluation.users import hits_of
from recsys.features import VALIDATION, Dataset, Heldout, heldout
from recsys.scoring.baselines import item_counts
from recsys.scoring.blend import TOWER, Blend
from recsys.scoring.components import (
    COMPONENTS,
    CONTENT,
    COVISITATION,
    ITEM_ITEM,
    POPULARITY,
    RECENT,
    Component,
    Profiles,
    fit_components,
    item_item,
    uses_ease,
)
from recsys.scoring.recommender import TowerRecommender, Towers, recommendable_items
from recsys.scoring.topk import top_k

_K = 10
_CELLS = 4_000_000  # scores of one part held at a time
_ENTRIES = (0.25, 0.5, 1.0, 2.0)  # weights a part may enter with, in units of the greatest weight
_FACTORS = (0.5, 2**-0.5, 2**0.5, 2.0)
_START = 0.25  # the towers' weight where the ascent starts from another part
_WIDE = tuple(2.0**step for step in range(-3, 4))
_MAX_STEPS = 20
_SMALLEST_GAIN = 1e-6


@dataclass(frozen=True)
class Contest:
    """Candidates of each validation user: `parts` float32[n_users, C] by name, scaled; `hits` says which are relevant.

    `open_` bool[n_users, C] is False where a candidate stands a second time.
    """

    parts: Mapping[str, NDArray[np.float32]]
    open_: NDArray[np.bool_]
    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]

    def ndcg(self, weights: Mapping[str, float]) -> Floats:
        """Return nDCG@10 of each user under the weighted sum of parts."""
        total = np.zeros(self.open_.shape, np.float32)
        for name, weight in weights.items():
            total += np.float32(weight) * self.parts[name]
        best = top_k(total, _K, self.open_)
        found = np.take_along_axis(self.hits, np.maximum(best, 0), axis=1) & (best >= 0)
        return ndcg_at_k(found, self.n_relevant)


def choose_blend(config: Config, dataset: Dataset, towers: Towers) -> Blend:
    """Return the blend that validation asks for; components see the events before validation alone.

    Without validation users the towers stand alone. With `blend.content` what content says is weighed where validation
    asks for items without events; where none that may be ranked has one (new items alone), nothing else is. The towers
    always stay: they alone know what is said of users without events.
    """
    users = _drawn(heldout(dataset, VALIDATION), config)
    if not users.relevant.nnz:
        return _blend(config, {TOWER: 1.0}, {TOWER: 1.0}, {}, 0, config.blend.ease_l2[0])
    allowed = recommendable_items(dataset, VALIDATION) if users.candidates is None else users.candidates
    components, l2 = _fitted(config, dataset, users, allowed)
    if not components:
        return _blend(config, {TOWER: 1.0}, {TOWER: 1.0}, {}, users.user_rows.size, l2)
    scales, contest = _contest(config, dataset, TowerRecommender(dataset, towers, allowed), components, users, allowed)
    alone = {name: float(contest.ndcg({name: 1.0}).mean()) for name in contest.parts}
    weights = choose_weights(contest, config.blend.min_gain, config.blend.item_item_weight)
    alone["hybrid"] = float(contest.ndcg(weights).mean())
    taste_weight = config.onboarding.prior_weight if ITEM_ITEM in components else 0.0  # of new items nobody has a taste
    return _blend(config, weights, scales, alone, users.user_rows.size, l2, taste_weight)


def choose_weights(contest: Contest, min_gain: float, item_item_weight: float) -> dict[str, float]:
    """Return the weights, the towers' 1: the better of the ascents from the towers alone and from the best component.

    A part enters when it raises the mean by more than `min_gain` standard errors of the users' differences, and leaves
    when it is missed by less. In the end each weight moves to the middle of those that are as good up to that error,
    because where the maximum lies among them is chance. Item-item evidence that did not enter gets `item_item_weight`
    unless leaving it out gains more than that error: towers keep the epoch that these users liked best, which flatters
    them.
    """
    from_towers = _ascended(contest, {TOWER: 1.0}, min_gain)
    others = [name for name in contest.parts if name != TOWER]
    best = max(others, key=lambda name: contest.ndcg({name: 1.0}).mean(), default=None)
    if best is None:
        return from_towers
    from_best = _ascended(contest, {TOWER: _START, best: 1.0}, min_gain)
    chosen = from_best if _gains(contest, from_best, from_towers, min_gain) else from_towers
    chosen = _centred(contest, chosen, min_gain)
    if item_item_weight and ITEM_ITEM in contest.parts.keys() - chosen.keys():
        beside = {**chosen, ITEM_ITEM: item_item_weight * chosen[TOWER]}
        chosen = chosen if _gains(contest, chosen, beside, min_gain) else beside
    return {name: weight / chosen[TOWER] for name, weight in chosen.items()}


def _ascended(contest: Contest, start: dict[str, float], min_gain: float) -> dict[str, float]:
    weights, values = start, contest.ndcg(start)
    for _ in range(_MAX_STEPS):
        moves = [(tried, contest.ndcg(tried)) for tried in _moves(weights, list(contest.parts))]
        tried, found = max(moves, key=lambda move: move[1].mean())
        needed = min_gain * _error(found - values) if len(tried) > len(weights) else 0.0
        if found.mean() - values.mean() <= max(needed, _SMALLEST_GAIN):
            break
        weights, values = tried, found
    for name in [name for name in weights if name != TOWER]:
        without = {other: weight for other, weight in weights.items() if other != name}
        if not _gains(contest, weights, without, min_gain):
            weights = without
    return weights


def _centred(contest: Contest, weights: dict[str, float], min_gain: float) -> dict[str, float]:
    for name in [name for name in weights if name != TOWER]:
        tries = [{**weights, name: factor * weights[name]} for factor in _WIDE]
        as_good = [tried[name] for tried in tries if not _gains(contest, weights, tried, min_gain)]
        weights = {**weights, name: float(np.exp(np.mean(np.log(as_good))))}  # it is among them itself
    return weights


def _moves(weights: dict[str, float], parts: list[str]) -> Iterator[dict[str, float]]:
    for name in parts:
        if name not in weights:
            yield from ({**weights, name: entry * max(weights.values())} for entry in _ENTRIES)
        elif len(weights) > 1:
            yield from ({**weights, name: factor * weights[name]} for factor in _FACTORS)


def _gains(contest: Contest, weights: dict[str, float], other: dict[str, float], min_gain: float) -> bool:
    difference = contest.ndcg(weights) - contest.ndcg(other)
    return bool(difference.mean() > max(min_gain * _error(difference), _SMALLEST_GAIN))


def _error(differences: Floats) -> float:
    """Return the standard error of the mean."""
    return float(differences.std(ddof=1) / np.sqrt(differences.size)) if differences.size > 1 else 0.0


def _drawn(users: Heldout, config: Config) -> Heldout:
    n_users, limit = users.user_rows.size, config.blend.max_users
    if n_users <= limit:
        return users
    drawn = np.random.default_rng(config.evaluation.seed).choice(n_users, limit, replace=False)
    return users.take(np.sort(drawn))


def _fitted(
    config: Config, dataset: Dataset, users: Heldout, allowed: NDArray[np.bool_]
) -> tuple[dict[str, Component], float]:
    """Fit the components before validation; of the values of EASE's l2 keep the one that alone ranks best."""
    settings, recent_days = config.blend, config.evaluation.recent_days
    met = item_counts(dataset, VALIDATION) > 0
    names: list[str] = []
    fitted: dict[str, Component] = {}
    l2 = settings.ease_l2[0]
    if met[allowed].any():
        l2, fitted[ITEM_ITEM] = _best_item_item(dataset, users, allowed, settings)
        names += [COVISITATION, POPULARITY, RECENT]
    if settings.content and uses_ease(dataset, settings) and not met[users.relevant.indices].all():
        names.append(CONTENT)
    return fitted | fit_components(dataset, VALIDATION, names, settings, ease_l2=l2, recent_days=recent_days), l2


def _best_item_item(
    dataset: Dataset, users: Heldout, allowed: NDArray[np.bool_], settings: BlendConfig
) -> tuple[float, Component]:
    """Return item-item evidence and the value of EASE's l2 with which it alone ranks best."""
    values = settings.ease_l2 if uses_ease(dataset, settings) else settings.ease_l2[:1]
    best, found = -1.0, (values[0], item_item(dataset, VALIDATION, settings, values[0]))
    for l2 in values if len(values) > 1 else ():
        fitted = found[1] if l2 == found[0] else item_item(dataset, VALIDATION, settings, l2)
        value = _alone(dataset, users, allowed, fitted)
        if value > best:
            best, found = value, (l2, fitted)
    return found


def _alone(dataset: Dataset, users: Heldout, allowed: NDArray[np.bool_], component: Component) -> float:
    """Return the mean nDCG@10 of an item-item component alone."""
    values = []
    for block in _blocks(users):
        scores = Profiles.of(dataset, users, block).scores(ITEM_ITEM, component)
        hits = hits_of(top_k(scores, _K, _unseen(users, block, allowed)), users.relevant[block])
        values.append(ndcg_at_k(hits, _n_relevant(users)[block]))
    return float(np.concatenate(values).mean())


def _contest(
    config: Config,
    dataset: Dataset,
    towers: TowerRecommender,
    components: Mapping[str, Component],
    users: Heldout,
    allowed: NDArray[np.bool_],
) -> tuple[dict[str, float], Contest]:
    """Return each part's scale, and the candidates: what any part ranks among its best `blend.n_candidates`."""
    names = (TOWER, *(name for name in COMPONENTS if name in components))
    tower_scores = towers._scorer(users)
    gathered: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    spreads: dict[str, list[Floats]] = {name: [] for name in names}
    open_, hits = [], []
    for block in _blocks(users):
        profiles = Profiles.of(dataset, users, block)
        free = _unseen(users, block, allowed)
        scores = {TOWER: np.asarray(tower_scores(block), np.float32)}
        scores |= {name: profiles.scores(name, component) for name, component in components.items()}
        candidates = np.sort(
            np.hstack([top_k(scores[name], config.blend.n_candidates, free) for name in names]), axis=1
        )
        first = np.diff(candidates, axis=1, prepend=-1) > 0
        for name in names:
            spreads[name].append(scores[name][:, allowed].std(axis=1, dtype=np.float64))
            gathered[name].append(np.take_along_axis(scores[name], np.maximum(candidates, 0), axis=1))
        open_.append(first)
        hits.append(hits_of(candidates, users.relevant[block]))
    scales = {name: float(np.concatenate(spreads[name]).mean()) for name in names}
    if scales[TOWER] <= 0:
        raise RecsysError(f"{TOWER} gives every item the same score for every user; check its training and export")
    parts = {name: np.concatenate(gathered[name]) / np.float32(scale) for name, scale in scales.items() if scale > 0}
    scales = {name: scale for name, scale in scales.items() if scale > 0}
    return scales, Contest(parts, np.concatenate(open_), np.concatenate(hits), _n_relevant(users))


def _blocks(users: Heldout) -> list[slice]:
    n_users, n_items = users.seen.shape
    step = max(1, _CELLS // max(n_items, 1))
    return [slice(start, min(start + step, n_users)) for start in range(0, n_users, step)]


def _unseen(users: Heldout, block: slice, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    free: NDArray[np.bool_] = allowed & ~users.seen[block].toarray().astype(bool)
    return free


def _n_relevant(users: Heldout) -> NDArray[np.int64]:
    return np.diff(users.relevant.indptr).astype(np.int64)


def _blend(
    config: Config,
    weights: dict[str, float],
    scales: dict[str, float],
    validation: dict[str, float],
    n_users: int,
    ease_l2: float,
    taste_weight: float = 0.0,
) -> Blend:
    return Blend(
        weights=weights,
        scales={name: scales[name] for name in weights},
        validation=validation,
        n_users=n_users,
        ease_l2=ease_l2,
        recent_days=config.evaluation.recent_days,
        settings=config.blend,
        taste_weight=taste_weight,
        onboarding=config.onboarding,
    )
