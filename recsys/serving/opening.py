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
    encoding = Encoding(recommender.bundle.dataset.spec, recommender.places, config.features)
    recommender.people = StoredPeople(open_users(config), encoding)
    return recommender
