"""Frozen values: the language that every other room speaks."""

from poolkeeper.model.finding import Finding, Severity, errors_in

__all__ = ["Finding", "Severity", "errors_in"]
