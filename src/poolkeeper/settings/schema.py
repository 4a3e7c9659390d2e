"""The settings as they are given: names, types, units, limits, defaults."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, field_serializer
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from poolkeeper.facts import PROVIDERS
from poolkeeper.model import Finding, errors_in
from poolkeeper.model.names import ENVIRONMENT_PREFIX, environment_name
from poolkeeper.settings import invalid
from poolkeeper.settings.checks import findings_of
from poolkeeper.settings.checks.case import Case
from poolkeeper.settings.dsn import Dsn
from poolkeeper.settings.effective import EffectiveSettings
from poolkeeper.settings.masking import is_mapping, masked, masked_options
from poolkeeper.settings.profiles import ProfileName
from poolkeeper.settings.refused import SettingsRefused
from poolkeeper.settings.resolve import effective


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")  # noqa: TRY004 - pydantic reports ValueError only
    return value


def _known_provider(name: str) -> str:
    if name not in PROVIDERS:
        raise ValueError(f"not a known provider; known are {', '.join(PROVIDERS)}")
    return name


def _urls(value: object) -> object:
    """URLs in one text are separated by commas or white space; a comma inside a URL is not followed by a scheme."""
    if not isinstance(value, str):
        return value
    return re.split(r"[,\s]+(?=[\w+]+://)", value.strip()) if value.strip() else ()


def _numbers(value: object) -> object:
    return re.split(r"[,\s]+", value.strip()) if isinstance(value, str) and value.strip() else value or ()


def _json_object(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError('a JSON object is needed, such as {"name": "value"}') from None


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_not_a_bool)]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_not_a_bool)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), BeforeValidator(_not_a_bool)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_not_a_bool)]
Age = Annotated[int, Field(ge=-1), BeforeValidator(_not_a_bool)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_not_a_bool)]
CountOrZero = Annotated[int, Field(ge=0), BeforeValidator(_not_a_bool)]
Options = Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)]


class DatabaseSettings(BaseSettings):
    """Everything that decides how a service reaches its database. All times are seconds.

    A value comes from an argument, else from the environment (`DATABASE_POOL_SIZE`), else from the profile, the
    provider, or the default. In the environment, `none` stands for None. Raises SettingsRefused with every problem at
    once; neither that error nor the repr shows a secret.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_parse_none_str="none",
        defer_build=True,
        # Unknown arguments are refused below; a .env file may well hold more than ours.
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    url: Dsn = Field(description="The primary database, `dialect+driver://user:password@host:port/name`.")
    replica_urls: Annotated[tuple[Dsn, ...], NoDecode, BeforeValidator(_urls)] = Field(
        (), description="Read-only copies of it, separated by commas."
    )
    replica_weights: Annotated[tuple[Weight, ...], NoDecode, BeforeValidator(_numbers)] = Field(
        (), description="The share of the reads for each of them, in the same order: `2,1`. Not given: equal shares."
    )
    max_lag: Seconds = Field(10, description="A replica that is further behind gets no reads until it has caught up.")
    max_lag_bytes: Count | None = Field(
        None, description="The same in bytes of the write-ahead log; none: seconds alone decide."
    )
    replica_wait: SecondsOrZero = Field(
        0.1, description="Longest wait for a replica to show what the caller wrote; then the primary answers."
    )
    enforce_read_only: Literal["client", "server"] = Field(
        "client",
        description="Who refuses the writes of a read session on the primary: client, before they are sent; or server, "
        "too, by a READ ONLY transaction (PostgreSQL).",
    )
    signing_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret that signs what a client brings back to read its own writes; the same in every process.",
    )
    profile: ProfileName = Field("bounded", description="The kind of process; decides the values below.")
    provider: Annotated[str, BeforeValidator(_known_provider)] | None = Field(
        None, description="What stands between the service and its database; recognised from the URL where it can be."
    )
    service: str | None = Field(None, min_length=1, max_length=40, description="Name shown in application_name.")

    pool: Literal["queue", "null"] = Field("queue", description="Keep connections (queue), or open one per use (null).")
    pool_size: Count = Field(20, description="Connections that a process keeps; has open at once, with pool null.")
    max_overflow: CountOrZero = Field(0, description="Connections that it opens beyond pool_size for a while.")
    pool_timeout: Seconds = Field(10, description="Longest wait for a connection: queueing, connecting and checking.")
    pool_recycle: Age = Field(3600, description="Age at which a connection is replaced; -1: never.")
    pool_pre_ping: bool = Field(True, description="Ask a connection that was silent for ping_after before its use.")
    pool_use_lifo: bool = Field(True, description="Hand out the connection used last, so that others fall idle.")

    min_idle: CountOrZero | None = Field(
        None, description="Connections kept open and ready beyond those in use, within pool_size."
    )
    max_idle: Seconds | None = Field(600, description="Others are closed after being idle this long; none: never.")
    overflow_linger: SecondsOrZero = Field(
        5, description="How long a connection beyond pool_size may be idle before it is closed."
    )
    max_waiting: CountOrZero | None = Field(
        None, description="Callers that may wait; the next one is refused at once. none: no bound."
    )
    ping_after: SecondsOrZero = Field(
        2, description="Silence after which a connection has to answer a ping before it is handed out; 0: always."
    )
    ping_timeout: Seconds = Field(2, description="Longest wait for that answer.")
    keepalive: Seconds | None = Field(60, description="Idle connections are pinged this often; none: never.")
    connects_at_once: Count = Field(2, description="Connections that are opened at the same time.")
    connect_grace: SecondsOrZero = Field(
        5, description="How long an outage lets callers wait; then they get the connect error at once."
    )
    recycle_jitter: Share = Field(
        0.2, description="The last share of pool_recycle, over which replacements are spread; below 1."
    )
    warm_up_timeout: SecondsOrZero = Field(
        5, description="How long the start waits for min_idle connections; 0: not at all."
    )

    connect_timeout: Seconds = Field(5, description="Longest wait for one connection to open.")
    statement_timeout: Seconds | None = Field(
        30, description="The server ends a statement after this; none: the server's own setting."
    )
    command_timeout: Seconds | None = Field(
        None, description="The client gives up on a silent server after this; none: never."
    )
    tcp_keepalive: Count | None = Field(
        300, description="Silence after which TCP probes the peer; none: the system's own setting."
    )

    retry_attempts: Count = Field(5, description="How often run() tries a transaction, the first time included.")
    retry_budget: Share = Field(
        0.2, description="Retries are at most this share of the transactions of run(), plus ten a second; below 1."
    )

    client_timeout: Seconds | None = Field(None, description="How long the service's own callers wait for an answer.")
    expected_hold: Seconds = Field(0.1, description="How long a request usually keeps a connection.")
    drain_timeout: Seconds = Field(10, description="How long a shutdown waits for connections in use.")
    health_timeout: Seconds = Field(2, description="Longest wait of a health check.")

    max_connections: Count | None = Field(None, description="The server's (or the pooler's) limit.")
    reserved_connections: CountOrZero | None = Field(None, description="How many of those are kept for others.")
    workers: Count | None = Field(None, description="Processes per instance.")
    instances: Count | None = Field(None, description="Instances of the service, at the most.")
    thread_limit: Count | None = Field(None, description="Threads that run sync endpoints.")

    slow_hold: Seconds | None = Field(
        10, description="A connection that is held for longer is worth a line of the log; none: never."
    )
    look_at_server: bool = Field(
        True,
        description="While callers wait, ask the server why, over a connection beside the pool; and a PgBouncer, once, "
        "for its mode.",
    )
    echo: bool = Field(False, description="Log every statement.")
    echo_pool: bool = Field(False, description="Log every checkout and checkin.")
    hide_parameters: bool = Field(True, description="Keep statement parameters out of logs and errors.")
    connect_args: Options = Field(default_factory=dict, description="Arguments for the driver, as a JSON object.")
    engine_options: Options = Field(
        default_factory=dict, description="Anything else that create_engine takes, as a JSON object."
    )

    _from_environment: Mapping[str, str] = PrivateAttr(default_factory=dict[str, str])
    _prefix: str = PrivateAttr(default=ENVIRONMENT_PREFIX)

    def __init__(self, url: object = None, /, **values: Any) -> None:
        given: dict[str, Any] = values if url is None else {"url": url, **values}
        # Raised outside the except block: the ValidationError, which knows the input, must not hang on as the context.
        if problems := self._read(given):
            raise SettingsRefused((*problems, *self._beyond(problems, given)))
        self._prefix = self._prefix_for(given)
        self._from_environment = {
            name: environment_name(name, self._prefix) for name in self.model_fields_set - given.keys()
        }

    def _read(self, given: dict[str, Any]) -> tuple[Finding, ...]:
        fields = type(self).model_fields
        unknown = tuple(name for name in given if name not in fields and not name.startswith("_"))
        problems = tuple(invalid.unknown(name, fields) for name in unknown)
        try:
            super().__init__(**given)
        except ValidationError as error:
            problems += invalid.findings_of(error, given, self._prefix_for(given))
        return problems

    def _beyond(self, problems: tuple[Finding, ...], given: dict[str, Any]) -> tuple[Finding, ...]:
        """What else would be refused once the settings that cannot be read are corrected: all problems at once."""
        unreadable = {problem.subject.partition(".")[0] for problem in problems}
        if "url" in unreadable:
            return ()
        fields = type(self).model_fields
        readable = {name: value for name, value in given.items() if name not in unreadable}
        defaults = {name: fields[name].get_default(call_default_factory=True) for name in unreadable & fields.keys()}
        rest = type(self).__new__(type(self))
        if rest._read({**readable, **defaults}):
            return ()
        found = errors_in(rest.examine().findings)
        return tuple(finding for finding in found if finding.subject.partition(".")[0] not in unreadable)

    @classmethod
    def _prefix_for(cls, given: Mapping[str, Any]) -> str:
        return str(given.get("_env_prefix") or cls.model_config.get("env_prefix", ENVIRONMENT_PREFIX))

    @property
    def from_environment(self) -> Mapping[str, str]:
        """The settings that the environment gave, each with the variable it came from."""
        return self._from_environment

    def elsewhere(self, url: object, **settings: Any) -> DatabaseSettings:
        """The same settings for another host of the database, without replicas, but for what `settings` say.

        Raises SettingsRefused.
        """
        # Somebody's own settings may have a class, and fields, of their own.
        replicas: dict[str, Any] = {"replica_urls": (), "replica_weights": ()}
        same = (self.model_fields_set & DatabaseSettings.model_fields.keys()) - {"url", *replicas}
        values = replicas | {name: getattr(self, name) for name in same} | settings
        return DatabaseSettings(url, _env_prefix=self._prefix, **values)

    def resolve(self, environ: Mapping[str, str] | None = None) -> EffectiveSettings:
        """The settings as they act, with profile, provider and cross-checks applied.

        `environ` tells about the process (serverless platforms, misspelt variables); None means this process's own.
        Raises SettingsRefused with every finding of severity error.
        """
        examined = self.examine(environ)
        if refused := errors_in(examined.findings):
            raise SettingsRefused(refused)
        return examined

    def examine(self, environ: Mapping[str, str] | None = None) -> EffectiveSettings:
        """The same with errors among the findings, where `resolve` raises: to show them, not to build on them."""
        settings = effective(self)
        given = {name: getattr(self, name) for name in self.model_fields_set}
        findings = findings_of(Case(settings, given, os.environ if environ is None else environ, self._prefix))
        return replace(settings, findings=findings)

    @field_serializer("connect_args", "engine_options")
    def _without_secrets(self, options: dict[str, object]) -> dict[str, object]:
        return masked_options(options)

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        for name, value in super().__repr_args__():
            yield name, masked("", value) if is_mapping(value) else value
