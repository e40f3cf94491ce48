"""Register a challenger, decide whether it becomes champion, and go back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.errors import GateError, RegistryError
from recsys.pipeline.training import read_evaluation
from recsys.storage import digest_of, exists, join, local_path, locked, publish

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
_CHAMPION_TAG = "recsys.champion"  # what served under a version, so that a rollback restores all of it


def register(
    config: Config, trained: Json, evaluation: Json, index: Json, tags: Mapping[str, str] | None = None
) -> Json:
    """Publish the bundle and register it in MLflow as challenger; a run registered before keeps its version."""
    from recsys.features import TEST, load_dataset
    from recsys.registry import write_bundle
    from recsys.registry.runs import model_url, resumed_run
    from recsys.registry.versions import register_version
    from recsys.scoring import FittedBlend

    blend = _blend_of(evaluation["evaluation"])
    chosen: Json = {"blend": blend.model_dump(mode="json")} if blend else {}
    key = digest_of({"run_key": trained["run_key"], "index": index["index"].rsplit("/", 1)[-1], **chosen})
    arrays = load_dataset(trained["features"])
    fitted = FittedBlend.fit(blend, arrays, TEST + 1) if blend else None  # serving knows all there is
    with publish(join(config.storage, "bundles", trained["run_key"])) as publication:
        write_bundle(publication.path, local_path(trained["towers"]), arrays, {"run_key": trained["run_key"]}, fitted)
    numbers = {f"test.{name}": f"{value:.4f}" for name, value in evaluation["metrics"].items()}
    with resumed_run(config, trained["run_id"]):
        version = register_version(
            config,
            trained["run_id"],
            key,
            publication.uri,
            index["index"],
            {**(tags or {}), **numbers},
            list(arrays.spec.demographic_vocabs),
        )
    return {
        **trained,
        "version": version,
        "bundle": publication.uri,
        "index": index["index"],
        "recall": index["recall"],
        "evaluation": evaluation["evaluation"],
        "trained_until": arrays.spec.test_start,
        "time": "known" if arrays.spec.timed else "unknown",
        "model_url": model_url(config, version),
    }


def promote(config: Config, registered: Json) -> Json:
    """Move `champion` to the challenger if every gate holds; the decision goes to the ledger and onto the version.

    Raises GateError naming gate, value and limit of each refusal; the old champion then serves on.
    """
    from recsys.registry import decide_promotion, record_decision
    from recsys.registry.versions import make_champion, tag_version
    from recsys.serving import Champion, read_champion, write_champion

    with locked(config.storage, "promotion"):
        champion = read_champion(config.storage)
        if champion and champion.version == registered["version"]:
            make_champion(config, champion.version)
            return {"promoted": True, "version": champion.version, "gates": [], "note": "it is champion already"}
        decision = decide_promotion(config, _evidence(config, registered, champion))
        gates: list[Any] = [gate.model_dump() for gate in decision.gates]
        verdict = {"version": registered["version"], "run_id": registered["run_id"], "promoted": decision.promoted}
        tags = {f"gate.{gate.name}": str(gate) for gate in decision.gates}
        tag_version(config, registered["version"], {"recsys.promoted": str(decision.promoted), **tags})
        record_decision(config.storage, {**verdict, "champion": champion.version if champion else None, "gates": gates})
        if not decision.promoted:
            serving = f"champion {champion.version} serves on" if champion else "nothing serves yet"
            raise GateError(f"version {registered['version']} was refused; {serving}. {decision.refusal}")
        names = set(Champion.model_fields) - {"previous"}
        chosen = Champion(**{name: registered[name] for name in names}, previous=champion.version if champion else None)
        tag_version(config, registered["version"], {_CHAMPION_TAG: chosen.model_dump_json()})
        make_champion(config, registered["version"])
        write_champion(config.storage, chosen)
    return {**verdict, "gates": gates}


def rollback(config: Config, version: str | None = None) -> Json:
    """Make an earlier version serve again, by default the one the champion replaced."""
    from recsys.registry import load_bundle, record_decision
    from recsys.registry.versions import make_champion, version_tags
    from recsys.serving import Champion, read_champion, write_champion

    with locked(config.storage, "promotion"):
        champion = read_champion(config.storage)
        target = version or (champion.previous if champion else None)
        if champion is None or target is None:
            raise RegistryError("there is no earlier champion to go back to; name a version")
        tags = version_tags(config, target)
        if _CHAMPION_TAG not in tags:
            raise RegistryError(f"version {target} never passed the gates; only a former champion can serve again")
        former = Champion.model_validate_json(tags[_CHAMPION_TAG])
        load_bundle(former.bundle)
        make_champion(config, target)
        write_champion(config.storage, former.model_copy(update={"previous": champion.version}))
        record_decision(config.storage, {"version": target, "rollback_from": champion.version, "promoted": True})
    return {"version": target, "replaced": champion.version}


def ledger(config: Config) -> list[Json]:
    """Return every promotion decision; raises StorageError when one was altered."""
    from recsys.registry import read_ledger

    return read_ledger(config.storage)


def _blend_of(evaluation: str) -> Any:  # Any: Blend, imported where it is needed; None where towers stand alone
    from recsys.scoring import BLEND_FILE, read_blend

    return read_blend(local_path(evaluation)) if exists(join(evaluation, BLEND_FILE)) else None


def _evidence(config: Config, registered: Json, champion: Any) -> Any:  # Any: Champion, Evidence
    from recsys.evaluation import evaluate_champion
    from recsys.features import load_dataset
    from recsys.registry import Evidence, load_bundle
    from recsys.serving import BundleRecommender, check_parity

    with np.load(local_path(registered["evaluation"]) / "per_user.npz") as arrays:
        values = {name: arrays[name] for name in arrays.files}
    cold = values.pop("cold").astype(bool)
    model = values.pop(read_evaluation(registered["evaluation"])["model"])
    old = None
    if champion:
        bundle = load_bundle(champion.bundle)
        dataset = load_dataset(registered["features"])
        blend = bundle.blend.blend if bundle.blend else None
        spec, text_model = bundle.dataset.spec, bundle.dataset.text_model
        old = evaluate_champion(config, dataset, spec, text_model, bundle.towers, blend=blend).per_user
    here = BundleRecommender.open(registered["bundle"], registered["index"])
    return Evidence(
        model=model,
        baselines=values,
        champion=old,
        champion_version=champion.version if champion else "",
        index_recall=registered["recall"],
        parity=check_parity(registered["bundle"], registered["index"], here),
        cold=cold,
    )
