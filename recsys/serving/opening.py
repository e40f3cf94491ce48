"""Opens what serves: a bundle, its index, and the users whose states a deployment stores."""

from recsys.config import Config
from recsys.serving.people import StoredPeople
from recsys.serving.recommender import BundleRecommender
from recsys.users import Encoding, open_users


def open_recommender(config: Config, bundle: str, index: str) -> BundleRecommender:
    """Open a published bundle and index for a deployment's users.

    Raises StorageError when they do not belong together, ConfigError where the store of users' states cannot be named.
    """
    recommender = BundleRecommender.open(bundle, index, config.rerank)
    recommender.people = StoredPeople(open_users(config), encoding_for(recommender, config))
    return recommender


def encoding_for(recommender: BundleRecommender, config: Config) -> Encoding:
    """Return what stored users are encoded with for a recommender's bundle."""
    return Encoding(recommender.bundle.dataset.spec, recommender.places, config.features)
