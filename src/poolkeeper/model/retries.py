"""What was tried again, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RetryReason(StrEnum):
    """Why a transaction, or the first statement of a read session, was tried again."""

    SERIALIZATION = "serialization"
    DEADLOCK = "deadlock"
    LOCK_TIMEOUT = "lock-timeout"
    DISCONNECT = "disconnect"
    UNREACHABLE = "unreachable"
    READ_ONLY = "read-only"
    COMMIT_UNKNOWN = "commit-unknown"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Retries:
    """What one `Database` has tried again since it was made.

    `transactions` were run by `run()` and its kin, each counted once. `retried` counts by `RetryReason`; "read" are
    first statements of read sessions that were sent again. `refused` are those retries that the budget did not allow,
    `unknown` the commits of such transactions whose answer was lost.
    """

    transactions: int = 0
    retried: Mapping[str, int] = field(default_factory=dict[str, int])
    refused: int = 0
    unknown: int = 0
