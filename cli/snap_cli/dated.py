"""What is said of a snapshot whose date cannot be.

for told in tell_future(snapshot): app.warn(told)
"""

from __future__ import annotations

from datetime import UTC, datetime

from snap_cli.render import moment
from snapstore.operations.retention import is_ahead
from snapstore.repository import Snapshot

__all__ = ["tell_future"]


def tell_future(snapshot: Snapshot) -> list[str]:
    """What is to be said of a snapshot that is the latest by its date alone; nothing of others."""
    if not is_ahead(snapshot, datetime.now(UTC)):
        return []
    return [
        f"the snapshot {snapshot.id[:8]} is dated {moment(snapshot.time)} UTC, which is in the future: a clock is "
        "wrong, or was, and what was taken after it counts as older"
    ]
