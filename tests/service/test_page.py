"""The page at `/`: what is served, what it may load, and a person who uses it in a real browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys.service import Keyring, create_app
from recsys.service.demo_page import read_files
from tests.service.conftest import FakeEngine

BROWSER = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
NAMES = ["api.js", "cards.js", "dom.js", "icon.svg", "index.html", "main.js", "panel.js", "style.css"]


def text_of(name: str) -> str:
    return read_files()[name].content.decode()


def test_the_page_and_its_files_are_served(client: TestClient) -> None:
    assert sorted(read_files()) == NAMES
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    used = set(re.findall(r'(?:href|src)="(page/[^"]+)"', page.text))
    used |= {f"page/{name}" for each in NAMES for name in re.findall(r'from "\./([^"]+)"', text_of(each))}
    assert used == {f"page/{name}" for name in NAMES if name != "index.html"}
    kinds = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
    for name in used:
        found = client.get(f"/{name}")
        assert found.status_code == 200 and found.headers["content-type"] == kinds[Path(name).suffix]
    assert client.head("/").status_code == 200
    assert client.post("/").status_code == 405


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e%2fapp.py", "index.html%00", "style.css/"])
def test_no_other_file_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code in (404, 422)


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/style.css"])
def test_a_browser_may_run_and_load_only_the_pages_own_files(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
        "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'", "trusted-types": "'none'",
    }  # fmt: skip
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_an_address_elsewhere(name: str) -> None:
    text = text_of(name).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"(?i)\b(https?|wss?|ftp):|[\"'(]//|@import|url\(", text)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith((".js", ".html"))])
def test_titles_are_never_inserted_as_html(name: str) -> None:
    text = text_of(name)
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|setHTML|srcdoc"
    assert not re.search(sinks, text)
    assert not re.search(r"(?i)<[^>]+\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)|javascript:", text)


def test_the_key_and_ids_are_kept_in_memory_only() -> None:
    for name in NAMES:
        assert not re.search(
            r"localStorage|sessionStorage|indexedDB|document\.cookie|history\.|location\.", text_of(name)
        )


def test_every_control_has_a_name() -> None:
    page = text_of("index.html")
    for field in re.findall(r"<input[^>]*\bid=\"([^\"]+)\"", page):
        assert f'<label for="{field}"' in page or re.search(rf'<label><input[^>]*id="{field}"', page), field
    assert not re.search(r"<button[^>]*>\s*</button>", page)
    for section in re.findall(r'aria-labelledby="([^"]+)"', page):
        assert f'id="{section}"' in page
    assert 'aria-live="polite"' in page and 'role="alert"' in page and '<html lang="en">' in page


def test_ids_that_scripts_look_up_are_in_the_page() -> None:
    page = text_of("index.html")
    for name in ("main.js", "panel.js"):
        for each in re.findall(r'\b(?:at|show|onClick|onSubmit)\("([a-z-]+)"', text_of(name)):
            assert f'id="{each}"' in page, each


def test_the_page_needs_no_key_and_holds_no_data(engine: FakeEngine) -> None:
    app = create_app(engine, keys=lambda: Keyring({}))
    with TestClient(app, base_url="http://recsys.test", raise_server_exceptions=False) as client:
        assert client.get("/").status_code == client.get("/page/main.js").status_code == 200
        assert client.get("/v1/parameters").status_code == 401
    assert not engine.records and not engine.batches


# A real browser against the live engine


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if BROWSER is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from tests.service.deployments import serving

    with serving(tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Any]:  # Any: Playwright is imported only where Chromium is installed
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def console() -> list[str]:
    """Whatever the browser complains of, and addresses elsewhere that it is made to call."""
    return []


@pytest.fixture
def page(address: str, browser: Any, console: list[str]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: console.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("request", lambda request: console.append(request.url) if not request.url.startswith(address) else None)
    page.goto(address)
    page.wait_for_selector("#cards .card")
    yield page
    context.close()
    assert console == []


def shown(page: Any) -> list[str]:
    return [
        str(each) for each in page.locator("#cards .card").evaluate_all("all => all.map(each => each.dataset.item)")
    ]


def news(page: Any, text: str) -> None:
    page.locator("#news", has_text=text).wait_for()


def fact(page: Any, name: str, of: str = "#facts") -> str:
    return str(page.locator(f"{of} dt", has_text=name).locator("xpath=following-sibling::dd[1]").inner_text())


@pytest.mark.slow
def test_a_person_uses_the_page_by_mouse(page: Any) -> None:
    assert page.locator("#list-title").inner_text() == "Popular and new"
    assert page.locator("#cards [data-action=like]").count() == 0  # nobody is chosen

    page.get_by_label("Age in years").fill("30")
    page.get_by_label("Gender").fill("f")
    page.get_by_role("button", name="Start as a new person").click()
    news(page, "You are person-")
    user = page.locator("#who").inner_text().removeprefix("You are ")
    assert "You have not agreed" in page.locator("#list-note").inner_text()
    assert fact(page, "Age") == "25-34" and "20" in fact(page, "Here since")
    popular = shown(page)
    page.locator("#cards [data-action=view]").first.click()
    news(page, "Nothing of it was kept")
    assert popular[0] not in shown(page)
    assert page.locator("#events").inner_text() == "None."

    page.get_by_role("button", name="I agree to a list of my own").click()
    news(page, "You agreed")
    assert page.locator("#list-title").inner_text() == "Chosen for you"
    assert fact(page, "Agreed to a list of your own") == "yes"

    for opinion in ("Like", "Don\u2019t like", "Don\u2019t know"):
        card = page.locator("#question-cards .card").first
        item = card.get_attribute("data-item")
        card.get_by_text(opinion, exact=True).click()
        page.locator(f"#question-cards [data-item='{item}']").wait_for(state="detached")
        news(page, f"{opinion}:")
        assert item not in shown(page)
    assert "liked" in page.locator("#events").inner_text() and "skipped" in page.locator("#events").inner_text()
    page.get_by_role("button", name="No more questions").click()

    before = shown(page)
    title = page.locator("#cards h3").first.inner_text()
    page.locator("#cards [data-action=like]").first.click()
    news(page, f"Liked {title}.")
    after = shown(page)
    assert before[0] not in after and after != before[1:]
    assert page.locator("#events li").first.inner_text() == f"liked {title}"
    page.locator("#cards [data-action=dislike]").first.click()
    news(page, "Skipped")
    assert after[0] not in shown(page)
    assert page.locator("#cards .reason").first.inner_text()

    page.locator("#cards [data-action=similar]").first.click()
    page.locator("#similar .row button").first.click()
    assert page.locator("#similar .row .tag").inner_text() == "Liked"
    page.locator("#similar").get_by_role("button", name="Close").click()
    page.locator("#events li").nth(4).wait_for()

    assert fact(page, "Version of the list", "#service").startswith("1-")
    assert fact(page, "Version that serves", "#service") == fact(page, "Version of the list", "#service")
    assert fact(page, "Degraded", "#service") == "no"
    assert fact(page, "Last list", "#service").endswith(" ms")
    assert page.locator("#parameters dt").count() >= 3

    page.get_by_role("button", name="Export my data").click()
    page.locator("#exported-json", has_text='"tables"').wait_for()
    assert title not in page.locator("#exported-json").inner_text()  # the export has ids
    assert before[0] in page.locator("#exported-json").inner_text()
    page.locator("#exported").get_by_role("button", name="Close").click()

    # What was dealt with stays away for somebody who comes back.
    page.reload()
    page.get_by_label("User id").fill(user)
    page.get_by_role("button", name="Go on as this person").click()
    news(page, f"You are {user}")
    assert not {before[0], after[0]} & set(shown(page))

    page.get_by_role("button", name="Withdraw my consent").click()
    news(page, "You withdrew")
    assert page.locator("#list-title").inner_text() == "Popular and new" and shown(page) == popular
    assert page.locator("#consent").is_visible()

    page.get_by_role("button", name="Erase me").click()
    page.get_by_role("button", name="Keep my data").click()
    assert page.locator("#who").inner_text() == f"You are {user}"
    page.get_by_role("button", name="Erase me").click()
    page.get_by_role("button", name="Erase everything").click()
    news(page, "You are erased")
    assert page.locator("#who").inner_text() == "Nobody is chosen" and page.locator("#choose").is_visible()


def reach(page: Any, name: str) -> None:
    """Press Tab until the focus stands on what has this accessible name or begins with it."""
    for _ in range(120):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "() => { const it = document.activeElement;"
            " return it.getAttribute('aria-label') || (it.labels && it.labels[0] || it).textContent.trim(); }"
        )
        if told.startswith(name):
            width = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
            assert width == "3px", f"the focus on {name} cannot be seen"
            return
    raise AssertionError(f"no key leads to {name}")


@pytest.mark.slow
def test_a_person_uses_the_page_by_keyboard_alone(page: Any) -> None:
    press = page.keyboard.press
    reach(page, "Age in years")
    page.keyboard.type("24")
    press("Enter")
    news(page, "You are person-")
    assert page.evaluate("document.activeElement.id") == "agree"
    press("Enter")
    news(page, "You agreed")
    assert page.evaluate("document.activeElement.id") == "questions-title"
    reach(page, "Like:")
    press("Enter")
    news(page, "Like:")
    assert page.evaluate("document.activeElement.dataset.action") == "like"  # of the question in its place
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "questions-close"
    press("Enter")
    page.locator("#questions").wait_for(state="hidden")
    before = shown(page)
    reach(page, "Like:")
    press("Space")
    news(page, "Liked")
    assert before[0] not in shown(page)
    assert page.evaluate("document.activeElement.dataset.action") == "like"
    reach(page, "Similar to")
    press("Enter")
    page.locator("#similar .row").first.wait_for()
    press("Escape")
    page.locator("#similar").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.dataset.action") == "similar"
    reach(page, "Withdraw my consent")
    press("Enter")
    news(page, "You withdrew")
    reach(page, "Erase me")
    press("Enter")
    reach(page, "Erase everything")
    press("Enter")
    news(page, "You are erased")
    assert page.evaluate("document.activeElement.id") == "choose-title"


@pytest.mark.slow
def test_a_hostile_title_is_shown_as_text(page: Any, address: str) -> None:
    def spoil(route: Any) -> None:
        answer = route.fetch()
        told = answer.json()
        for each in told.get("items", told.get("questions")):
            each |= {"title": HOSTILE, "reason": HOSTILE, "item_id": f"{HOSTILE}{each['item_id']}"}
        route.fulfill(response=answer, json=told)

    for path in ("recommendations", "onboarding?*", "items/*/similar?*"):
        page.route(f"**/v1/{path}", spoil)
    page.get_by_role("button", name="Start as a new person").click()
    news(page, "You are person-")
    page.get_by_role("button", name="I agree to a list of my own").click()
    news(page, "You agreed")
    assert page.locator("#cards h3").first.inner_text() == HOSTILE
    assert page.locator("#question-cards h3").first.inner_text() == HOSTILE
    assert HOSTILE in page.locator("#cards .source").first.inner_text()
    page.locator("#cards [data-action=like]").first.click()
    news(page, f"Liked {HOSTILE}")
    assert HOSTILE in page.locator("#events").inner_text()
    assert page.locator("main img, main script, aside img").count() == 0
    assert page.title() == "Recommendations"


@pytest.mark.slow
def test_errors_are_told_in_words_and_a_key_is_sent(page: Any, console: list[str]) -> None:
    page.get_by_role("button", name="Start as a new person").click()
    news(page, "You are person-")
    before = shown(page)
    page.route("**/v1/events", lambda route: route.abort())
    page.locator("#cards [data-action=like]").first.click()
    page.locator("#problem-text", has_text="cannot be reached").wait_for()
    assert shown(page) == before and not page.locator("#key-form").is_visible()

    headers: list[dict[str, str]] = []

    def refuse(route: Any) -> None:
        headers.append(route.request.headers)
        status, detail = (401, "A valid API key is needed.") if len(headers) == 1 else (429, "The rate is used up.")
        problem = {"type": "t", "title": "T", "status": status, "detail": detail,
                   "errors": [{"detail": "too many", "pointer": "/k", "parameter": None}]}  # fmt: skip
        route.fulfill(status=status, json=problem, headers={"retry-after": "2"} if status == 429 else {})

    page.route("**/v1/events", refuse)
    page.locator("#cards [data-action=like]").first.click()
    page.locator("#problem-text", has_text="A valid API key is needed. /k: too many.").wait_for()
    page.get_by_label("API key").fill("rk_1_secret")
    page.get_by_role("button", name="Use this key").click()
    page.locator("#key-form").wait_for(state="hidden")
    page.locator("#cards [data-action=like]").first.click()
    page.locator("#problem-text", has_text="The rate is used up. /k: too many. Try again in 2 seconds.").wait_for()
    assert "x-api-key" not in headers[0] and headers[1]["x-api-key"] == "rk_1_secret"
    assert page.get_by_label("API key").input_value() == ""
    page.get_by_role("button", name="Close this message").click()
    page.locator("#problem").wait_for(state="hidden")
    assert len(console) == 3 and all("Failed to load resource" in each for each in console)
    console.clear()


@pytest.mark.slow
def test_the_page_fits_a_phone_in_the_dark(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark", has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cards .card")
    page.get_by_role("button", name="Start as a new person").tap()
    news(page, "You are person-")
    page.get_by_role("button", name="I agree to a list of my own").tap()
    news(page, "You agreed")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 23)"
    heights = page.locator("button:visible").evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
    assert min(heights) >= 38
    context.close()
