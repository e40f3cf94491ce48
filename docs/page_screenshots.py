"""Takes the pictures of the page at `/`: `make page-screenshots` starts a service over a small deployment of its own.

Needs Chromium: `apt-get install chromium`. Takes about a minute. The deployment is the one that the tests use, with
titles that read like titles.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.service.deployments import serving

_FOLDER = Path(__file__).parent / "images"
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip
_SETTLE_MS = 800  # cards fade in
_SUBJECTS = ["The harbour", "Northern lights", "A night train", "The last orchard", "Paper maps", "Salt and smoke",
             "The long winter", "Small engines", "An island school", "The glass river"]  # fmt: skip
_FORMS = ["{}", "{}, part two", "{}: a walk", "{} after dark"]
_TITLES = [form.format(subject) for form in _FORMS for subject in _SUBJECTS]


def main() -> None:
    """Write `page-1280.png`, `page-400.png` and the latter's dark twin to `docs/images/`."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        sys.exit("install Chromium: apt-get install chromium")
    _FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as root,
        serving(Path(root), _TITLES) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=browser_path, args=_FLAGS)
        for name, width, height, scheme in (
            ("page-1280", 1280, 1100, "light"), ("page-400", 400, 1100, "light"), ("page-400-dark", 400, 1100, "dark"),
        ):  # fmt: skip
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            _use(page)
            page.screenshot(path=_FOLDER / f"{name}.png")
            print(_FOLDER / f"{name}.png")
        browser.close()


def _use(page: Page) -> None:
    """Become somebody who has answered and liked a little."""
    page.get_by_label("Age in years").fill("30")
    page.get_by_role("button", name="Start as a new person").click()
    page.get_by_role("button", name="I agree to a list of my own").click()
    for action in ("like", "dislike"):
        card = page.locator("#question-cards .card").first
        item = card.get_attribute("data-item")
        card.locator(f"[data-action={action}]").click()
        page.locator(f"#question-cards [data-item='{item}']").wait_for(state="detached")
    page.locator("#cards [data-action=like]").first.click()
    page.locator("#news", has_text="Liked").wait_for()
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(_SETTLE_MS)


if __name__ == "__main__":
    main()
