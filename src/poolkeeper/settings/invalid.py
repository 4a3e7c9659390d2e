"""What pydantic found wrong, told as findings: the value, the rule, the fix, and no secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

from poolkeeper.model import Finding, Severity
from poolkeeper.model.names import closest, environment_name
from poolkeeper.settings.masking import echo

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Whatever stands in these may be or hold a password that no pattern recognises, so it is never repeated.
_NEVER_ECHOED = frozenset({"url", "replica_urls", "signing_key", "connect_args", "engine_options"})

_RULES = {
    "int_parsing": "it has to be a whole number, without a unit",
    "int_type": "it has to be a whole number",
    "int_from_float": "it has to be a whole number",
    "float_parsing": "it has to be a number, without a unit",
    "float_type": "it has to be a number",
    "finite_number": "it has to be a finite number",
    "bool_parsing": "it has to be true or false",
    "bool_type": "it has to be true or false",
    "string_type": "it has to be a text",
    "dict_type": "it has to be a mapping of names to values",
    "tuple_type": "it has to be a list of database URLs",
    "greater_than": "it has to be more than {gt}",
    "greater_than_equal": "it has to be at least {ge}",
    "less_than": "it has to be less than {lt}",
    "literal_error": "it has to be one of {expected}",
    "string_too_short": "it has to have at least {min_length} characters",
    "string_too_long": "it may have at most {max_length} characters",
}


def findings_of(error: ValidationError, arguments: Mapping[str, object], prefix: str) -> tuple[Finding, ...]:
    """One finding per error. `arguments` are what the caller passed; the rest came from variables with `prefix`."""
    return tuple(_finding(detail, arguments, prefix) for detail in error.errors(include_url=False))


def unknown(name: str, known: Iterable[str]) -> Finding:
    """An argument that no setting is called by."""
    guess = closest(name, known)
    return Finding(
        code="setting-unknown",
        severity=Severity.ERROR,
        subject=name,
        seen=f"there is no setting named {name}",
        why="a setting that nothing reads would leave another value in force than you think",
        fix=f"Write {guess}, if that was meant"
        if guess
        else "Choose one of the documented settings; what else create_engine takes goes into engine_options",
    )


def _finding(detail: ErrorDetails, arguments: Mapping[str, object], prefix: str) -> Finding:
    subject = ".".join(str(part) for part in detail["loc"]) or "settings"
    field = str(detail["loc"][0]) if detail["loc"] else ""
    variable = environment_name(field, prefix)
    if detail["type"] == "missing":
        return _missing(field, variable)
    name = subject if field in arguments else variable
    value = "a value that is not repeated here" if field in _NEVER_ECHOED else echo(detail["input"])
    known_rule = _RULES.get(detail["type"])
    rule = known_rule.format(**detail.get("ctx", {})) if known_rule else detail["msg"].removeprefix("Value error, ")
    return Finding(
        code="setting-not-valid",
        severity=Severity.ERROR,
        subject=subject,
        seen=f"{name} = {value}",
        why=rule,
        fix=f"Correct {name}" if field == "url" else f"Correct {name}, or leave it out",
    )


def _missing(field: str, variable: str) -> Finding:
    return Finding(
        code="setting-missing",
        severity=Severity.ERROR,
        subject=field,
        seen=f"neither the argument {field} nor {variable} is given",
        why="there is no default for it",
        fix=f"Set {variable}, for example postgresql+asyncpg://user:password@host:5432/name",
    )
