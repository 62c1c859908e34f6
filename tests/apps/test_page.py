"""The page in a real headless Chromium: upload, result, slider, download, brush, hostile files, two users, a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from img2img.resources.apps.browser import Running, running_app
from img2img.resources.apps.screenshots import open_tab
from PIL import Image

from img2img.resources import inputs_dir

Infer = Callable[..., bytes]
OLD, NOISY, SMALL, SKETCH = (inputs_dir() / name for name in ("old_photo.jpg", "noisy.png", "small.jpg", "sketch.png"))
OBJECT, MASK = inputs_dir() / "object.jpg", inputs_dir() / "object_mask.png"
TABS = {
    "Restore": ("restore", OLD, []),
    "Colorize": ("colorize", OLD, ["--task", "colorize"]),
    "Enlarge": ("enlarge", SMALL, ["--task", "super-resolve", "--scale", "2"]),
    "Denoise": ("denoise", NOISY, ["--task", "denoise"]),
    "Translate": ("translate", SKETCH, ["--task", "translate"]),
}
ALL = [*TABS, "Erase", "Generate", "Train", "Models"]


@pytest.mark.parametrize("tab", TABS)
def test_upload_run_download_is_what_the_command_line_makes(page: Any, infer: Infer, tmp_path: Path, tab: str) -> None:
    name, photo, flags = TABS[tab]
    open_tab(page, tab)
    upload(page, name, photo)
    page.locator(f"#{name}-run").click()
    done(page, name)
    made = download(page, name, tmp_path)
    assert made.read_bytes() == infer(photo, tmp_path / f"expected{made.suffix}", *flags)


def test_slider_moves_between_before_and_after(page: Any) -> None:
    page.locator("#restore-example-0").click()
    done(page, "restore")
    images = page.locator("#restore-slider img")
    assert images.count() >= 2
    handle = page.locator("#restore-slider .handle-wrap, #restore-slider [role='slider'], #restore-slider .outer").first
    before = handle.bounding_box()
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(before["x"] - 80, before["y"] + before["height"] / 2, steps=5)
    page.mouse.up()
    assert handle.bounding_box()["x"] < before["x"] - 40


@pytest.mark.parametrize("tab", ["Colorize", "Enlarge", "Denoise", "Erase", "Translate", "Models"])
def test_examples_work_at_one_click(page: Any, tab: str) -> None:
    open_tab(page, tab)
    page.locator(f"#{tab.lower()}-example-0").click()
    done(page, tab.lower())


def test_brushed_mask_is_filled_and_undone(page: Any, tmp_path: Path) -> None:
    open_tab(page, "Erase")
    upload(page, "erase", OBJECT)
    brush(page)
    page.locator("#erase-run").click()
    done(page, "erase")
    made = np.asarray(Image.open(download(page, "erase", tmp_path)).convert("RGB"))
    changed = (made != np.asarray(Image.open(OBJECT).convert("RGB"))).any(2)
    assert 0.0005 < changed.mean() < 0.3, "only what was brushed is filled"
    page.locator("#erase-undo").click()
    page.locator("#erase-preview img").wait_for()


def test_brushed_colours_are_followed(page: Any, infer: Infer, tmp_path: Path) -> None:
    open_tab(page, "Colorize")
    upload(page, "colorize", OLD)
    page.locator("#colorize-paint > button").click()
    brush(page, "colorize")
    page.locator("#colorize-run").click()
    done(page, "colorize")
    file = download(page, "colorize", tmp_path)
    infer(OLD, plain_file := tmp_path / f"plain{file.suffix}", "--task", "colorize")
    made, plain = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (file, plain_file))
    bluer = (made[..., 2] - made[..., 0]) - (plain[..., 2] - plain[..., 0])  # the first colour of the palette is sky
    height, width = bluer.shape
    assert bluer[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5].max() > 30


def test_uploaded_mask_equals_the_command_line(page: Any, infer: Infer, tmp_path: Path) -> None:
    open_tab(page, "Erase")
    upload(page, "erase", OBJECT)
    page.get_by_role("button", name="Upload a mask").click()
    page.locator("#erase-mask input[type=file]").set_input_files(MASK)
    page.locator("#erase-mask").get_by_text(MASK.name[:8]).first.wait_for()
    page.locator("#erase-run").click()
    done(page, "erase")
    expected = infer(OBJECT, tmp_path / "expected.png", "--mask", str(MASK), "--mask-grow", "4")
    assert download(page, "erase", tmp_path).read_bytes() == expected


def test_erase_asks_for_a_mask_first(page: Any) -> None:
    open_tab(page, "Erase")
    upload(page, "erase", OBJECT)
    page.locator("#erase-run").click()
    page.locator("#erase-status .bad", has_text="Brush over what should go").wait_for()


def test_drawn_sketch_is_translated(page: Any) -> None:
    open_tab(page, "Translate")
    page.get_by_role("tab", name="Draw", exact=True).click()
    brush(page, "translate")
    page.locator("#translate-draw-run").click()
    done(page, "translate")


def test_generated_pictures_are_what_the_command_line_makes(
    page: Any, generate: Callable[..., bytes], tmp_path: Path
) -> None:
    open_tab(page, "Generate")
    page.locator("#generate-example-0").click()
    done(page, "generate")
    assert download(page, "generate", tmp_path).read_bytes() == generate("--n", "16")
    page.locator("#generate-more").click()
    page.locator("#generate-status", has_text="From seed 16, Bag to seed 31, Bag").wait_for()
    assert download(page, "generate", tmp_path).read_bytes() == generate("--n", "16", "--seed", "16")
    page.locator("#generate-label input").click()
    page.get_by_role("option", name="Boot").click()
    page.locator("#generate-seed input").fill("5")
    page.locator("#generate-run").click()
    page.locator("#generate-status", has_text="From seed 5, Boot").wait_for()
    assert download(page, "generate", tmp_path).read_bytes() == generate("--n", "16", "--seed", "5", "--label", "Boot")


def test_a_walk_is_looked_at_step_by_step(page: Any, generate: Callable[..., bytes], tmp_path: Path) -> None:
    open_tab(page, "Generate")
    page.get_by_role("tab", name="Walk", exact=True).click()
    page.locator("#generate-from input").fill("3")
    page.locator("#generate-to input").fill("8")
    page.locator("#generate-steps input[type=number]").fill("5")
    page.locator("#generate-walk-run").click()
    done(page, "generate")
    assert download(page, "generate", tmp_path).read_bytes() == generate("--n", "5", "--interpolate", "3", "8")
    seen = page.locator("#generate-preview img").get_attribute("src")
    page.locator("#generate-one input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#generate-status", has_text="Picture 1 of 5: 0% of the way from seed 3 to seed 8, Coat").wait_for()
    assert page.locator("#generate-preview img").get_attribute("src") != seen


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.jpg", b"no picture at all\n" * 50, "not an image"),
        ("empty.jpg", b"", "0 bytes"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "drawing"),
        ("cut.jpg", OLD.read_bytes()[:30_000], "damaged or cut short"),
        ("<img src=x onerror=alert(1)>.jpg", b"no", "not an image"),
    ],
)
def test_bad_files_get_a_message_and_the_next_works(
    page: Any, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    page.on("dialog", lambda dialog: pytest.fail(f"script ran: {dialog.message}"))
    page.locator("#restore-photos input[type=file]").set_input_files(tmp_path / name)
    page.locator("#restore-status .bad", has_text=said).wait_for()
    page.locator("#restore-example-2").click()
    page.locator("#restore-status .good").wait_for()


def test_photo_over_the_limit_gets_a_message(page: Any, tmp_path: Path) -> None:
    Image.new("RGB", (2500, 2000)).save(tmp_path / "large.png")
    page.locator("#restore-photos input[type=file]").set_input_files(tmp_path / "large.png")
    page.locator("#restore-status .bad", has_text="5.0 megapixels, more than the 4 allowed").wait_for()


def test_several_photos_come_as_a_zip(page: Any, tmp_path: Path) -> None:
    import zipfile

    open_tab(page, "Denoise")
    page.locator("#denoise-photos input[type=file]").set_input_files([OLD, NOISY])
    page.locator("#denoise-status", has_text="and 1 more").wait_for()
    page.locator("#denoise-run").click()
    page.locator("#denoise-status .good", has_text="2 of 2 photos").wait_for()
    with zipfile.ZipFile(download(page, "denoise", tmp_path)) as archive:
        assert archive.namelist() == ["old_photo.denoise.jpg", "noisy.denoise.png"]


def test_stop_ends_long_work_and_the_next_photo_works(page: Any, tmp_path: Path) -> None:
    tab, name, large = "Enlarge", "enlarge", tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1990, 2000, 3)).astype(np.uint8)).save(large)
    open_tab(page, tab)
    upload(page, name, large)
    page.locator(f"#{name}-run").click()
    page.locator(f"#{name}-status", has_text="tiles").wait_for()  # 25 of them: there is time to stop
    page.locator(f"#{name}-stop").click()
    page.locator(f"#{name}-status", has_text="Stopped").wait_for()
    assert page.locator(f"#{name}-download").is_disabled()
    page.locator(f"#{name}-example-0").click()
    done(page, name)


def test_two_windows_get_their_own_results(browser: Any, app: Running, infer: Infer, tmp_path: Path) -> None:
    windows = [browser.new_context(accept_downloads=True).new_page() for _ in range(2)]
    for window, photo in zip(windows, (OLD, NOISY), strict=True):
        window.goto(app.url)
        open_tab(window, "Denoise")
        upload(window, "denoise", photo)
    for window in windows:
        window.locator("#denoise-run").click()
    for window, photo in zip(windows, (OLD, NOISY), strict=True):
        done(window, "denoise")
        made = download(window, "denoise", tmp_path)
        assert made.read_bytes() == infer(
            photo, tmp_path / f"expected{made.suffix}", "--task", "denoise", "--overwrite"
        )
        window.context.close()


def test_own_model_is_loaded_and_offered(page: Any, tiny_model: Callable[[str], Path]) -> None:
    open_tab(page, "Models")
    page.locator("#models-upload input[type=file]").set_input_files(tiny_model("denoise"))
    page.locator("#models-status .good", has_text="my denoise").wait_for()
    open_tab(page, "Denoise")
    page.locator("#denoise-model > button").click()
    page.locator("#denoise-model input").click()
    page.get_by_role("option", name="my denoise").wait_for()


def test_a_maker_of_ones_own_is_chosen_when_there_is_no_other(page: Any, maker: Path) -> None:
    open_tab(page, "Models")
    page.locator("#models-upload input[type=file]").set_input_files(maker)
    page.locator("#models-status .good", has_text="where it says “Generate”").wait_for()
    open_tab(page, "Generate")
    page.locator("#generate-model input").click()
    page.get_by_role("option", name="my clothes").click()
    page.locator("#generate-run").click()
    done(page, "generate")


def test_a_password_is_asked_for_first(launcher: list[str], tmp_path: Path, browser: Any) -> None:
    with running_app(tmp_path / "app.log", ["--auth", "anna:secret"], launcher) as app:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(app.url)
        for password, answer in (("wrong", page.get_by_text("Incorrect")), ("secret", page.locator("#restore-run"))):
            assert page.get_by_role("tab", name="Restore").count() == 0
            assert page.request.post(f"{app.url}gradio_api/call/denoise", data={"data": []}).status == 401
            page.get_by_label("username").fill("anna")
            page.get_by_label("password").fill(password)
            page.get_by_role("button", name="Login").click()
            answer.wait_for()
        page.locator("#restore-example-2").click()
        done(page, "restore")
        open_tab(page, "Generate")
        page.locator("#generate-status", has_text="No model that makes pictures").wait_for()
        page.locator("#generate-run").click()
        page.locator("#generate-status .bad", has_text="load one on the Models tab").wait_for()
        page.close()


@pytest.mark.parametrize("width", [360, 390])
def test_phone_window_has_no_sideways_scrolling(browser: Any, app: Running, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(app.url)
    for tab in ALL:
        open_tab(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    open_tab(page, "Restore")
    page.locator("#restore-example-2").click()
    done(page, "restore")
    context.close()


def test_nothing_jumps_when_a_photo_and_its_result_arrive(page: Any) -> None:
    page.locator("#restore-run").wait_for()
    places = [page.locator(f"#restore-{part}").bounding_box()["y"] for part in ("run", "status")]
    page.locator("#restore-example-2").click()
    done(page, "restore")
    after = [page.locator(f"#restore-{part}").bounding_box()["y"] for part in ("run", "status")]
    assert after == pytest.approx(places, abs=2)


def test_nothing_jumps_when_pictures_are_made(page: Any) -> None:
    open_tab(page, "Generate")
    parts = ("run", "example-0", "one", "status", "download")
    places = [page.locator(f"#generate-{part}").bounding_box()["y"] for part in parts]
    page.locator("#generate-example-0").click()
    done(page, "generate")
    after = [page.locator(f"#generate-{part}").bounding_box()["y"] for part in parts]
    assert after == pytest.approx(places, abs=2)


def test_everything_can_be_named_and_reached_by_keyboard(page: Any) -> None:
    page.locator("#restore-run").wait_for()
    for tab in ALL:
        open_tab(page, tab)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, input:not([type=file]), [role=slider], [role=tab]')]
            .filter(e => e.offsetParent && !(e.innerText || e.ariaLabel || e.title || e.labels?.length
              || e.getAttribute('aria-labelledby') || e.placeholder)).map(e => e.outerHTML.slice(0, 200))"""
        )
        assert not nameless, tab
    page.get_by_role("tab", name="Restore").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tab"


# --- what a person does ----------------------------------------------------------------------------------------------


def upload(page: Any, name: str, photo: Path) -> None:
    """Give a file to the drop zone and wait until the page has looked at it."""
    page.locator(f"#{name}-photos input[type=file]").set_input_files(photo)
    page.locator(f"#{name}-status", has_text=photo.name).wait_for()


def done(page: Any, name: str) -> None:
    """Wait for a result, or fail with the page's message."""
    status = page.locator(f"#{name}-status")
    status.locator(".good, .bad").first.wait_for(timeout=120_000)
    assert status.locator(".bad").count() == 0, status.inner_text()


def download(page: Any, name: str, folder: Path) -> Path:
    """Click Download and keep the file under the name it is given."""
    with page.expect_download() as waiting:
        page.locator(f"#{name}-download").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def brush(page: Any, name: str = "erase") -> None:
    """Draw a stroke across the middle of the canvas."""
    canvas = page.locator(f"#{name}-editor canvas").first
    canvas.wait_for()
    page.wait_for_timeout(1500)  # the canvas fits the picture in
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10, steps=12)
    page.mouse.up()
    page.wait_for_timeout(1500)  # what was drawn is sent a moment later
