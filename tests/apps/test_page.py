"""The page in a real headless Chromium: upload, result, slider, download, brush, hostile files, two
users, a phone.
"""

from __future__ import annotations

import functools
import http.server
import io
import re
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.screenshots import open_tab
from img2img.resources import inputs_dir

Infer = Callable[..., bytes]
OLD, NOISY, SMALL, SKETCH = (
    inputs_dir() / name for name in ("old_photo.jpg", "noisy.png", "small.jpg", "sketch.png")
)
OBJECT, MASK = inputs_dir() / "object.jpg", inputs_dir() / "object_mask.png"
TABS = {
    "Restore": ("restore", OLD, []),
    "Colorize": ("colorize", OLD, ["--task", "colorize"]),
    "Enlarge": ("enlarge", SMALL, ["--task", "super-resolve", "--scale", "2"]),
    "Denoise": ("denoise", NOISY, ["--task", "denoise"]),
    "Translate": ("translate", SKETCH, ["--task", "translate"]),
}
ALL = [*TABS, "Erase", "Generate", "Train", "Models"]


def test_upload_run_download_is_what_the_command_line_makes(
    page: Any, infer: Infer, tmp_path: Path
) -> None:
    for tab, (name, photo, flags) in TABS.items():
        open_tab(page, tab)
        upload(page, name, photo)
        page.locator(f"#{name}-run").click()
        done(page, name)
        made = download(page, name, tmp_path)
        expected = infer(photo, tmp_path / f"{name}{made.suffix}", *flags)
        assert made.read_bytes() == expected, tab


@pytest.mark.parametrize(
    ("field", "flag", "value"),
    [("longer-side", "--longer-side", "301"), ("times", "--scale", "1.7")],
)
def test_any_size_is_what_the_command_line_makes(
    page: Any, infer: Infer, tmp_path: Path, field: str, flag: str, value: str
) -> None:
    open_tab(page, "Enlarge")
    upload(page, "enlarge", SMALL)
    page.locator("#enlarge-size").get_by_text("Another size", exact=True).click()
    page.locator(f"#enlarge-{field} input").fill(value)
    page.locator("#enlarge-run").click()
    done(page, "enlarge")
    made = download(page, "enlarge", tmp_path)
    assert made.read_bytes() == infer(
        SMALL, tmp_path / "expected.jpg", "--task", "super-resolve", flag, value
    )


def test_slider_moves_between_before_and_after(page: Any) -> None:
    page.locator("#restore-example-0").click()
    done(page, "restore")
    page.locator("#restore-slider img").nth(
        1
    ).wait_for()  # comes a moment after the line that says so
    handle = page.locator(
        "#restore-slider .handle-wrap, #restore-slider [role='slider'], #restore-slider .outer"
    ).first
    before = handle.bounding_box()
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(before["x"] - 80, before["y"] + before["height"] / 2, steps=5)
    page.mouse.up()
    page.wait_for_function(
        "([handle, limit]) => handle.getBoundingClientRect().x < limit",
        arg=[handle.element_handle(), before["x"] - 40],
    )


def test_examples_work_at_one_click(page: Any) -> None:
    for tab in ("Colorize", "Enlarge", "Denoise", "Erase", "Translate", "Models"):
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


def test_brushed_colors_are_followed(page: Any, infer: Infer, tmp_path: Path) -> None:
    open_tab(page, "Colorize")
    upload(page, "colorize", OLD)
    page.locator("#colorize-paint > button").click()
    brush(page, "colorize")
    page.locator("#colorize-run").click()
    done(page, "colorize")
    file = download(page, "colorize", tmp_path)
    infer(OLD, plain_file := tmp_path / f"plain{file.suffix}", "--task", "colorize")
    made, plain = (
        np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (file, plain_file)
    )
    bluer = (made[..., 2] - made[..., 0]) - (
        plain[..., 2] - plain[..., 0]
    )  # the first color of the palette is sky
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
    done(page, "translate", "#translate-draw-run")


def test_generated_pictures_are_what_the_command_line_makes(
    page: Any, generate: Callable[..., bytes], tmp_path: Path
) -> None:
    open_tab(page, "Generate")
    page.locator("#generate-example-0").click()
    done(page, "generate")
    assert download(page, "generate", tmp_path).read_bytes() == generate("--n", "16")
    page.locator("#generate-more").click()
    page.locator("#generate-status", has_text="From seed 16, Bag to seed 31, Bag").wait_for()
    downloads(page, "generate", tmp_path, generate("--n", "16", "--seed", "16"))
    page.locator("#generate-label input").click()
    page.get_by_role("option", name="Boot").click()
    page.locator("#generate-seed input").fill("5")
    page.locator("#generate-run").click()
    page.locator("#generate-status", has_text="From seed 5, Boot").wait_for()
    downloads(page, "generate", tmp_path, generate("--n", "16", "--seed", "5", "--label", "Boot"))


def test_a_walk_is_looked_at_step_by_step(
    page: Any, generate: Callable[..., bytes], tmp_path: Path
) -> None:
    open_tab(page, "Generate")
    page.get_by_role("tab", name="Walk", exact=True).click()
    page.locator("#generate-from input").fill("3")
    page.locator("#generate-to input").fill("8")
    page.locator("#generate-steps input[type=number]").fill("5")
    page.locator("#generate-walk-run").click()
    page.locator("#generate-status .good", has_text="Done: 5 made").wait_for()
    page.locator("#generate-status", has_text="From 0% of the way from seed 3 to seed 8").wait_for()
    assert download(page, "generate", tmp_path).read_bytes() == generate(
        "--n", "5", "--interpolate", "3", "8"
    )
    seen = page.locator("#generate-preview img").get_attribute("src")
    page.locator("#generate-one input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.locator(
        "#generate-status", has_text="Picture 1 of 5: 0% of the way from seed 3 to seed 8, Coat"
    ).wait_for()
    page.wait_for_function(
        "seen => document.querySelector('#generate-preview img').getAttribute('src') !== seen",
        arg=seen,
    )


BAD = {
    "text.jpg": (b"no picture at all\n" * 50, "not an image"),
    "empty.jpg": (b"", "0 bytes"),
    "drawing.svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "drawing",
    ),
    "cut.jpg": (OLD.read_bytes()[:30_000], "damaged or cut short"),
    "<img src=x onerror=alert(1)>.jpg": (b"no", "not an image"),
}


def test_bad_files_get_a_message_and_the_next_works(page: Any, tmp_path: Path) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"script ran: {dialog.message}"))
    for name, (content, said) in BAD.items():
        (tmp_path / name).write_bytes(content)
        page.locator("#restore-photos input[type=file]").set_input_files(tmp_path / name)
        page.locator("#restore-status .bad", has_text=said).wait_for()
        page.locator("#restore-example-2").click()
        page.locator("#restore-status .good").wait_for()
        page.locator("#restore-run:enabled").wait_for()
        clear(page, "restore")


def test_photo_over_the_limit_gets_a_message(page: Any, tmp_path: Path) -> None:
    Image.new("RGB", (2500, 2000)).save(tmp_path / "large.png")
    page.locator("#restore-photos input[type=file]").set_input_files(tmp_path / "large.png")
    page.locator(
        "#restore-status .bad", has_text="5.0 megapixels, more than the 4 allowed"
    ).wait_for()


def test_several_photos_come_as_a_zip(page: Any, tmp_path: Path) -> None:
    open_tab(page, "Denoise")
    page.locator("#denoise-photos input[type=file]").set_input_files([OLD, NOISY])
    page.locator("#denoise-status", has_text="and 1 more").wait_for()
    page.locator("#denoise-run").click()
    page.locator("#denoise-status .good", has_text="2 of 2 photos").wait_for()
    with zipfile.ZipFile(download(page, "denoise", tmp_path)) as archive:
        assert archive.namelist() == ["old_photo.denoise.jpg", "noisy.denoise.png"]


# --- stopping, leaving, changing one's mind


def test_stop_ends_long_work_and_the_next_photo_works(slow_page: Any, large: Path) -> None:
    page = slow_page
    start(page, "Denoise", large)
    page.locator("#denoise-run:disabled").wait_for()
    page.locator("#denoise-stop").click()
    page.locator("#denoise-status", has_text="Stopped").wait_for()
    disabled(page, "#denoise-download", "#denoise-stop")
    page.locator("#denoise-example-0").click()
    done(page, "denoise")
    disabled(page, "#denoise-stop")
    page.locator("#denoise-run:enabled").wait_for()


def test_stop_belongs_to_its_tab(slow_page: Any, large: Path) -> None:
    page = slow_page
    start(page, "Denoise", large)
    for tab in ("Restore", "Colorize", "Enlarge", "Erase", "Translate", "Generate"):
        open_tab(page, tab)
        disabled(page, f"#{tab.lower()}-stop")  # nothing runs there
    open_tab(page, "Enlarge")  # its job waits for the other, and is taken out of the queue
    upload(page, "enlarge", SMALL)
    page.locator("#enlarge-run").click()
    page.locator("#enlarge-status", has_text="Waiting").wait_for()
    page.locator("#enlarge-stop").click()
    page.locator("#enlarge-status", has_text="Stopped").wait_for()
    open_tab(page, "Denoise")
    done(page, "denoise")


def test_closing_the_page_ends_its_job(
    open_page: Callable[..., Any], slow_app: RunningApp, slow_page: Any, large: Path
) -> None:
    ghost = open_page(slow_app.url)
    left = large.with_name("left.png")
    left.write_bytes(large.read_bytes())
    start(ghost, "Denoise", left)
    ghost.context.close()
    open_tab(slow_page, "Denoise")
    slow_page.locator("#denoise-example-0").click()
    done(slow_page, "denoise")
    folder = next(Path(tempfile.gettempdir()).glob(f"img2img-app-{slow_app.process.pid}-*"))
    assert not list(folder.rglob("left.denoise.*")), (
        "nobody waited until the end for one who had left"
    )


def test_a_photo_cleared_or_changed_in_the_middle_brings_no_result(
    slow_page: Any, large: Path
) -> None:
    page = slow_page
    for after in ("clear", "another"):
        start(page, "Denoise", large)
        clear(page, "denoise")
        if after == "another":
            upload(page, "denoise", SMALL)
        page.locator("#denoise-run:enabled").wait_for()
        open_tab(page, "Enlarge")  # what comes here took its turn after the other had ended
        page.locator("#enlarge-example-0").click()
        done(page, "enlarge")
        open_tab(page, "Denoise")
        said = page.locator("#denoise-status").inner_text()
        assert "Done" not in said and "large.png" not in said
        disabled(page, "#denoise-download")


def test_progress_is_one_line_with_the_time_left(slow_page: Any, large: Path) -> None:
    page = slow_page
    open_tab(page, "Denoise")
    page.locator("#denoise-example-0").click()
    done(page, "denoise")
    clear(page, "denoise")
    start(page, "Denoise", large)
    page.wait_for_function(_ONE_LINE)
    page.locator("#denoise-stop").click()
    page.locator("#denoise-status", has_text="Stopped").wait_for()


_ONE_LINE = r"""() => {
  const status = document.querySelector('#denoise-status');
  const lines = status.innerText.split('\n').filter(line => line.trim());
  const others = status.querySelectorAll('.progress-text, .progress-level, .meta-text');
  return lines.length === 1 && /^Denoise: \d+ of \d+ tiles, about \d+ s left$/.test(lines[0].trim())
    && ![...others].some(other => other.checkVisibility());
}"""


def test_what_happens_is_spoken(page: Any) -> None:
    for tab in ("Restore", "Erase", "Generate", "Train", "Models"):
        open_tab(page, tab)
        page.locator(f"#{tab.lower()}-status [role=status][aria-live=polite]").wait_for()
    open_tab(page, "Restore")
    region = page.locator("#restore-status [role=status]").element_handle()
    page.locator("#restore-example-2").click()
    done(page, "restore")
    assert region.evaluate("e => e.isConnected && e.innerText.includes('Done')"), (
        "the region stays, its text changes"
    )


# --- several photos


def test_each_of_several_photos_gets_the_plan_that_is_shown(
    page: Any, infer: Infer, tmp_path: Path
) -> None:
    Image.open(OLD).convert("L").resize((96, 112)).save(grey := tmp_path / "grey.png")
    Image.open(SMALL).convert("RGB").resize((96, 64)).save(color := tmp_path / "color.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#restore-photos input[type=file]").set_input_files(
        [color, grey, tmp_path / "broken.png"]
    )
    lines = page.locator("#restore-status .plans li")
    lines.nth(2).wait_for()
    told = lines.all_inner_texts()
    assert told[0].startswith("color.png: ") and "color" not in told[0].partition(": ")[2]
    assert told[1].startswith("grey.png: ") and "colorize" in told[1]
    assert "broken.png: not an image" in told[2]
    page.locator("#restore-run").click()
    page.locator("#restore-status .good", has_text="2 of 3 photos").wait_for()
    made = unzipped(download(page, "restore", tmp_path))
    for photo in (color, grey):
        expected = infer(photo, tmp_path / "made" / f"{photo.stem}.png")
        assert (
            next(content for name, content in made.items() if name.startswith(photo.stem))
            == expected
        )


def test_ticks_are_done_as_the_lines_then_say(page: Any, infer: Infer, tmp_path: Path) -> None:
    Image.open(OLD).convert("L").resize((96, 112)).save(grey := tmp_path / "grey.png")
    Image.open(SMALL).convert("RGB").resize((96, 64)).save(color := tmp_path / "color.png")
    page.locator("#restore-photos input[type=file]").set_input_files([color, grey])
    lines = page.locator("#restore-status .plans li")
    lines.nth(1).wait_for()
    page.locator("#restore-steps input:checked").first.wait_for()  # ticked all at once
    for kind in ("Denoise", "Enlarge"):
        box = page.locator("#restore-steps").get_by_label(kind)
        if box.is_checked():
            box.uncheck()
    lines.nth(1).get_by_text("colorize, as ticked").wait_for()
    lines.nth(0).get_by_text("color.png: left as it is, as ticked", exact=True).wait_for()
    page.locator("#restore-run").click()
    page.locator("#restore-status .good", has_text="2 of 2 photos").wait_for()
    made = unzipped(download(page, "restore", tmp_path))
    assert made == {
        "color.png": color.read_bytes(),
        "grey.colorize.png": infer(grey, tmp_path / "expected.png", "--task", "colorize"),
    }


def unzipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- erasing


@pytest.mark.slow  # every stroke and picture is drawn by software
def test_an_examples_mask_goes_with_its_photo(page: Any, tmp_path: Path) -> None:
    with Image.open(OBJECT) as photo:
        size = photo.size
    Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    ).save(own := tmp_path / "own.png")
    open_tab(page, "Erase")
    page.locator("#erase-example-0").click()
    done(page, "erase")
    page.locator("#erase-run").click()  # the mask was for the first fill
    page.locator("#erase-status .bad", has_text="Brush over what should go").wait_for()
    for _ in range(2):
        page.locator("#erase-example-0").click()
        page.locator("#erase-status .good").wait_for()
        clear(page, "erase")
        upload(page, "erase", own)
        page.locator("#erase-run").click()
        page.locator("#erase-status .bad", has_text="Brush over what should go").wait_for()
        disabled(page, "#erase-download")
    page.get_by_role("button", name="Upload a mask").click()
    page.locator("#erase-mask input[type=file]").wait_for(state="attached")  # it is open, and empty
    assert not page.get_by_text("object_mask").count()


def test_an_own_mask_is_for_the_photo_it_was_loaded_for(page: Any, tmp_path: Path) -> None:
    with Image.open(OBJECT) as photo:
        photo.rotate(180).save(other := tmp_path / "other.png")
    open_tab(page, "Erase")
    page.get_by_role("button", name="Upload a mask").click()
    page.locator("#erase-mask input[type=file]").set_input_files(
        MASK
    )  # before there is any photo: for the first
    page.locator("#erase-mask").get_by_text(MASK.name[:8]).first.wait_for()
    upload(page, "erase", OBJECT)
    page.locator("#erase-mask").get_by_text(MASK.name[:8]).first.wait_for()
    clear(page, "erase")
    upload(page, "erase", other)
    page.locator("#erase-run").click()
    page.locator("#erase-status .bad", has_text="Brush over what should go").wait_for()


def test_a_canvas_is_extended_once(page: Any, tmp_path: Path) -> None:
    open_tab(page, "Erase")
    upload(page, "erase", OBJECT)
    page.get_by_role("button", name="Extend the canvas").click()
    page.locator("#erase-right input").fill("24")
    page.locator("#erase-run").click()
    page.locator("#erase-status .good", has_text="Done: extended the canvas.").wait_for()
    with Image.open(OBJECT) as photo, Image.open(download(page, "erase", tmp_path)) as made:
        assert made.size == (photo.width + 24, photo.height)
    holds(page, "#erase-right input", "0")
    page.locator("#erase-run").click()
    page.locator("#erase-status .bad", has_text="Brush over what should go").wait_for()
    page.locator("#erase-undo").click()
    page.locator("#erase-status", has_text=OBJECT.name).wait_for()
    holds(page, "#erase-right input", "24")  # undone is as it was before


@pytest.mark.slow  # as above
def test_undo_brings_back_the_result_before_and_the_strokes(page: Any, tmp_path: Path) -> None:
    open_tab(page, "Erase")
    upload(page, "erase", OBJECT)
    made = []
    for number in range(2):
        brush(page, down=40 * number)
        page.locator("#erase-run").click()
        page.locator(
            "#erase-download", has_text=f"object{'.inpaint' * (number + 1)}.png"
        ).wait_for()
        made.append(download(page, "erase", tmp_path).read_bytes())
    page.locator("#erase-undo").click()
    page.locator(
        "#erase-download:enabled", has_text=re.compile(r"Download object\.inpaint\.png$")
    ).wait_for()
    assert download(page, "erase", tmp_path).read_bytes() == made[0]
    page.locator("#erase-run").click()  # with the strokes as they were
    page.locator(
        "#erase-download:enabled", has_text="Download object.inpaint.inpaint.png"
    ).wait_for()
    assert download(page, "erase", tmp_path).read_bytes() == made[1]
    for said in (r"Download object\.inpaint\.png$", r"Download full size$"):
        page.locator("#erase-undo").click()
        page.locator("#erase-download", has_text=re.compile(said)).wait_for()
    disabled(page, "#erase-download", "#erase-undo")


def test_no_label_of_an_earlier_result_is_left(page: Any) -> None:
    page.locator("#restore-example-2").click()
    done(page, "restore")
    page.locator("#restore-download", has_text="Download small.").wait_for()
    clear(page, "restore")
    page.locator("#restore-download:disabled", has_text="Download full size").wait_for()
    upload(page, "restore", OLD)
    page.locator("#restore-download:disabled", has_text="Download full size").wait_for()


# --- other pages


def test_a_page_of_another_port_plants_nothing(
    open_page: Callable[..., Any], app: RunningApp, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<title>other</title>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = open_page("about:blank")
        for host in ("127.0.0.1", "localhost"):
            page.goto(f"http://{host}:{server.server_port}/")
            told = page.evaluate(_ATTACK, app.url)
            assert told == ["opaque", "failed", "failed", "failed"], told
        page.close()
        server.shutdown()
    folder = next(Path(tempfile.gettempdir()).glob(f"img2img-app-{app.process.pid}-*"))
    assert not list(folder.rglob("planted*"))


_ATTACK = """async url => {
  const form = new FormData();
  form.append('files', new Blob(['x']), 'planted.jpg');
  const told = [];
  for (const [place, how] of [
    ['gradio_api/upload', {method: 'POST', body: form, mode: 'no-cors'}],
    ['gradio_api/upload', {method: 'POST', body: form}],
    ['config', {}],
    ['gradio_api/call/denoise',
     {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"data":[]}'}],
  ]) told.push(await fetch(url + place, how).then(answer => answer.type, () => 'failed'));
  return told;
}"""


def test_two_windows_get_their_own_results(
    open_page: Callable[..., Any], app: RunningApp, infer: Infer, tmp_path: Path
) -> None:
    windows = [open_page(app.url) for _ in range(2)]
    for window, photo in zip(windows, (OLD, NOISY), strict=True):
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


def test_a_password_is_asked_for_first(
    launcher: list[str], tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    with running_app(tmp_path / "app.log", ["--auth", "anna:secret"], launcher) as app:
        page = open_page(app.url)
        for password, answer in (
            ("wrong", page.get_by_text("Incorrect")),
            ("secret", page.locator("#restore-run")),
        ):
            assert page.get_by_role("tab", name="Restore").count() == 0
            assert (
                page.request.post(f"{app.url}gradio_api/call/denoise", data={"data": []}).status
                == 401
            )
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


def test_phone_window_has_no_sideways_scrolling(
    open_page: Callable[..., Any], app: RunningApp
) -> None:
    page = open_page(app.url, viewport={"width": 390, "height": 800}, has_touch=True)
    for tab in ALL:
        open_tab(page, tab)
        for width in (390, 360):
            page.set_viewport_size({"width": width, "height": 800})
            settled(page, [f"#{tab.lower()}-status"])
            assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    open_tab(page, "Restore")
    page.locator("#restore-example-2").click()
    done(page, "restore")


def test_nothing_jumps_when_a_photo_and_its_result_arrive(page: Any) -> None:
    parts = [f"#restore-{part}" for part in ("run", "status")]
    places = settled(page, parts)
    page.locator("#restore-example-2").click()
    done(page, "restore")
    assert settled(page, parts) == pytest.approx(places, abs=2)


def test_nothing_jumps_when_pictures_are_made(page: Any) -> None:
    open_tab(page, "Generate")
    parts = [f"#generate-{part}" for part in ("run", "example-0", "one", "status", "download")]
    places = settled(page, parts)
    page.locator("#generate-example-0").click()
    done(page, "generate")
    assert settled(page, parts) == pytest.approx(places, abs=2)


def test_everything_can_be_named_and_reached_by_keyboard(page: Any) -> None:
    page.locator("#restore-run").wait_for()
    for tab in ALL:
        open_tab(page, tab)
        settled(page, [f"#{tab.lower()}-status"])
        nameless = page.evaluate(
            """() => [...document.querySelectorAll(
              'button, input:not([type=file]), [role=slider], [role=tab]')]
            .filter(e => e.offsetParent && !(e.innerText || e.ariaLabel || e.title
              || e.labels?.length || e.getAttribute('aria-labelledby') || e.placeholder))
            .map(e => e.outerHTML.slice(0, 200))"""
        )
        assert not nameless, tab
    page.get_by_role("tab", name="Restore").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.getAttribute('role') === 'tab'")


# --- what is sent, and when


def test_pictures_of_cards_are_fetched_only_where_they_are_looked_at(page: Any) -> None:
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.reload()
    for tab in ("Restore", "Erase", "Generate"):
        open_tab(page, tab)
        settled(page, [f"#{tab.lower()}-status"])
    assert fetched and not [url for url in fetched if "/cards/" in url]
    open_tab(page, "Models")
    card = page.locator(".card", has=page.get_by_role("heading", name="denoise", exact=True))
    card.get_by_text("Before and after").click()
    picture = card.locator("img")
    picture.wait_for()
    page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
    assert [url for url in fetched if url.endswith("/cards/denoise.jpg")]


# --- what a person does


def upload(page: Any, name: str, photo: Path) -> None:
    """Give a file to the drop zone and wait until the page has looked at it."""
    page.locator(f"#{name}-photos input[type=file]").set_input_files(photo)
    page.locator(f"#{name}-status", has_text=photo.name).wait_for()


def start(page: Any, tab: str, photo: Path) -> None:
    """Start what takes long, and wait until it is at work."""
    open_tab(page, tab)
    name = tab.lower()
    upload(page, name, photo)
    page.locator(f"#{name}-run").click()
    page.locator(f"#{name}-status", has_text="tiles").wait_for()


def clear(page: Any, name: str) -> None:
    """Take the photos away."""
    page.locator(f"#{name}-photos button[aria-label='Clear']").click()
    page.locator(f"#{name}-status", has_text="Drop a photo").wait_for()


def disabled(page: Any, *buttons: str) -> None:
    """Wait until none of these can be pressed."""
    for button in buttons:
        page.locator(f"{button}:disabled").wait_for()


def holds(page: Any, field: str, value: str) -> None:
    """Wait until a field holds this value."""
    page.wait_for_function(
        "([field, value]) => document.querySelector(field).value === value", arg=[field, value]
    )


def done(page: Any, name: str, button: str | None = None) -> None:
    """Wait for a result, or fail with the page's message; `button` is the one that began it,
    `#NAME-run` by default.
    """
    status = page.locator(f"#{name}-status")
    status.locator(".good, .bad").first.wait_for()
    assert status.locator(".bad").count() == 0, status.inner_text()
    button = button or f"#{name}-run"
    if page.locator(button).count():
        page.locator(f"{button}:enabled").wait_for()


def settled(page: Any, parts: list[str]) -> list[float]:
    """Where things are once nothing moves any more: pictures loaded, no message on its way in."""
    for part in parts:
        page.locator(part).first.wait_for()
    return list(page.evaluate(_SETTLED, parts))


_SETTLED = """async parts => {
  const there = () => parts.map(
    part => document.querySelector(part).getBoundingClientRect().top + window.scrollY);
  const frame = () => new Promise(go => requestAnimationFrame(go));
  let before = null, still = 0;
  while (still < 20) {
    await frame();
    const loading = [...document.images].some(image => image.checkVisibility() && !image.complete);
    const moving = document.getAnimations()
      .some(one => one.playState === 'running' && one.effect.getTiming().iterations === 1);
    const now = JSON.stringify(there());
    still = now === before && !loading && !moving ? still + 1 : 0;
    before = now;
  }
  return there();
}"""


def download(page: Any, name: str, folder: Path) -> Path:
    """Click Download and keep the file under the name it is given."""
    with page.expect_download() as waiting:
        page.locator(f"#{name}-download").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def downloads(page: Any, name: str, folder: Path, expected: bytes) -> None:
    """Wait until Download gives these bytes: they come a moment after the line that says so."""
    for _ in range(600):
        if download(page, name, folder).read_bytes() == expected:
            return
        page.wait_for_timeout(100)
    raise AssertionError("another file is downloaded")


def brush(page: Any, name: str = "erase", down: int = 0) -> None:
    """Draw a stroke across the middle of the canvas, or lower, and wait until it is there."""
    canvas = page.locator(f"#{name}-editor canvas").first
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    before = upload_info(
        canvas,
        lambda shot, last: np.array_equal(shot, last) and (name == "translate" or shot.std() > 5),
    )
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + down
    page.mouse.move(x - 40, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10, steps=12)
    page.mouse.up()
    page.mouse.move(box["x"] + 2, box["y"] - 20)  # the brush's own ring is no stroke
    upload_info(
        canvas, lambda shot, last: np.array_equal(shot, last) and not np.array_equal(shot, before)
    )


def upload_info(canvas: Any, until: Callable[[np.ndarray, np.ndarray], bool]) -> np.ndarray:
    """What a canvas shows, once `until` holds for two looks in a row."""
    last = np.zeros(0)
    for _ in range(300):
        with Image.open(io.BytesIO(canvas.screenshot())) as picture:
            shot = np.asarray(picture.convert("RGB"))
        if until(shot, last):
            return shot
        last = shot
    raise AssertionError("the canvas never came to rest")
