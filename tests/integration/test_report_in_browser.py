"""The execution report in a real browser: on a phone, on a desk, printed, with a keyboard, and for a screen reader."""

from __future__ import annotations

import shutil
from itertools import pairwise

import pytest

from lem.reports.report import render_report
from tests.lem.reports.pages import make_inputs, make_orders

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which `make test` installs")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OVERFLOWING = """() => {
    const wide = document.documentElement.clientWidth;
    return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, .skip, head'))
        .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > wide + 1)
        .map(e => e.tagName + ' ' + e.textContent.slice(0, 60));
}"""
CLIPPED = """() => [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('svg, .skip, nav') && e.checkVisibility())
    .filter(e => getComputedStyle(e).overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.tagName + ' ' + e.scrollWidth + ' > ' + e.clientWidth + ' ' + e.textContent.trim().slice(0, 60))"""
TOO_WIDE = """() => [...document.querySelectorAll('table, svg')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(e => e.tagName + ' ' + e.getBoundingClientRect().right + ' ' + e.textContent.trim().slice(0, 60))"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a Chromium browser on the PATH ({', '.join(BROWSERS)})")
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_report(make_inputs(make_orders())).html, encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(180_000)
        page.asked = []
        page.said = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.goto(file.as_uri())
        yield page
        browser.close()


def test_nothing_is_fetched_but_the_page_itself(page):
    assert [url.rpartition("/")[2] for url in page.asked] == ["report.html"]
    assert page.said == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_to_the_side_except_inside_of_scroll_boxes(page, width):
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": width, "height": 844})
    for opened in (False, True):
        page.evaluate("open => document.querySelectorAll('details').forEach(d => { d.open = open })", opened)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert page.evaluate(OVERFLOWING) == []


def test_the_first_screen_of_a_desk_answers_the_questions(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    questions = page.locator("#summary dt")
    assert questions.all_inner_texts()[:4] == [
        "What does the model keep after costs?",
        "Is that more than the best rule that knows costs keeps?",
        "Is it worth more, if losses count as the gate counts them?",
        "Did it work last night?",
    ]
    assert questions.nth(3).bounding_box()["y"] < 900


def test_headings_are_in_order_and_every_section_has_one(page):
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert page.evaluate("[...document.querySelectorAll('section')].every(s => s.querySelector('h2'))")


def test_every_table_has_a_caption_and_headers_and_every_picture_a_name_and_a_description(page):
    bare = """() => [...document.querySelectorAll('table')].filter(t => !t.caption || !t.querySelector('th[scope=col]')
        || [...t.tBodies].some(b => [...b.rows].some(r => !r.querySelector('th[scope=row], th[scope=rowgroup]')))
    ).length"""
    assert page.evaluate(bare) == 0
    named = """() => [...document.querySelectorAll('svg')].map(s => s.getAttribute('role') === 'img'
        && s.getAttribute('aria-labelledby').split(' ').every(id => document.getElementById(id).textContent.length > 9)
    )"""
    found = page.evaluate(named)
    assert len(found) >= 10
    assert all(found)


def test_the_keyboard_reaches_sections_scroll_boxes_and_what_is_folded(page):
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false }); document.body.focus()")
    page.evaluate("window.scrollTo(0, 0)")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert {"skip", "scroll", "A", "SUMMARY"} <= reached
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_print_shows_everything_and_clips_nothing(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 less its margins of 14 mm, at 96 dots an inch
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(TOO_WIDE) == []
    hidden = """() => [...document.querySelectorAll('details table')]
        .filter(t => t.getBoundingClientRect().height < 10).length"""
    assert page.evaluate(hidden) == 0
    assert page.locator("nav").is_hidden()
    assert len(page.pdf(format="A4")) > 50_000
    page.emulate_media(media="screen")
