"""Everything that a database driver does in its own way, one file each."""

from __future__ import annotations

from poolkeeper.drivers.base import ConnectOptions, Driver
from poolkeeper.drivers.registry import driver_for, known_drivers

__all__ = ["ConnectOptions", "Driver", "driver_for", "known_drivers"]
