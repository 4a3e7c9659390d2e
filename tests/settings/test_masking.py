"""One secret, put everywhere a secret can be, and looked for everywhere settings are shown."""

from __future__ import annotations

import copy
import json
import pickle
import ssl
import traceback

import pytest

from poolkeeper.settings import DatabaseSettings, SettingsRefused
from poolkeeper.settings.masking import echo, masked, masked_text

SECRET = "hush4711"
URL = f"postgresql+asyncpg://reader:{SECRET}@db:6432/shop?password={SECRET}"
REPLICA = f"postgresql+asyncpg://reader:{SECRET}@replica/shop"
CONNECT_ARGS = {
    "password": SECRET,
    "passfile": f"/{SECRET}",
    "dsn": f"postgres://u:{SECRET}@h/d",
    "server_settings": {"my.secret": SECRET, "application_name": f"host=h password={SECRET}"},
    "ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
}


def complete() -> DatabaseSettings:
    options = {"connect_args": {"password": SECRET}, "execution_options": {"token": SECRET}}
    return DatabaseSettings(
        url=URL, replica_urls=[REPLICA], signing_key=SECRET * 2, connect_args=CONNECT_ARGS, engine_options=options
    )


def everything_shown() -> dict[str, str]:
    settings = complete()
    examined = settings.examine({"DATABASE_PASWORD": SECRET, "DATABASE_POOL_SZIE": SECRET})
    assert examined.findings
    return {
        "repr of the settings": repr(settings),
        "str of the settings": str(settings),
        "dump": str(settings.model_dump()),
        "JSON dump": settings.model_dump_json(),
        "repr of the effective settings": repr(examined),
        "report": "\n".join(examined.report()),
        "JSON": json.dumps(examined.as_dict()),
        "findings": "\n".join(f"{finding} {finding!r}" for finding in examined.findings),
    }


def test_no_secret_is_shown_anywhere():
    told = [place for place, text in everything_shown().items() if SECRET in text]
    assert told == []
    assert all(everything_shown().values())


def test_the_secret_is_still_there_for_the_driver():
    settings = complete()
    assert SECRET in settings.url.secret
    assert settings.examine().connect_args["password"] == SECRET


def everything_in(error: BaseException) -> str:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(current)
        current = current.__cause__ or current.__context__
    told = [f"{link} {link!r} {link.args!r} {vars(link)}" for link in chain]
    return "\n".join([*told, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "given",
    [
        {"url": f"postgresql+asyncpg://u:{SECRET}@s@h/d"},
        {"url": f"u:{SECRET}@h/d"},
        {"url": URL, "signing_key": SECRET[:15]},
        {"url": f"postgresql+asyncpg://u:p@{SECRET}:x/d"},
        {"url": f"postgresql+asyncpg://u:{SECRET}@h/d", "pool_size": -5},
        {"url": f"postgres://u:{SECRET}@h/d"},
        {"url": ["postgresql+asyncpg://", SECRET]},
        {"url": URL, "replica_urls": f"{REPLICA}, u:{SECRET}@h"},
        {"url": URL, "replica_urls": [f"mysql+aiomysql://u:{SECRET}@h/d", f"{SECRET}"]},
        {"url": URL, "connect_args": f'{{"password": "{SECRET}"'},
        {"url": URL, "connect_args": [SECRET]},
        {"url": URL, "engine_options": f'["{SECRET}"]'},
        {"url": URL, "pool_size": URL},
        {"url": URL, "profile": f"password={SECRET}"},
        {"url": URL, "pasword": SECRET},
        {"url": URL, "connect_args": {"server_settings": {"search_path": SECRET}}},
        {"url": URL, "connect_args": {"sslmode": SECRET}},
        {"url": URL, "service": [f"postgres://u:{SECRET}@h"]},
    ],
    ids=str,
)
def test_an_error_shows_no_secret_and_nothing_hangs_on_to_it(given):
    with pytest.raises(SettingsRefused) as refused:
        DatabaseSettings(**given).resolve({})
    assert SECRET not in everything_in(refused.value)
    assert refused.value.__context__ is None


def test_an_error_from_the_environment_shows_no_secret(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"postgresql+asyncpg://u:{SECRET}@s@h/d")
    monkeypatch.setenv("DATABASE_CONNECT_ARGS", f'{{"password": "{SECRET}"')
    monkeypatch.setenv("DATABASE_ENGINE_OPTIONS", SECRET)
    with pytest.raises(SettingsRefused) as refused:
        DatabaseSettings()
    assert {finding.subject for finding in refused.value.findings} == {"url", "connect_args", "engine_options"}
    assert SECRET not in everything_in(refused.value)


def test_settings_validated_inside_another_model_keep_their_secret_too():
    with pytest.raises(SettingsRefused) as refused:
        DatabaseSettings.model_validate({"url": f"postgresql+asyncpg://u:{SECRET}@s@h/d"})
    assert SECRET not in everything_in(refused.value)


def test_effective_settings_can_be_copied_and_sent_to_another_process():
    examined = DatabaseSettings(url=URL, connect_args={"password": SECRET}).examine({})
    assert pickle.loads(pickle.dumps(examined)) == examined == copy.deepcopy(examined)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:p@ss@h/d", "postgres://u:***@h/d"),
        ("postgres://:p@h/d", "postgres://:***@h/d"),
        ("host=h password=p port=1", "host=h password=*** port=1"),
        ("password = 'a b' x=1", "password = *** x=1"),
        ("{'sslpassword': 'p', 'a': 1}", "{'sslpassword': ***, 'a': 1}"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_in_free_text_are_masked(text, shown):
    assert masked_text(text) == shown


def test_what_is_unknown_is_shown_by_its_type_only():
    assert masked("ssl", object()) == "<object>"
    assert masked("x", b"hush") == "<bytes>"
    assert masked("keepalives", 1) == 1
    assert masked("x", {1: {"api_key": "hush"}, "n": [True, None]}) == {"1": {"api_key": "***"}, "n": [True, None]}


def test_an_echo_is_no_longer_than_a_line():
    assert len(echo("x" * 10_000)) < 100
