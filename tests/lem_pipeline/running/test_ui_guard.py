"""What stands before the UI: whom it answers, what may change things, and the cookie."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from lem_pipeline.running.ui_guard import UiGuard

TOKEN = "Tq3wVbN0yJr5ZkLx8MhD1cFs"
BEARER = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json"}
OTHERS = [
    ({"host": "evil.example"}, 421),
    ({"host": "127.0.0.1.evil.example:3000"}, 421),
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://127.0.0.1:8321"}, 403),
    ({"origin": "https://127.0.0.1:3000"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
]


async def _answer(request):
    return PlainTextResponse(f"{request.method} {request.url.path}")


async def _talk(websocket):
    await websocket.accept()
    await websocket.send_text("open")
    await websocket.close()


def client(token="", base_url="http://127.0.0.1:3000"):
    methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
    routes = [WebSocketRoute("/graphql", _talk), Route("/{path:path}", _answer, methods=methods)]
    return TestClient(UiGuard(Starlette(routes=routes), token), base_url=base_url, follow_redirects=False)


def is_open(one, **headers):
    try:
        with one.websocket_connect("/graphql", headers=headers) as socket:
            return socket.receive_text() == "open"
    except WebSocketDisconnect:
        return False


@pytest.mark.parametrize(("headers", "status"), OTHERS)
def test_what_another_page_or_name_sent_is_refused(headers, status):
    for method, path in (("GET", "/"), ("GET", "/runs"), ("POST", "/graphql")):
        answer = client().request(method, path, headers=JSON | headers)
        assert answer.status_code == status
        assert answer.json()["reason"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert not is_open(client(), **headers)


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "[::1]:3000", "127.0.0.2:3000"])
def test_our_own_page_and_what_no_page_sent_are_answered(host):
    for headers in ({}, {"origin": f"http://{host}"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        own = {"host": host} | headers
        assert client().get("/runs", headers=own).status_code == 200
        assert client().post("/graphql", headers=own | JSON).status_code == 200
        assert is_open(client(), **own)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/graphql",
        "text/plain; application/json",
        "text/plain, application/json",
        "application/json, text/plain",
    ],
)
def test_what_changes_something_is_json(method, kind):
    headers = {} if kind is None else {"content-type": kind}
    answer = client().request(method, "/report_asset_materialization/tiny/bars", content=b"{}", headers=headers)
    assert (answer.status_code, "application/json" in answer.text) == (415, True)
    twice = [("content-type", "application/json"), ("content-type", "text/plain")]
    assert client().request(method, "/graphql", content=b"{}", headers=twice).status_code == 415
    for good in ("application/json", "Application/JSON; charset=utf-8"):
        assert client().request(method, "/graphql", content=b"{}", headers={"content-type": good}).status_code == 200


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/prefix/graphql", "/%67raphql"])
def test_an_address_carries_no_graphql(path):
    for method in ("GET", "HEAD"):
        for query in ("query=mutation{x}", "%71uery=mutation{x}", "a=1&query=x"):
            answer = client().request(method, f"{path}?{query}", headers={"accept": "text/html"})
            assert answer.status_code == 405
    assert client().get(path).status_code == 200
    assert client().get("/runs?q=pool").status_code == 200


def test_with_a_token_nothing_answers_without_it():
    wrong = [{}, {"authorization": "Bearer x"}, {"authorization": TOKEN}, {"cookie": f"lem_ui={TOKEN}"}]
    for method, path in (
        ("GET", "/"),
        ("GET", "/runs?token=x"),
        ("POST", f"/graphql?token={TOKEN}"),
        ("GET", "/?token="),
    ):
        for headers in wrong:
            answer = client(TOKEN).request(method, path, headers=JSON | headers)
            assert answer.status_code == 401, (path, headers)
            assert "set-cookie" not in answer.headers
            assert TOKEN not in answer.text
            assert not is_open(client(TOKEN), **headers)
    assert client(TOKEN).get("/runs", headers=BEARER).status_code == 200
    assert is_open(client(TOKEN), **BEARER)


def test_the_token_in_the_address_gives_a_cookie_once_and_goes_out_of_the_address():
    one = client(TOKEN, "http://desk.example:3000")
    answer = one.get(f"/runs/a b?tab=x&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/a%20b?tab=x")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert one.get("/runs").status_code == 200
    assert one.post("/graphql", headers=JSON).status_code == 200
    name, _, value = cookie.partition(";")[0].partition("=")
    assert is_open(client(TOKEN), cookie=f"other[=1; {name}={value}")
    assert not is_open(client(TOKEN), cookie=f"{name}={value}x")
    assert not is_open(client(TOKEN + "x"), cookie=f"{name}={value}"), "another token, another cookie"


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%2Fevil.example", "/%5Cevil.example", "//"])
def test_the_way_on_stays_on_this_host(path):
    location = client(TOKEN).get(f"http://127.0.0.1:3000{path}?token={TOKEN}").headers["location"]
    assert location.startswith("/")
    assert location[1:2] not in ("/", "\\")


def test_the_cookie_travels_encrypted_where_a_proxy_took_tls():
    url = f"/?token={TOKEN}"
    assert "Secure" in client(TOKEN).get(url, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "Secure" not in client(TOKEN).get(url).headers["set-cookie"]


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_cookie_does_not_let_another_page_in(headers):
    one = client(TOKEN, "https://desk.example")
    assert one.get(f"/?token={TOKEN}").status_code == 303
    assert one.get("/", headers={"origin": "https://desk.example"}).status_code == 200
    assert one.get("/", headers=headers).status_code == 403
    assert one.post("/graphql", headers=JSON | headers).status_code == 403
    assert not is_open(one, **headers)
