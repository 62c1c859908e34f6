"""Cards and the tables of the READMEs: the numbers of `img2img eval`, written with the models."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from img2img import zoo
from img2img.about import model_card
from img2img.evaluation.pictures import FIRST
from img2img.maintenance import card_tables, showcase
from img2img.modelfile import load_generator, save_model
from img2img.resources import cards_dir, recipes_dir
from img2img.zoo import shipped_models


@pytest.fixture
def bench(
    photo_folder: Path, tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A shipped `denoise` without training, a benchmark folder, and somewhere for its card."""
    shutil.copytree(photo_folder, tmp_path / "cbsd68")
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: tiny_zoo)
    cards = tmp_path / "cards"
    monkeypatch.setattr("img2img.zoo.cards_dir", lambda: cards)
    monkeypatch.setattr(
        showcase,
        "BENCHES",
        (showcase.Bench("denoise", "cbsd68"), showcase.Bench("absent", "cbsd68")),
    )
    return tmp_path


def test_a_card_holds_the_numbers_and_the_first_photos(bench: Path) -> None:
    reports = showcase.measured(bench, bench / "work", 5, ())
    assert list(reports) == ["denoise"], "what is not shipped is not measured"
    lines = reports["denoise"][0].first
    assert [Path(line.title.split()[0]).name for line in lines] == [
        f"photo_{n}.png" for n in range(FIRST)
    ]
    assert all("sigma 25" in line.title.replace("σ", "sigma") for line in lines), (
        "the middle setting"
    )
    showcase.write_cards(reports, bench / "cards")
    with Image.open(bench / "cards" / "denoise.jpg") as picture:
        assert picture.width <= showcase.CARD_PX
    known = zoo.measurements(zoo.shipped_models()["denoise"])
    assert known is not None
    assert "| σ 25 | **denoise** |" in known.text
    assert showcase.results_text(bench / "cards") == known.text
    told = model_card("denoise")
    assert known.text in told and str(known.pictures) in told


def test_models_of_ones_own_and_unmeasured_ones_have_no_card(
    bench: Path, tiny_model: Callable[[str], Path]
) -> None:
    assert zoo.measurements(tiny_model("denoise")) is None, "nothing is written yet"
    showcase.write_cards(showcase.measured(bench, bench / "work", 1, ["denoise"]), bench / "cards")
    own = bench / "denoise.safetensors"
    own.write_bytes(tiny_model("denoise").read_bytes())
    assert zoo.measurements(own) is None, "of the same name, but not the shipped one"


def test_notes_of_the_file_and_lessons_beside_it_are_both_told(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("zoo_dir", "cards_dir"):
        monkeypatch.setattr(f"img2img.zoo.{place}", lambda: tmp_path)
    header, network = load_generator(tiny_zoo / "denoise.safetensors")
    card = header.card.model_copy(update={"notes": "Shipped twice."})
    save_model(tmp_path / "denoise.safetensors", network, header.recipe, card)
    (tmp_path / "denoise.txt").write_text("Skies come\nout smooth.\n")
    assert "Shipped twice. Skies come out smooth." in model_card("denoise")


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_tells_what_its_runs_taught(name: str) -> None:
    told = re.search(r"^notes +(.*)$", model_card(name), re.MULTILINE)
    assert told is not None and len(told[1]) > 40, (
        "write img2img/zoo/cards/NAME.txt, or ship with --notes"
    )


# --- the tables of the READMEs

CARD = """restore on 2 photos of set2. Protocol: rounded to 8 bits.

| setting | method | PSNR dB ↑ | LPIPS ↓ |
| --- | --- | --- | --- |
| ×2 | bicubic | 30.00 | 0.3000 |
| ×2 | nearest | 29.00 | 0.2500 |
| ×2 | one, self-ensemble | 34.00 | 0.0900 |
| ×2 | **one** | 33.00 | 0.1000 |
| ×2 | Paper (published) | 34.50 | – |

Note: one was trained on LPIPS.
"""
OTHER = (
    CARD.replace("**one**", "one")
    .replace("×2 | one, self-ensemble", "×2 | **two**")
    .replace("Note: one", "Note: two")
)


def test_a_table_of_a_card_is_read_as_it_was_written() -> None:
    (table,) = card_tables.tables_of(CARD)
    assert table.benchmark == "set2" and table.to_markdown() == CARD


def test_cards_of_one_benchmark_become_one_table_without_a_row_twice() -> None:
    (table,) = card_tables.merged([*card_tables.tables_of(CARD), *card_tables.tables_of(OTHER)])
    methods = [row[1] for row in table.rows]
    assert methods == [
        "bicubic",
        "nearest",
        "one, self-ensemble",
        "**one**",
        "**two**",
        "Paper (published)",
    ]
    assert table.notes == ("Note: one was trained on LPIPS.", "Note: two was trained on LPIPS.")


def test_a_column_that_one_card_has_since_is_blank_for_the_others() -> None:
    newer = "\n".join(
        line
        + {"| ×2 | b": " 6.10 |", "| ×2 | t": " – |", "| settin": " NIQE ↓ |"}.get(line[:8], " – |")
        if line.startswith("| ") and not line.startswith("| ---")
        else line.replace("| --- |", "| --- | --- |", 1)
        for line in OTHER.splitlines()
    )
    both = [*card_tables.tables_of(CARD), *card_tables.tables_of(newer)]
    for tables in (both, both[::-1]):
        (table,) = card_tables.merged(tables)
        assert table.titles[-3:] == ("PSNR dB ↑", "LPIPS ↓", "NIQE ↓")
        rows = {row[1]: row[2:] for row in table.rows}
        assert len(rows) == len(table.rows) == 6
        assert rows["bicubic"] == ("30.00", "0.3000", "6.10")
        assert rows["**one**"] == ("33.00", "0.1000", "–")
        assert "**two**" in rows


def test_settings_stay_together_when_cards_are_joined() -> None:
    tables = [
        *card_tables.tables_of(CARD),
        *card_tables.tables_of(CARD.replace("| ×2", "| ×4")),
        *card_tables.tables_of(OTHER),
    ]
    (table,) = card_tables.merged(tables)
    assert [row[0] for row in table.rows] == ["×2"] * 6 + ["×4"] * 5


@pytest.mark.parametrize(
    ("column", "row"),
    [
        ("PSNR dB ↑", ("**33.00**", "30.00 (bicubic)", "–", "34.50 (Paper)")),
        ("LPIPS ↓", ("**0.1000**", "0.2500 (nearest)", "–", "–")),
    ],
)
def test_a_headline_takes_the_best_of_each_kind(column: str, row: tuple[str, ...]) -> None:
    headline = card_tables.Headline("restore", "one", "set2", "×2", column)
    assert card_tables.headline_row(headline, CARD, ["one"]) == (
        "restore",
        "set2, ×2",
        column,
        *row,
    )
    assert card_tables.headline_row(headline._replace(benchmark="set3"), CARD, ["one"]) is None
    rival = CARD.replace("nearest", "DAT-light")
    found = card_tables.headline_row(headline._replace(column="LPIPS ↓"), rival, ["one"])
    assert found is not None and found[-3:] == ("0.3000 (bicubic)", "0.2500 (DAT-light)", "–")


def test_the_pages_hold_the_numbers_of_the_cards() -> None:
    root = recipes_dir().parent
    for page, name, text in (
        ("img2img/zoo/README.md", "results", showcase.results_text(cards_dir())),
        ("README.md", "summary", showcase.summary_text(cards_dir())),
    ):
        written = (root / page).read_text(encoding="utf-8")
        assert showcase.between_marks(written, name, text) == written, f"run {showcase.COMMAND}"


def test_every_headline_is_measured() -> None:
    assert len(showcase.summary_text(cards_dir()).splitlines()) == 2 + len(card_tables.HEADLINES)


def test_a_page_without_marks_is_no_place_for_tables() -> None:
    with pytest.raises(ValueError, match="no marks"):
        showcase.between_marks("# A page\n", "results", "text\n")
