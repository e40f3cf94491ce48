"""Users' one door: what is known of each user now, kept apart from any model and changed event by event.

Importing it and using it needs neither pandas nor scikit-learn, MLflow or TensorFlow.
"""

from recsys.users.backend import Backend, Swap
from recsys.users.encoding import Encoding
from recsys.users.opening import backend_of, open_users
from recsys.users.state import Fact, Limits, Meeting, UserState, merged
from recsys.users.store import BackedUserStore, UserStore
from recsys.users.tables import states_of_users
from recsys.users.weighing import Event, Weighing, settings_digest

__all__ = [
    "BackedUserStore",
    "Backend",
    "Encoding",
    "Event",
    "Fact",
    "Limits",
    "Meeting",
    "Swap",
    "UserState",
    "UserStore",
    "Weighing",
    "backend_of",
    "merged",
    "open_users",
    "settings_digest",
    "states_of_users",
]
