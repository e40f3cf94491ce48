"""What the gates look at, gathered: challenger, champion and best champion of the last year on the same rows."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.config import Config
from recsys.errors import StorageError
from recsys.pipeline.data import moment_of
from recsys.pipeline.lineage import open_features
from recsys.pipeline.training import read_evaluation
from recsys.storage import exists, join, local_path

if TYPE_CHECKING:
    from recsys.evaluation import ServedModel
    from recsys.features import Dataset
    from recsys.registry import Evidence
    from recsys.serving import Champion

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
_YEAR = timedelta(days=365)


def evidence_of(config: Config, registered: Json, champion: "Champion | None", best: "Champion | None") -> "Evidence":
    """Measure a registered challenger beside the champion and the best of the last year; reload its files."""
    from recsys.evaluation import COLD_USERS, ServedModel, evaluate_champion
    from recsys.model import ExportedTowers
    from recsys.registry import Evidence
    from recsys.serving import BundleRecommender, DatasetPeople, check_judged, check_parity

    evaluation = registered["evaluation"]
    values, slices = _arrays(evaluation, "per_user.npz"), _arrays(evaluation, "slices.npz")
    dataset = open_features(registered["recipe_features"])
    report = read_evaluation(evaluation)
    model = values.pop(report["model"])
    whole = open_features(registered["features"])
    refit = ServedModel(
        whole.spec, whole.text_model, whole.items.ids.tolist(), ExportedTowers.load(local_path(registered["towers"]))
    )
    here = BundleRecommender.open(registered["bundle"], registered["index"], people=DatasetPeople(whole))
    return Evidence(
        model=model,
        baselines=values,
        champion=_measured(config, dataset, champion),
        champion_version=champion.version if champion else "",
        best=_measured(config, dataset, best),
        best_version=best.version if best else "",
        index_recall=registered["recall"],
        parity=check_parity(registered["bundle"], registered["index"], registered["features"], here),
        judged_parity=check_judged(registered["recipe_towers"], registered["recipe_features"], evaluation),
        cold=slices[COLD_USERS].astype(bool),
        groups={name: mask.astype(bool) for name, mask in slices.items() if "=" in name},
        refit=evaluate_champion(config, dataset, refit, name="refit").per_user,
        recipe=values.get("two_tower", model),
    )


def best_of_the_year(
    records: Iterable[Mapping[str, Any]], root: str, champion: "Champion | None", until: str
) -> "Champion | None":
    """Return the champion of the year before `until` whose quality was best, None where it is the one that serves.

    One that was rolled back does not count, nor one whose files are gone. A redacted one is what it became.
    """
    from recsys.serving import Champion

    since = _moment(until) - _YEAR
    records = list(records)
    undone = {record["replaced"] for record in records if record.get("kind") == "rolled_back"}
    histories: list[list[Json]] = []  # of each that was promoted, what it became by redactions
    for record in records:
        if record.get("kind") == "promoted":
            histories.append([record["served"]])
        elif record.get("kind") == "redacted":
            for became in histories:
                if became[-1]["digest"] == record["replaced"]:
                    became.append(record["served"])
    former = [Champion.of_record(root, became[-1]) for became in histories
              if not undone & {each["digest"] for each in became}]  # fmt: skip
    usable = [each for each in former if _moment(each.trained_until) >= since]
    best = max(usable, key=lambda each: each.quality, default=None)
    if best is None or champion is None or best.quality <= champion.quality or best.digest == champion.digest:
        return None
    return best if exists(best.bundle) and exists(best.recipe_towers) else None


def judged_model(champion: "Champion", test_start: str) -> "ServedModel":
    """Return a champion as it may be judged on days from `test_start` on.

    It is judged as it serves where its data ends before those days. Else it has learned from what it would be measured
    on: then the towers stand for it that it was judged by itself, which have not.
    """
    from recsys.evaluation import ServedModel
    from recsys.features import TEST
    from recsys.model import ExportedTowers
    from recsys.registry import load_bundle
    from recsys.scoring import BLEND_FILE, FittedBlend, read_blend

    if _moment(champion.trained_until) <= _moment(test_start):
        bundle = load_bundle(champion.bundle)
        spec, text, items = bundle.dataset.spec, bundle.dataset.text_model, bundle.dataset.items
        return ServedModel(spec, text, items.ids.tolist(), bundle.towers, bundle.blend)
    dataset = open_features(champion.recipe_features)
    towers = ExportedTowers.load(local_path(champion.recipe_towers))
    blended = exists(join(champion.evaluation, BLEND_FILE))
    blend = FittedBlend.fit(read_blend(local_path(champion.evaluation)), dataset, TEST) if blended else None
    return ServedModel(dataset.spec, dataset.text_model, dataset.items.ids.tolist(), towers, blend)


def _measured(config: Config, dataset: "Dataset", champion: "Champion | None") -> Any:  # Any: float64[n_users] or None
    from recsys.evaluation import evaluate_champion

    if champion is None:
        return None
    return evaluate_champion(config, dataset, judged_model(champion, dataset.spec.test_start)).per_user


def _arrays(evaluation: str, name: str) -> dict[str, Any]:  # Any: arrays of floats or of booleans
    try:
        with np.load(local_path(evaluation) / name) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {join(evaluation, name)}: {error}; run the evaluation stage again") from error


def _moment(text: str) -> Any:  # Any: datetime; an address of time is never empty here
    return moment_of(text)
