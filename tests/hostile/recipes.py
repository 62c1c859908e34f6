"""Recipes that are bombs, code, or nonsense: each is refused before anything is trained."""

from __future__ import annotations

import os
from pathlib import Path

from hostile.corpus import Corpus

RECIPES = Corpus()
SOUND = """\
name: tiny
task: {kind: denoise}
generator: {kind: restorer, widths: [8, 12], blocks: [1, 1], unshuffle: 2}
data: {path: nowhere, crop_px: 32}
train: {steps: 2}
"""
_MANY = "with its aliases, line [0-9]+ stands for more than 100000 values"
_NOWHERE = "data.path: '.*nowhere' does not exist"


def _changed(before: str, after: str) -> str:
    assert before in SOUND
    return SOUND.replace(before, after)


def _laughs(steps: int) -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, steps)]
    return "\n".join(lines) + "\n"


def _add_bombs() -> None:
    texts = {
        "a billion laughs": (_laughs(12) + SOUND, _MANY),
        "a billion laughs in a field": (
            _laughs(12) + _changed("[8, 12]", "*a11"), _MANY),
        "a billion laughs of mappings": (
            "a0: &a0 {a: 1, b: 2}\n"
            + "".join(f"a{i}: &a{i} {{a: *a{i - 1}, b: *a{i - 1}}}\n" for i in range(1, 40))
            + _changed("{path: nowhere, crop_px: 32}", "*a39"), _MANY),
        "merged keys without end": (
            "a0: &a0 {a: 1}\n"
            + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 30)}]}}\n"
                      for i in range(1, 8)) + SOUND, _MANY),
        "a list that holds itself": (_changed("[8, 12]", "&a [*a, *a]"), "holds itself"),
        "a mapping that holds itself": (
            "x: &a {b: *a}\n" + SOUND, "holds itself"),
        "a recipe that is its own task": (
            "&a\n" + _changed("{kind: denoise}", "*a"), "holds itself"),
        "10^6 lines": (SOUND + "# more\n" * 1_000_000, "larger than"),
        "10^6 losses": (SOUND + "losses:\n" + "- {kind: l1}\n" * 1_000_000, "larger than"),
        "10^6 keys": (SOUND + "".join(f"k{i}: 1\n" for i in range(1_000_000)), "larger than"),
        "one line of 20 MB": (_changed("tiny", "x" * 20_000_000), "larger than"),
        "brackets 10^5 deep": (_changed("[8, 12]", "[" * 100_000), "nested|larger than|expected"),
        "braces 5000 deep": (_changed("{kind: denoise}", "{a: " * 5000 + "}" * 5000), "nested"),
        "blocks 300 deep": (
            SOUND + "".join(" " * i + f"k{i}:\n" for i in range(300)), "unknown key|nested"),
    }  # fmt: skip
    for name, (text, words) in texts.items():
        RECIPES.add(name, "mine.yaml", text.encode(), refused=words)


def _add_code() -> None:
    for name, value in {
        "a function": "!!python/object/apply:os.system ['touch img2img-was-here']",
        "a name": "!!python/name:os.system ''",
        "a module": "!!python/module:antigravity ''",
        "an object": "!!python/object/new:subprocess.Popen [[touch, img2img-was-here]]",
        "a tuple": "!!python/tuple [8, 12]",
        "a tag of nobody": "!evil [8, 12]",
        "a tag of the web": "!<tag:evil.example,2000:x> [8, 12]",
    }.items():
        RECIPES.add(
            f"tag of {name}",
            "mine.yaml",
            _changed("[8, 12]", value).encode(),
            refused="not readable as YAML.*could not determine a constructor",
        )
    RECIPES.add(
        "a tag that is not its value",
        "mine.yaml",
        _changed("steps: 2", "steps: !!int two").encode(),
        refused="mine.yaml: ",
    )
    RECIPES.add(
        "bytes for a number",
        "mine.yaml",
        _changed("steps: 2", "steps: !!binary MTI=").encode(),
        refused="could not determine a constructor",
    )
    RECIPES.add(
        "a set for a list",
        "mine.yaml",
        _changed("[8, 12]", "!!set {8, 12}").encode(),
        refused="could not determine a constructor",
    )
    for name, kind in {
        "module": "os:system",
        "file": "../../evil.py",
        "place": "nowhere.evil:Task",
        "dunder": "__import__('os').system('touch img2img-was-here')",
    }.items():
        RECIPES.add(
            f"task of a {name}",
            "mine.yaml",
            _changed("{kind: denoise}", f'{{kind: "{kind}"}}').encode(),
            refused="task",
        )


def _add_values() -> None:
    for name, before, after, words in (
        ("key twice", "steps: 2", "steps: 2, steps: 200", "'steps' is written twice"),
        ("task twice", "data:", "task: {kind: inpaint}\ndata:", "'task' is written twice"),
        ("unknown key", "steps: 2", "stesp: 2", "did you mean 'steps'"),
        ("a list for a mapping", "{steps: 2}", "[steps, 2]", "train: needs fields of its own"),
        ("nothing for a mapping", "{steps: 2}", "", "train: needs fields of its own"),
        ("a word for a number", "steps: 2", "steps: many", "train.steps"),
        ("a truth for a number", "steps: 2", "steps: yes", "train.steps"),
        ("a date for a number", "steps: 2", "steps: 2024-01-01", "train.steps"),
        ("a date that is none", "steps: 2", "steps: 2024-13-45", "is no date"),
        ("a number of 5000 digits", "steps: 2", f"steps: {'9' * 5000}", "is no whole number"),
        ("NaN", "steps: 2", "lr: .nan", "train.lr"),
        ("infinity", "steps: 2", "lr: .inf", "train.lr"),
        ("less than nothing", "steps: 2", "steps: -2", "train.steps"),
        ("number beyond 64 bits", "task:", f"seed: {2**70}\ntask:", "seed"),
        ("a mapping for a word", "kind: denoise", "kind: {a: 1}", "task"),
        ("a list for a word", "kind: restorer", "kind: [restorer]", "generator"),
        ("10^5 widths", "[8, 12]", f"[{', '.join(['8'] * 30_000)}]", "generator"),
        ("a key that is a list", "steps: 2", "? [a, b] : 2", "mine.yaml: "),
        ("a key that is a number", "data:", "5: 6\ndata:", "5: unknown key|keys"),
        ("a key that is nothing", "data:", "~: 6\ndata:", "unknown key|keys|None"),
        ("a name that is a path", "tiny", "../../evil", "name"),
        ("a name with a new line", "tiny", '"a\\nb"', "name"),
        ("data of the system", "path: nowhere", "path: /proc/self/mem", "data.path"),
        ("data with a null byte", "path: nowhere", 'path: "a\\0b"', "null character"),
        ("data at an address", "path: nowhere", "path: 'http://evil.example/'", "data.path"),
        ("data of a new line", "path: nowhere", 'path: "a\\nb"', "data.path"),
    ):
        RECIPES.add(name, "mine.yaml", _changed(before, after).encode(), refused=words)


def _add_files() -> None:
    for name, content, words in (
        ("0 bytes", b"", "a recipe is a mapping"),
        ("words", b"just words", "a recipe is a mapping"),
        ("two documents", SOUND.encode() + b"---\n" + SOUND.encode(), "not readable as YAML"),
        ("null bytes", bytes(100), "not readable as YAML"),
        ("a photo", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not readable as YAML"),
        ("latin-1", SOUND.encode() + "# é".encode("latin-1"), "not readable as YAML"),
        ("utf-16", SOUND.encode("utf-16"), "not readable as YAML"),
        ("half a character", SOUND.encode() + b"# \xf0\x9f", "not readable as YAML"),
        ("cut in a bracket", SOUND.encode()[:70], "not readable as YAML"),
        ("tabs", SOUND.replace("{steps: 2}", "\n\tsteps: 2").encode(), "not readable as YAML"),
        ("an unknown anchor", _changed("[8, 12]", "*a").encode(), "not readable as YAML"),
        # Odd, but as it should be: all of it is read, and the data is not there.
        ("byte order mark", b"\xef\xbb\xbf" + SOUND.encode(), _NOWHERE),
        ("carriage returns", SOUND.replace("\n", "\r\n").encode(), _NOWHERE),
        ("json", b'{"name": "tiny", "task": "denoise", "generator": {"kind": "restorer", '
         b'"widths": [8, 12], "blocks": [1, 1], "unshuffle": 2}, "data": {"path": "nowhere", '
         b'"crop_px": 32}}', _NOWHERE),
        ("an anchor that is meant", _changed("[8, 12], blocks: [1, 1]",
         "&two [8, 12], blocks: [1, 1]").encode(), _NOWHERE),
    ):  # fmt: skip
        RECIPES.add(f"file: {name}", "mine.yaml", content, refused=words)
    RECIPES.add("name with a new line", "a\nb.yaml", b"- 1", refused="a recipe is a mapping")
    RECIPES.add("name of a photo", "a.png", SOUND.encode(), refused=_NOWHERE)
    RECIPES.add("no recipe", "mine.yaml", lambda path: None, refused="no recipe")
    RECIPES.add("a folder", "mine.yaml", lambda path: path.mkdir(), refused="no recipe|folder")
    if os.name == "posix":
        RECIPES.add("named pipe", "mine.yaml", lambda path: os.mkfifo(path), refused="no recipe")
        RECIPES.add(
            "link to itself", "mine.yaml", lambda path: path.symlink_to(path), refused="no recipe"
        )
        RECIPES.add(
            "link to a device",
            "mine.yaml",
            lambda path: path.symlink_to("/dev/zero"),
            refused="no recipe",
        )
        RECIPES.add("file that may not be read", "mine.yaml", _closed, refused="cannot be read")


def _closed(path: Path) -> None:
    path.write_text(SOUND)
    path.chmod(0)


for _add in (_add_bombs, _add_code, _add_values, _add_files):
    _add()
