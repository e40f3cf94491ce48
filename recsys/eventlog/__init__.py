"""The event log's door: what people did and were shown, who they are and what there is, as it arrives.

The online service writes it, `recsys.data` reads it as a source. Importing it imports no database driver but SQLite's.
"""

from recsys.eventlog.draining import Consumer, Drained, Message, drain, erase_quarantined
from recsys.eventlog.opening import has_log, open_log
from recsys.eventlog.protocol import EventLog
from recsys.eventlog.rows import Appended, Columns, Event, Item, Logged, User

__all__ = [
    "Appended",
    "Columns",
    "Consumer",
    "Drained",
    "Event",
    "EventLog",
    "Item",
    "Logged",
    "Message",
    "User",
    "drain",
    "erase_quarantined",
    "has_log",
    "open_log",
]
