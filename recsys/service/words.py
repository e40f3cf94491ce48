"""What lists depend on, in plain words, from the version that serves (Digital Services Act, articles 27 and 38)."""

from collections.abc import Mapping, Sequence
from typing import Final

from recsys.scoring import TOWER
from recsys.service.answers import Parameter, Parameters

_WORDS: Final = {
    TOWER: (
        "What you watched, read, liked and rated, the latest most",
        "a model that learned from everybody's histories",
    ),
    "item_item": ("What goes together", "items that people who had yours had too"),
    "covisitation": ("What follows what", "items that others turned to after your last ones"),
    "popularity": ("What is popular", "items that many people turned to"),
    "recent_popularity": ("What is popular now", "items that many people turned to in the last days"),
    "content": ("What is alike", "items whose descriptions are like those of yours"),
}
_WITHOUT: Final = (
    "Withdraw your consent, or ask for a list without profiling: then it is made of what is popular and new alone, of "
    "nothing about you, and nothing of your request is kept."
)
_HISTORY: Final = "Remove events by erasing your data, or dislike an item: it is not shown again."


def parameters_of(weights: Mapping[str, float], columns: Sequence[str]) -> Parameters:
    """Return the main parameters, the most important first, and how a person can change each.

    `weights` are those of a version's components, `columns` the demographics that it knows.
    """
    parts = [
        Parameter(*_named(name, weight / max(sum(abs(each) for each in weights.values()), 1e-9)), _HISTORY)
        for name, weight in sorted(weights.items(), key=lambda each: -abs(each[1]))
        if weight
    ]
    if columns:
        parts.append(
            Parameter(
                "Who you are",
                f"what you told of {', '.join(columns)}: it counts most while little is known of you",
                "Change or leave out what you tell; it counts from the next list on.",
            )
        )
    context = "the hour, the weekday and the device of the request"
    parts.append(Parameter("When and where you ask", context, "Leave out device and time in the request."))
    return Parameters(tuple(parts), _WITHOUT)


def _named(name: str, share: float) -> tuple[str, str]:
    title, words = _WORDS.get(name, (name, name))
    return title, f"{words}; it makes up about {share:.0%} of the weights"
