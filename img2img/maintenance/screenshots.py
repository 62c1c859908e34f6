"""Pictures of every tab, light, dark and on a phone: `python -m img2img.maintenance.screenshots
FOLDER`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from img2img.maintenance.browser import chromium, running_app

TABS = (
    "Restore",
    "Colorize",
    "Enlarge",
    "Denoise",
    "Erase",
    "Translate",
    "Generate",
    "Train",
    "Models",
)
SHADES = {"light": ("light", 1280, 900), "dark": ("dark", 1280, 900), "phone": ("light", 390, 844)}
PATIENCE_MS = 600_000  # a crowded machine is slow


def main(folder: Path, tabs: tuple[str, ...] = TABS) -> None:
    """Make all pictures, with an example at work on the tabs that have one."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp())  # trainings go there
    with running_app(place / "app.log", ["--data-root", str(place)]) as app, chromium() as browser:
        for shade, (scheme, width, height) in SHADES.items():
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": height}
            )
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(app.url)
            for tab in tabs:
                shoot(page, tab, folder / f"{tab.lower()}_{shade}.png")
            context.close()


def open_tab(page: Any, name: str) -> None:
    """Click a tab; on a phone it may be in the menu of those that do not fit."""
    page.get_by_role("tab", name="Restore").first.wait_for()
    tab = page.get_by_role("tab", name=name, exact=True).first
    menu = page.locator(".overflow-menu > button").first
    page.wait_for_function(_TABS_AT_REST)  # which of them fit is known a moment later
    if tab.is_visible():
        tab.click()
    else:
        menu.click()
        page.locator(".overflow-dropdown button", has_text=name).first.click()


_TABS_AT_REST = """async () => {
  const visible = () => [...document.querySelectorAll('[role=tab]')]
    .map(tab => tab.checkVisibility()).join();
  const before = visible();
  await new Promise(go => setTimeout(go, 100));
  return visible() === before;
}"""


def shoot(page: Any, tab: str, path: Path) -> None:
    """A screenshot of one tab after its first example."""
    open_tab(page, tab)
    example = page.locator(
        f"#{tab.lower()}-example-0, #{'super-resolve' if tab == 'Enlarge' else '-'}-example-0"
    ).first
    if example.is_visible():
        example.click()
        status = page.locator(f"#{tab.lower()}-status")
        if tab == "Train":
            page.locator("#train-curves svg").or_(status.locator(".bad")).first.wait_for()
        else:
            status.locator(".good, .bad").first.wait_for()
    page.wait_for_timeout(1200)
    page.screenshot(path=path, full_page=True)
    if tab == "Train":
        page.locator("#train-stop").click()
        page.locator("#train-status").get_by_text("Stopped").or_(
            page.get_by_text("Finished")
        ).first.wait_for()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"), tuple(sys.argv[2:]) or TABS)
