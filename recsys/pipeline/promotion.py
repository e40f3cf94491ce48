"""Register a challenger, decide whether it becomes champion, and go back.

One decision is one record: it is written to the ledger before anything moves, and a retry finds it there and completes
what is missing. Who a champion is, is the digest of what serves, never a version number.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recsys.config import Config
from recsys.errors import GateError, RegistryError
from recsys.pipeline.addresses import at_present
from recsys.pipeline.alias import reconcile
from recsys.pipeline.evidence import best_of_the_year, evidence_of
from recsys.pipeline.lineage import built_from, check_built_from, check_trained, digest_at, open_features
from recsys.storage import digest_of, exists, join, local_path, locked, publish, read_manifest

if TYPE_CHECKING:
    from recsys.serving import Champion

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
_CHAMPION_TAG = "recsys.champion"  # what served under a version, so that a rollback restores all of it
_SERVES = ("promoted", "rolled_back")  # kinds of records after which another model serves


@at_present
def register(
    config: Config,
    trained: Json,
    evaluation: Json,
    refitted: Json,
    index: Json,
    tags: Mapping[str, str] | None = None,
) -> Json:
    """Publish the bundle of the refit and register it in MLflow as challenger; a known one keeps its version.

    Raises GateError when towers, evaluation, refit and index do not belong together, StorageError when one was changed.
    """
    from recsys.features import TEST
    from recsys.registry import write_bundle
    from recsys.registry.runs import model_url, resumed_run
    from recsys.registry.versions import register_version
    from recsys.scoring import FittedBlend, TastePrior

    _check_handed_over(trained, evaluation, refitted, index)
    blend = _blend_of(evaluation["evaluation"])
    arrays, judged = open_features(refitted["features"]), open_features(trained["features"])
    fitted = FittedBlend.fit(blend, arrays, TEST + 1) if blend else None  # serving knows all there is
    prior = None if fitted and fitted.taste else TastePrior.fit(arrays, config.onboarding)
    info: Json = {
        "run_key": trained["run_key"],
        **built_from(
            towers=refitted["towers"], recipe=trained["towers"], evaluation=evaluation["evaluation"],
            features=refitted["features"],
        ),
    }  # fmt: skip
    with publish(join(config.storage, "bundles", refitted["run_key"]), info) as publication:
        write_bundle(publication.path, local_path(refitted["towers"]), arrays, info, fitted, prior)
    digest = f"{digest_at(publication.uri)}-{digest_at(index['index'])}"
    numbers = {f"test.{name}": f"{value:.4f}" for name, value in evaluation["metrics"].items()}
    with resumed_run(config, trained["run_id"]):
        version = register_version(
            config,
            trained["run_id"],
            digest,
            publication.uri,
            index["index"],
            {**(tags or {}), **numbers, "recsys.digest": digest},
            list(arrays.spec.demographic_vocabs),
        )
    return {
        **trained,
        "version": version,
        "digest": digest,
        "bundle": publication.uri,
        "index": index["index"],
        "recall": index["recall"],
        "evaluation": evaluation["evaluation"],
        "towers": refitted["towers"],
        "features": refitted["features"],
        "recipe_towers": trained["towers"],
        "recipe_features": trained["features"],
        "trained_until": arrays.spec.test_start,
        "test_start": judged.spec.test_start,
        "time": "known" if arrays.spec.timed else "unknown",
        "model_url": model_url(config, version),
    }


@at_present
def promote(config: Config, registered: Json) -> Json:
    """Move `champion` to the challenger if every gate passes; the decision goes to the ledger and onto the version.

    Raises GateError naming gate, value and limit of each refusal. Where the gates leave it undecided, `promoted` is
    False and `reason` says why. Either way the old champion serves on.
    """
    from recsys.registry import decide_promotion, read_ledger, record_decision
    from recsys.serving import read_champion

    with locked(config.storage, "promotion"):
        champion = completed(config, read_champion(config.storage))
        reconcile(config, champion)
        if champion and champion.digest == registered["digest"]:
            return {"promoted": True, "verdict": "promoted", "version": champion.version, "gates": [],
                    "note": "it is champion already"}  # fmt: skip
        records = read_ledger(config.storage)
        decision = digest_of({"challenger": registered["digest"], "champion": champion.digest if champion else None,
                              "evaluation": digest_at(registered["evaluation"]),
                              "policy": config.promotion.model_dump(mode="json")})  # fmt: skip
        record = next((each for each in records if each.get("decision") == decision), None)
        if record is None:
            _refuse_unfit(config, registered, champion, records, decision)
            best = best_of_the_year(records, config.storage, champion, registered["trained_until"])
            evidence = evidence_of(config, registered, champion, best)
            found = decide_promotion(config, evidence)
            chosen = _chosen(registered, champion, evidence)
            record = record_decision(
                config.storage,
                {
                    **_about(registered, champion, decision),
                    "kind": found.verdict,
                    "promoted": found.promoted,
                    "gates": [gate.model_dump() for gate in found.gates],
                    "reason": found.refusal,
                    "served": chosen.to_record(config.storage),
                },
            )
        elif record["kind"] == "promoted":
            raise GateError(
                f"version {registered['version']} was promoted once and is no longer champion; a decision is not taken "
                "twice: train again, or roll back to it"
            )
        return _carry_out(config, registered, champion, record)


def rollback(config: Config, version: str | None = None) -> Json:
    """Make an earlier version serve again, by default the one the champion replaced."""
    from recsys.registry import load_bundle, read_ledger, record_decision
    from recsys.registry.versions import version_tags
    from recsys.serving import Champion, read_champion

    with locked(config.storage, "promotion"):
        found = read_champion(config.storage)
        champion = completed(config, found)
        reconcile(config, champion)
        if champion and found and champion.digest != found.digest and version in (None, champion.version):
            return {"version": champion.version, "replaced": found.version}  # what was begun before is done now
        target = version or (champion.previous if champion else None)
        if champion is None or target is None:
            raise RegistryError("there is no earlier champion to go back to; name a version")
        tags = {} if target == champion.version else version_tags(config, target)
        if _CHAMPION_TAG not in tags:
            why = (
                f"version {target} serves already; there is nothing to undo"
                if target == champion.version
                else f"version {target} never passed the gates; only a former champion can serve again"
            )
            _record_refusal(config, champion, target, why)
            raise RegistryError(why)
        former = Champion.of_record(config.storage, json.loads(tags[_CHAMPION_TAG]))
        load_bundle(former.bundle)
        if f"{digest_at(former.bundle)}-{digest_at(former.index)}" != former.digest:
            raise RegistryError(f"the tag {_CHAMPION_TAG} of version {target} names files of another model; restore it")
        restored = former.model_copy(update={"previous": champion.version})
        serial = sum(each.get("kind") in _SERVES for each in read_ledger(config.storage))
        record: Json = {"kind": "rolled_back", "version": target, "promoted": True, "challenger": former.digest,
                  "champion": champion.digest, "replaced": champion.digest, "rollback_from": champion.version,
                  "decision": digest_of({"rollback": former.digest, "from": champion.digest, "serial": serial}),
                  "served": restored.to_record(config.storage)}  # fmt: skip
        record_decision(config.storage, record)
        _serve(config, restored)
    return {"version": target, "replaced": champion.version}


def ledger(config: Config) -> list[Json]:
    """Return every decision; raises StorageError when one was altered."""
    from recsys.registry import read_ledger

    return read_ledger(config.storage)


def _check_handed_over(trained: Json, evaluation: Json, refitted: Json, index: Json) -> None:
    check_trained(trained)
    check_trained(refitted)
    check_built_from(evaluation["evaluation"], towers=trained["towers"], features=trained["features"])
    check_built_from(index["index"], towers=refitted["towers"], features=refitted["features"])
    datasets = [read_manifest(each["features"]).info.get("dataset") for each in (trained, refitted)]
    if datasets[0] != datasets[1]:
        raise GateError(
            f"towers were judged on the dataset {datasets[0]} and trained again on {datasets[1]}: two runs are mixed"
        )


def _refuse_unfit(
    config: Config, registered: Json, champion: "Champion | None", records: list[Json], decision: str
) -> None:
    """Refuse, and record, a challenger that is not what it says, or that a newer champion has overtaken."""
    from recsys.registry import record_decision
    from recsys.registry.versions import version_tags

    check_built_from(registered["bundle"], towers=registered["towers"], evaluation=registered["evaluation"])
    check_built_from(registered["index"], towers=registered["towers"], features=registered["features"])
    why = ""
    tags = version_tags(config, registered["version"])
    if tags.get("recsys.digest") != registered["digest"]:
        why = f"version {registered['version']} in MLflow is another model than the one handed over; register it again"
    elif champion and registered["trained_until"] < champion.trained_until:
        why = (f"its data ends at {registered['trained_until']}, before that of champion {champion.version} "
               f"({champion.trained_until}): it is out of date; train again")  # fmt: skip
    elif any(each.get("kind") == "promoted" and each.get("challenger") == registered["digest"] for each in records):
        why = "it was champion once and was replaced; roll back to it instead of promoting it again"
    if why:
        about = _about(registered, champion, decision)
        record_decision(config.storage, {**about, "kind": "refused", "promoted": False, "gates": [], "reason": why})
        raise GateError(f"version {registered['version']} was refused; {why}")


def _about(registered: Json, champion: "Champion | None", decision: str) -> Json:
    return {
        "decision": decision,
        "version": registered["version"],
        "run_id": registered["run_id"],
        "challenger": registered["digest"],
        "champion": champion.digest if champion else None,
        "champion_version": champion.version if champion else None,
        "trained_until": registered["trained_until"],
        "time": registered["time"],
    }


def _chosen(registered: Json, champion: "Champion | None", evidence: Any) -> "Champion":  # Any: Evidence
    import numpy as np

    from recsys.serving import Champion

    quality = 1.0
    if champion and evidence.champion is not None:
        old, new = float(np.nanmean(evidence.champion)), float(np.nanmean(evidence.model))
        quality = champion.quality * (new / old if old > 0 else 1.0)
    names = set(Champion.model_fields) - {"previous", "quality"}
    own = {name: registered[name] for name in names}
    return Champion(**own, quality=quality, previous=champion.version if champion else None)


def completed(config: Config, champion: "Champion | None") -> "Champion | None":
    """Return the champion that the ledger names, made to serve now where a process ended between record and effect."""
    from recsys.registry import read_ledger
    from recsys.serving import Champion

    records: list[Json] = read_ledger(config.storage)
    serving = [record for record in records if record.get("kind") in _SERVES or record.get("serves")]
    if not serving:
        return champion
    named = Champion.of_record(config.storage, serving[-1]["served"])
    # A redaction may lead to other files of the same model, such as its evaluation's.
    redacted = serving[-1].get("kind") == "redacted"
    if champion is None or champion.digest != named.digest or (redacted and champion != named):
        _serve(config, named)
        return named
    return champion


def _carry_out(config: Config, registered: Json, champion: "Champion | None", record: Json) -> Json:
    from recsys.registry.versions import tag_version
    from recsys.serving import Champion

    gates = {f"gate.{gate['name']}": f"{gate['state']}: {gate['value']} against {gate['limit']} ({gate['detail']})"
             for gate in record["gates"]}  # fmt: skip
    tag_version(config, registered["version"], {"recsys.promoted": str(record["promoted"]), **gates})
    result = {"version": registered["version"], "run_id": registered["run_id"], "promoted": record["promoted"],
              "verdict": record["kind"], "gates": record["gates"], "reason": record["reason"]}  # fmt: skip
    serving = f"champion {champion.version} serves on" if champion else "nothing serves yet"
    if record["kind"] == "refused":
        raise GateError(f"version {registered['version']} was refused; {serving}. {record['reason']}")
    if record["kind"] == "undecided":
        return {
            **result,
            "reason": f"version {registered['version']} is not shown to be better; {serving}. {record['reason']}",
        }
    _serve(config, Champion.of_record(config.storage, record["served"]))
    return result


def _serve(config: Config, chosen: "Champion") -> None:
    """Make a model serve: its tag, the alias, the pointer; each may be done again."""
    from recsys.registry.versions import make_champion, tag_version
    from recsys.serving import write_champion

    record = json.dumps(chosen.to_record(config.storage))
    tag_version(config, chosen.version, {_CHAMPION_TAG: record, "recsys.digest": chosen.digest})
    make_champion(config, chosen.version)
    write_champion(config.storage, chosen)


def _record_refusal(config: Config, champion: "Champion", target: str, why: str) -> None:
    from recsys.registry import record_decision

    record_decision(config.storage, {"kind": "rollback_refused", "version": target, "promoted": False,
                                     "champion": champion.digest, "champion_version": champion.version,
                                     "reason": why})  # fmt: skip


def _blend_of(evaluation: str) -> Any:  # Any: Blend, imported where it is needed; None where towers stand alone
    from recsys.scoring import BLEND_FILE, read_blend

    return read_blend(local_path(evaluation)) if exists(join(evaluation, BLEND_FILE)) else None
