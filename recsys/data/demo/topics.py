"""What the demo world's items are about, and the words their texts use."""

from typing import Final

TOPICS: Final[dict[str, tuple[str, ...]]] = {
    "politics": ("election", "parliament", "minister", "coalition", "vote", "treaty"),
    "football": ("match", "goal", "striker", "league", "penalty", "stadium"),
    "cooking": ("recipe", "kitchen", "sauce", "oven", "spice", "dinner"),
    "travel": ("island", "railway", "passport", "harbour", "itinerary", "mountain"),
    "finance": ("market", "bond", "inflation", "dividend", "budget", "startup"),
    "science": ("experiment", "galaxy", "genome", "particle", "fossil", "climate"),
    "gaming": ("console", "quest", "speedrun", "multiplayer", "boss", "patch"),
    "music": ("album", "guitar", "festival", "chorus", "vinyl", "orchestra"),
    "fashion": ("runway", "fabric", "designer", "vintage", "sneaker", "tailor"),
    "health": ("sleep", "training", "nutrition", "yoga", "heart", "doctor"),
    "cinema": ("director", "premiere", "thriller", "screenplay", "actor", "sequel"),
    "technology": ("chip", "robot", "software", "battery", "satellite", "privacy"),
}
ADJECTIVES: Final = ("Hidden", "Great", "Last", "Quiet", "New", "Golden", "Strange", "Long", "Bright", "Lost")
REGIONS: Final = ("DE/Berlin/Berlin", "DE/Bavaria/Munich", "FR/Paris/Paris", "ES/Madrid/Madrid", "IT/Lazio/Rome",
                  "PL/Mazovia/Warsaw")  # fmt: skip
OCCUPATIONS: Final = ("student", "engineer", "teacher", "nurse", "retired", "sales", "artist", "other")
LANGUAGES: Final = ("en", "de", "fr", "es")
DEVICES: Final = ("phone", "desktop", "tv", "tablet")
GENDERS: Final = ("F", "M", "X")
