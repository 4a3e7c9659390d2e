"""Where KeeperPool departs from the stock pool on purpose, each with its reason."""

from __future__ import annotations

# The record of a connect that failed serves the next one; the stock pool makes a new record each time.
SAME_RECORD = {"fail_in_connect"}

# Script: words of the stock pool, and ours. A close in the background must end, so it is always the bounded one.
LOG_WORDS = {"dispose": ("DEBUG Closing connection", "DEBUG Hard-closing connection")}
