from __future__ import annotations

import copy
import pickle
from urllib.parse import unquote

import pytest
import sqlalchemy
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from poolkeeper.settings import Dsn, DsnInvalid

SCHEMES = ("postgresql+asyncpg", "postgresql", "mysql+aiomysql", "sqlite+aiosqlite")
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=12)
# SQLAlchemy 2.0 neither quotes nor unquotes the database's name; an "@" in it is refused then, with advice.
QUOTES_DATABASE = sqlalchemy.__version__ >= "2.1"
DATABASES = TEXTS if QUOTES_DATABASE else TEXTS.filter(lambda name: "@" not in name)
HOSTS = st.sampled_from(("db.example.com", "10.0.0.1", "localhost", "::1", "2001:db8::17"))


def same_reading(dsn: Dsn, url: URL) -> bool:
    query = dict(url.query)
    password = url.password is not None
    ours = (dsn.scheme, dsn.username, dsn.password_given, dsn.host, dsn.port, dsn.database, dict(dsn.query))
    database = url.database if QUOTES_DATABASE or url.database is None else unquote(url.database)
    return ours == (url.drivername, url.username, password, url.host, url.port, database, query)


@given(
    scheme=st.sampled_from(SCHEMES),
    username=st.none() | TEXTS,
    password=st.none() | TEXTS,
    host=st.none() | HOSTS,
    port=st.none() | st.integers(1, 65535),
    database=st.none() | DATABASES,
    query=st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, min_size=2, max_size=3).map(tuple), max_size=3),
)
def test_what_sqlalchemy_writes_is_read_as_sqlalchemy_reads_it(scheme, username, password, host, port, database, query):
    if username is None:
        password = None
    url = URL.create(scheme, username, "x" if password == "***" else password, host, port, database, query)
    text = url.render_as_string(hide_password=False)
    assert same_reading(Dsn(text), make_url(text))


@given(st.sampled_from(SCHEMES), st.text("abc1:/?@[]%4=&+#.,*é ", max_size=30))
@example("postgresql", "u@h:5432/db?x=a@b")
@example("postgresql", "u:p@h1:1,h2:2/db?a=1")
@example("postgresql", "h1,h2")
@example("sqlite+aiosqlite", "/a@b.db")
@example("postgresql", ":@/")
@example("postgresql", "u@h?a=1&a=2&b=")
def test_whatever_is_accepted_sqlalchemy_reads_the_same(scheme, rest):
    text = f"{scheme}://{rest}"
    try:
        dsn = Dsn(text)
    except DsnInvalid:
        return
    # Several hosts are written in libpq's way, which SQLAlchemy does not know.
    assert same_reading(dsn, make_url(dsn.secret))


@given(st.text("abc1:/?@[]+", max_size=20))
def test_nothing_is_accepted_that_sqlalchemy_refuses(text):
    try:
        make_url(text)
    except (ArgumentError, ValueError, TypeError):
        with pytest.raises(DsnInvalid):
            Dsn(text)


@given(password=TEXTS.filter(lambda text: len(text) > 3), secret=TEXTS.filter(lambda text: len(text) > 3))
def test_no_password_survives_the_masking(password, secret):
    query = {"password": secret, "sslkey": secret, "application_name": "shop"}
    url = URL.create("postgresql+psycopg", "reader", password, "db", 5432, "shop", query)
    dsn = Dsn(url.render_as_string(hide_password=False))
    expected = "postgresql+psycopg://reader:***@db:5432/shop?application_name=shop&password=***&sslkey=***"
    assert str(dsn) == expected
    assert repr(dsn) == f"<Dsn {expected}>"
    assert f"{dsn}" == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "begin with"),
        ("u:hush@h/db", "begin with"),
        ("'postgresql+asyncpg://u:hush@h/db'", "begin with"),
        ("postgresql+asyncpg://u:hush@h/db\n", "white space"),
        ("postgresql+asyncpg://u:hu@sh@h/db", "%40"),
        ("postgresql+asyncpg://u:hu@sh/more@h/db", "%40"),
        ("postgresql+asyncpg://u:p@hush:no/db", "host and port"),
        ("postgresql+asyncpg://u:hush@h:0/db", "between 1 and 65535"),
        ("postgresql+asyncpg://u:hush@h:65536/db", "between 1 and 65535"),
        ("postgresql+asyncpg://u:hush@h1:1,[::1]:2/db", "several hosts"),
        ("postgresql+asyncpg://u:***@h/db", "masked URL"),
    ],
)
def test_a_text_that_is_no_url_is_refused_without_being_repeated(text, part):
    with pytest.raises(DsnInvalid, match=part) as refused:
        Dsn(text)
    assert "hu" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_url_object_and_a_secret_are_read_with_their_password():
    url = URL.create("postgresql+asyncpg", "u", "hush", "h", database="d")
    assert Dsn.parse(url).secret == "postgresql+asyncpg://u:hush@h/d"
    assert Dsn.parse(SecretStr("postgresql+asyncpg://u:hush@h/d")) == Dsn.parse(url)
    with pytest.raises(DsnInvalid, match="not int"):
        Dsn.parse(17)


def test_copies_and_pickles_are_equal_and_keep_the_secret():
    dsn = Dsn("postgresql+asyncpg://u:hush@h/d")
    for twin in (copy.copy(dsn), copy.deepcopy(dsn), pickle.loads(pickle.dumps(dsn))):
        assert twin == dsn
        assert hash(twin) == hash(dsn)
        assert twin.secret == dsn.secret


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("postgresql+asyncpg://u@h:6432/d", (("h", 6432),)),
        ("postgresql+asyncpg://u@/d?host=a:1&host=[::1]:2", (("a", 1), ("::1", 2))),
        ("postgresql+psycopg://u@:5433/d?host=a,b", (("a", 5433), ("b", 5433))),
        ("postgresql+asyncpg://u@a:1,b:2,c/d?x=y", (("a", 1), ("b", 2), ("c", 5432))),
        ("postgresql+asyncpg://u@/d?host=/cloudsql/p:r:i", (("/cloudsql/p:r:i", None),)),
        ("mysql+pymysql://u@/d?unix_socket=/cloudsql/p:r:i", (("/cloudsql/p:r:i", None),)),
        ("sqlite:///file.db", ()),
    ],
)
def test_every_address_is_found_wherever_it_is_written(text, addresses):
    assert Dsn(text).addresses == addresses


@pytest.mark.parametrize(
    ("text", "in_memory"),
    [
        ("sqlite://", True),
        ("sqlite+aiosqlite:///:memory:", True),
        ("sqlite:///file:x?mode=memory&uri=true", True),
        ("sqlite:///file.db", False),
        ("postgresql+asyncpg://h", False),
    ],
)
def test_an_in_memory_database_is_recognised(text, in_memory):
    assert Dsn(text).in_memory is in_memory
