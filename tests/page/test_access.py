"""Who sees the page, and who does not."""

import socket
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from starlette.responses import PlainTextResponse
from tests.page.apps import PATH, app_with_page
from tests.service.served import serve

from poolkeeper import Database
from poolkeeper.fastapi.page.access import is_local_host, is_loopback

FORWARDING = (
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded", "X-Real-IP", "Via",
    "CF-Connecting-IP", "True-Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "Fly-Client-IP",
    "X-Envoy-External-Address", "X-Original-Forwarded-For", "X_Forwarded_For", "x-forwarded-for",
)  # fmt: skip
FILES = ("", "/", "/page.js", "/page.css", "/icon.svg", "/data", "/nothing")


@pytest.fixture
def app() -> FastAPI:
    return app_with_page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", min_idle=0))


def caller(app: FastAPI, client: str = "127.0.0.1", host: str = "localhost:8000") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(client, 50000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


async def status(app: FastAPI, path: str = "/data", *, method: str = "GET", **of_caller: Any) -> int:
    headers = of_caller.pop("headers", {})
    async with caller(app, **of_caller) as http:
        return (await http.request(method, PATH + path, headers=headers)).status_code


@pytest.mark.anyio
@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
async def test_a_caller_on_the_same_machine_sees_everything(app: FastAPI, client: str) -> None:
    assert [await status(app, path, client=client) for path in FILES] == [307, 200, 200, 200, 200, 200, 404]


@pytest.mark.anyio
@pytest.mark.parametrize("client", ["10.0.0.7", "8.8.8.8", "fe80::1", "::ffff:10.0.0.7", "testclient", ""])
async def test_everybody_else_is_refused_everything(app: FastAPI, client: str) -> None:
    assert {await status(app, path, client=client) for path in FILES} == {403}


@pytest.mark.anyio
@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1", "", "8.8.8.8"])
async def test_what_came_through_a_proxy_is_refused_whatever_it_claims(app: FastAPI, name: str, value: str) -> None:
    assert {await status(app, path, headers={name: value}) for path in FILES} == {403}


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.7", "127.0.0.1.nip.io", "0.0.0.0"])
async def test_a_foreign_name_that_leads_here_is_refused(app: FastAPI, host: str) -> None:
    assert {await status(app, path, host=host) for path in FILES} == {403}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("LOCALHOST:80", True), ("127.0.0.1:8000", True), ("[::1]:8000", True), ("::1", False),
        ("app.localhost", True), ("localhost.", False), ("", False), ("localhost@evil.example", False),
        ("evil.example@localhost", False), ("localhost/x", False), ("localhost:99999", False), ("[::1", False),
        ("notlocalhost", False), ("127.1", False), ("2130706433", False),
    ],
)  # fmt: skip
def test_only_plain_local_names_are_local(host: str, local: bool) -> None:
    assert is_local_host(host) is local


def test_addresses_are_read_and_not_compared_as_texts() -> None:
    assert not any(map(is_loopback, ("127.0.0.1.evil", "localhost", "0.0.0.0", "::", "::ffff:8.8.8.8", "")))


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_the_page_can_only_be_read(app: FastAPI, method: str) -> None:
    assert {await status(app, path, method=method) for path in FILES} == {405}


@pytest.mark.anyio
async def test_asking_for_the_head_is_reading(app: FastAPI) -> None:
    assert await status(app, "/", method="HEAD") == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
async def test_scripts_of_other_sites_are_refused(app: FastAPI, headers: dict[str, str], expected: int) -> None:
    assert await status(app, "/data", headers=headers) == expected


@pytest.mark.anyio
async def test_every_answer_forbids_what_the_page_does_not_need(app: FastAPI) -> None:
    async with caller(app) as near, caller(app, "8.8.8.8") as far:
        answers = [
            await http.request(method, PATH + path)
            for http in (near, far)
            for method in ("GET", "POST")
            for path in FILES
        ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("trusted", ["127.0.0.1", "*"])
def test_a_server_that_believes_its_proxy_does_not_open_the_page(app: FastAPI, trusted: str) -> None:
    with serve(app, proxy_headers=True, forwarded_allow_ips=trusted) as served:
        address = f"{served.url}{PATH}/data"
        assert httpx.get(address).status_code == 200
        for claimed in ("127.0.0.1", "8.8.8.8", "::1", "127.0.0.1, 8.8.8.8"):
            assert httpx.get(address, headers={"X-Forwarded-For": claimed}).status_code == 403


def test_http_1_0_is_what_a_silent_proxy_speaks(app: FastAPI) -> None:
    with serve(app) as served, socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(b"GET %s/data HTTP/1.0\r\nHost: localhost\r\n\r\n" % PATH.encode())
        assert connection.recv(100).split()[1] == b"403"


def who(credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
    if credentials.password != "open sesame":
        raise HTTPException(403)


@pytest.fixture
def guarded() -> FastAPI:
    return app_with_page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", min_idle=0), dependency=who)


@pytest.mark.anyio
async def test_a_dependency_takes_the_place_of_the_loopback_rule(guarded: FastAPI) -> None:
    headers = {"X-Forwarded-For": "8.8.8.8"}
    async with caller(guarded, "8.8.8.8", "service.example") as http:
        for path in ("/", "/data", "/page.js", "/page.css"):
            none = await http.get(PATH + path, headers=headers)
            wrong = await http.get(PATH + path, headers=headers, auth=("ada", "guess"))
            right = await http.get(PATH + path, headers=headers, auth=("ada", "open sesame"))
            assert (none.status_code, wrong.status_code, right.status_code) == (401, 403, 200)
            assert none.headers["WWW-Authenticate"] == "Basic"
            assert "frame-ancestors 'none'" in none.headers["Content-Security-Policy"]


@pytest.mark.anyio
async def test_being_on_the_same_machine_is_not_enough_then(guarded: FastAPI) -> None:
    assert await status(guarded) == 401
    assert await status(guarded, method="POST") == 405


@pytest.mark.anyio
async def test_the_dependency_is_the_apps_own(guarded: FastAPI) -> None:
    """Its overrides in tests hold, and what it raises is handled by the app's handlers."""

    class LoggedOut(Exception):
        pass

    def logged_out() -> None:
        raise LoggedOut

    async def to_login(_request: Request, _error: Exception) -> PlainTextResponse:
        return PlainTextResponse("please log in", 418)

    guarded.add_exception_handler(LoggedOut, to_login)
    guarded.dependency_overrides[who] = lambda: None
    assert await status(guarded, client="8.8.8.8") == 200
    guarded.dependency_overrides[who] = logged_out
    assert await status(guarded, client="8.8.8.8") == 418
