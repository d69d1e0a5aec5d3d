"""A real `lem ui`, a real browser, and a page of another site that tries to change things through it."""

from __future__ import annotations

import contextlib
import http.server
import threading
from urllib.parse import quote

import httpx
import pytest

from tests.lem_ui import CHROMIUM, lem_ui, new_page, until

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dev extra")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium")
TOKEN = "Tq3wVbN0yJr5ZkLx8MhD1cFs"
CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "%s", limit: 7) }'
LIMITS = "{ instance { concurrencyLimits { concurrencyKey } } }"
ATTACKS = """async ([url, change]) => {
  const target = (name) => `${url}/graphql?query=${encodeURIComponent(change.replace("%s", name))}`;
  const body = (name) => JSON.stringify({query: change.replace("%s", name)});
  const text = (type) => ({method: "POST", mode: "no-cors", headers: {"Content-Type": type}});
  const simple = {method: "POST", mode: "no-cors"};
  const image = (source) => new Promise((done) => {
    const element = new Image(); element.onload = element.onerror = done; element.src = source;
  });
  const form = (action, type) => new Promise((done) => {
    const frame = document.createElement("iframe"); frame.name = "frame" + Math.random(); frame.onload = done;
    document.body.append(frame);
    const element = document.createElement("form");
    Object.assign(element, {action, method: "POST", enctype: type, target: frame.name});
    document.body.append(element); element.submit();
  });
  const socket = () => new Promise((done) => {
    const one = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-ws");
    one.onopen = () => done("open"); one.onerror = () => done("refused");
  });
  await fetch(target("get"), {mode: "no-cors", credentials: "include"}).catch(() => 0);
  await image(target("image"));
  await fetch(target("text"), {...text("text/plain"), credentials: "include", body: "x"}).catch(() => 0);
  await fetch(`${url}/graphql`, {...text("text/plain; application/json"), body: body("disguised")}).catch(() => 0);
  await fetch(target("plain"), {...simple, credentials: "include"}).catch(() => 0);
  await fetch(`${url}/graphql`, {method: "POST", headers: {"Content-Type": "application/json"}, body: body("json")})
    .catch(() => 0);
  await form(target("form"), "text/plain");
  return await socket();
}"""
NAMES = {"get", "image", "text", "disguised", "plain", "json", "form", "link"}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def elsewhere():
    """The address of a page of another site."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


def limits(url: str, **headers: str) -> set[str]:
    answer = httpx.post(f"{url}/graphql", json={"query": LIMITS}, headers=headers, timeout=60).json()
    return {limit["concurrencyKey"] for limit in answer["data"]["instance"]["concurrencyLimits"]}


def attack(page, ui, elsewhere) -> str:
    """Try all from another site's page; whether its websocket was opened."""
    page.goto(elsewhere)
    socket = page.evaluate(ATTACKS, [ui.url, CHANGE])
    page.goto(elsewhere)
    page.evaluate("(url) => { location = url }", f"{ui.url}/graphql?query={quote(CHANGE % 'link')}")
    page.wait_for_url(f"{ui.url}/**")
    return socket


@pytest.mark.slow
def test_a_page_of_another_site_changes_nothing_and_our_own_page_works(
    tmp_path, browser, elsewhere, tiny_keys, write_universe
):
    write_universe(tmp_path / "universes", tiny_keys())
    with lem_ui(tmp_path, {"LEM_UNIVERSES": "universes", "LEM_HOME": "here"}) as ui:
        until("the code location loads", ui.loaded)
        answer = httpx.post(f"{ui.url}/graphql", json={"query": CHANGE % "own"}, timeout=60)
        assert answer.json()["data"]["setConcurrencyLimit"] is True
        assert limits(ui.url) >= {"own"}, "the change is one"
        page = new_page(browser)
        assert attack(page, ui, elsewhere) == "refused"
        assert not limits(ui.url) & NAMES
        with contextlib.closing(new_page(browser)) as own:
            sockets = []
            own.on("websocket", lambda socket: sockets.append(socket.url))
            own.goto(f"{ui.url}/runs")
            own.get_by_text("Runs").first.wait_for()
            changed = own.evaluate(
                """async (query) => (await fetch("/graphql", {method: "POST", body: JSON.stringify({query}),
                headers: {"Content-Type": "application/json"}})).status""",
                CHANGE % "page",
            )
            opened = own.evaluate(
                """() => new Promise((done) => {
                const one = new WebSocket(location.origin.replace("http", "ws") + "/graphql", "graphql-ws");
                one.onopen = () => done("open"); one.onerror = () => done("refused"); })"""
            )
        assert (changed, opened) == (200, "open")
        assert limits(ui.url) >= {"own", "page"}
        page.close()


@pytest.mark.slow
def test_with_a_token_a_browser_works_after_it_was_shown_once(tmp_path, browser, elsewhere, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys())
    shown = {"authorization": f"Bearer {TOKEN}"}
    env = {"LEM_UNIVERSES": "universes", "LEM_HOME": "here", "LEM_UI_TOKEN": TOKEN}
    with lem_ui(tmp_path, env, arguments=("--host", "0.0.0.0")) as ui:
        until("the server answers", lambda: answers(ui))
        assert httpx.post(f"{ui.url}/graphql", json={"query": LIMITS}, timeout=60).status_code == 401
        context = browser.new_context()
        page = context.new_page()
        assert page.goto(f"{ui.url}/runs").status == 401
        page.goto(f"{ui.url}/runs?token={TOKEN}")
        assert page.url == f"{ui.url}/runs", "the token is out of the address"
        page.get_by_text("Runs").first.wait_for(timeout=240_000)
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], TOKEN in cookie["value"]) == (True, "Strict", False)
        assert attack(page, ui, elsewhere) == "refused"
        assert not limits(ui.url, **shown) & NAMES
        context.close()
    assert TOKEN not in ui.log.read_text()


def answers(ui) -> bool:
    if ui.process.poll() is not None:
        raise RuntimeError(ui.log.read_text())
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{ui.url}/server_info", timeout=5).status_code == 401
    return False
