"""What a person looks at: the champion beside its baselines, and what it recommends; and the whole loop in one call."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.config import Config
from recsys.errors import RegistryError
from recsys.pipeline.data import build_features, ingest, select, validate
from recsys.pipeline.promotion import promote, register
from recsys.pipeline.training import evaluate, export_index, read_evaluation, refit, train
from recsys.pipeline.users import fill_users


def run(config: Config, start: str | None, end: str | None, run_name: str, say: Callable[[str], Any]) -> None:
    """Run every stage from the source to a promoted champion; `say` hears each stage's name."""
    say("ingest: read, check consent, pseudonymise")
    staged = ingest(config, start, end)
    say("validate")
    validate(config, staged["partitions"])
    say("features")
    chosen = select(config)
    say("users: fill their states")
    fill_users(config, chosen["dataset"])
    built = build_features(config, chosen["dataset"])
    say("train")
    trained = train(config, built["features"], chosen["dataset"], run_name)
    say("evaluate")
    measured = evaluate(config, trained)
    say("refit: train on all days what was judged")
    refitted = refit(config, trained)
    say("export index")
    index = export_index(config, refitted)
    say("register")
    registered = register(config, trained, measured, refitted, index)
    say("promote")
    promoted = promote(config, registered)
    if not promoted["promoted"]:
        say(f"undecided: {promoted['reason']}")


def show(config: Config) -> None:
    """Print the champion's table against its baselines, and lists for a known and a brand-new user."""
    from recsys.serving import NewcomerRecommender, open_recommender

    champion = champion_of(config)
    console = Console()
    report = read_evaluation(champion.evaluation)
    names = ("recall_at_10", "ndcg_at_10", "mrr_at_10", "coverage_at_10")
    table = Table("model", *names, title=f"Champion: version {champion.version}, test days, full catalogue")
    for model, metrics in report["metrics"].items():
        cells = [f"{metrics[name]:.4f}" if name in metrics else "" for name in names]
        table.add_row(model, *cells, style="bold green" if model == report["model"] else None)
    console.print(table)
    recommender = open_recommender(config, champion.bundle, champion.index)
    if warm := recommender.people.example():
        print_list(console, f"a known user ({warm[:8]}…)", recommender.recommend(warm, 10))
    newcomer = recommender.example_demographics()
    told = ", ".join(f"{name} {value}" for name, value in newcomer.items()) or "nothing known"
    newcomers = NewcomerRecommender(recommender, config.onboarding)
    print_list(console, f"a brand-new user ({told})", newcomers.recommend((), 10, newcomer))


def print_report(report: dict[str, Any]) -> None:  # Any: a backtest's metrics.json
    """Print a backtest: every model's main metrics, the main one with its interval."""
    main, k = report["main_metric"], report["main_metric"].rsplit("_", 1)[1]
    names = [f"{name}_at_{k}" for name in ("ndcg", "recall", "hit_rate")]
    table = Table("model", *names, f"{main} 95 %", title=f"{report['name']}: {report['protocol']}")
    for model, found in report["models"].items():
        low, high = found["intervals"][main]
        cells = [f"{found['metrics'][name]:.4f}" for name in names]
        table.add_row(model, *cells, f"{low:.3f} {high:.3f}")
    Console().print(table)


def print_recommendations(config: Config, user: str | None, k: int) -> None:
    """Print a user's list; the id is the source's own and leaves no trace."""
    import polars as pl

    from recsys.data import load_key, pseudonymise
    from recsys.serving import NewcomerRecommender, open_recommender

    champion = champion_of(config)
    recommender = open_recommender(config, champion.bundle, champion.index)
    if user is None:
        print_list(Console(), "a newcomer", NewcomerRecommender(recommender, config.onboarding).recommend((), k))
        return
    hidden = pseudonymise(pl.Series([user]), load_key(config))[0]
    print_list(Console(), f"user {hidden[:8]}…", recommender.recommend(hidden, k))


def champion_of(config: Config) -> Any:  # Any: Champion, imported where it is needed
    """Return the champion; raise RegistryError before the first promotion."""
    from recsys.registry.relocation import follow_root
    from recsys.serving import read_champion

    follow_root(config.storage)
    champion = read_champion(config.storage)
    if champion is None:
        raise RegistryError(f"nothing serves from {config.storage} yet; run the training stage first")
    return champion


def print_list(console: Console, who: str, recommendations: Any) -> None:  # Any: list of Recommendation
    """Print recommendations as a table."""
    table = Table("rank", "title", "score", "why", title=f"{len(recommendations)} for {who}")
    for each in recommendations:  # Text, for a title's brackets are no markup
        table.add_row(str(each.rank), Text(each.title or each.item_id), f"{each.score:.3f}", Text(each.reason))
    console.print(table)
