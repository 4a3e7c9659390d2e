"""Profiles: what kind of process uses the database. Any value can be overridden by a setting of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

ProfileName = Literal["bounded", "development", "small-api", "high-traffic", "background-worker", "serverless"]
PoolKind = Literal["queue", "null", "static"]


def _profile(**values: object) -> Mapping[str, object]:
    return MappingProxyType(values)


PROFILES: Mapping[ProfileName, Mapping[str, object]] = MappingProxyType(
    {
        "bounded": _profile(pool_size=20, max_overflow=0),
        "development": _profile(pool_size=5, max_overflow=5),
        "small-api": _profile(pool_size=10, max_overflow=10),
        "high-traffic": _profile(pool_size=20, max_overflow=30),
        "background-worker": _profile(
            pool_size=5, max_overflow=5, min_idle=1, statement_timeout=None, command_timeout=None
        ),
        "serverless": _profile(pool="null", pool_size=5, max_overflow=0, min_idle=0, keepalive=None),
    }
)
