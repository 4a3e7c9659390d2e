"""Frozen values: the language that every other room speaks."""

from poolkeeper.model.finding import Finding, Severity, errors_in
from poolkeeper.model.snapshot import Holder, PoolSnapshot

__all__ = ["Finding", "Holder", "PoolSnapshot", "Severity", "errors_in"]
