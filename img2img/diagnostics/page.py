"""The frame and the look of a report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #faf9f7; --paper: #ffffff; --ink: #1c1917;
  --quiet: #6b655d;
  --line: #e4e1db; --well: #0f766e; --sick: #b91c1c; --open: #92600a; --soft: #f5f4f1;
  --c0: #0f766e; --c1: #c2570c; --c2: #6d28d9; --c3: #78716c; --c4: #1d4ed8; --c5: #4d7c0f;
  --c6: #be185d; --c7: #0891b2 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #171614; --paper: #211f1d; --ink: #f0eeea; --quiet: #a8a29e; --line: #37342f;
  --soft: #1b1a18;
  --well: #2dd4bf; --sick: #f87171; --open: #fbbf24;
  --c0: #2dd4bf; --c1: #fb923c; --c2: #a78bfa; --c3: #a8a29e; --c4: #60a5fa; --c5: #a3e635;
  --c6: #f472b6; --c7: #22d3ee }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 32px 24px 64px; max-width: 1240px; background: var(--ground);
  color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 28px; line-height: 1.2; margin: 0 } h2 { font-size: 18px; margin: 40px 0 12px }
header p { color: var(--quiet); margin: 4px 0 24px }
.verdict { background: var(--paper); border: 1px solid var(--line);
  border-left: 5px solid var(--state);
  border-radius: 8px; padding: 14px 20px; margin-bottom: 20px }
.verdict.well { --state: var(--well) } .verdict.sick { --state: var(--sick) }
  .verdict.open { --state: var(--open) }
.verdict p { margin: 0; font-weight: 600 }
.findings { list-style: none; margin: 12px 0 0; padding: 0 }
.findings li { padding: 10px 0; border-top: 1px solid var(--line) }
.findings small { color: var(--quiet); margin-left: 6px }
.chip { font-size: 12px; font-weight: 600; padding: 1px 9px; border-radius: 99px;
  border: 1px solid currentColor }
.chip.mild { color: var(--open) } .chip.clear, .chip.severe { color: var(--sick) }
  .chip.given { color: var(--well) }
.chip.severe { background: var(--sick); color: var(--paper); border-color: var(--sick) }
.scroll, .strip { overflow-x: auto }
table { border-collapse: collapse; background: var(--paper); border: 1px solid var(--line);
  width: 100% }
th, td { text-align: left; padding: 8px 14px; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
th { color: var(--quiet); font-weight: 600; font-size: 13px; background: var(--soft) }
  td { white-space: nowrap }
td:last-child { white-space: normal; min-width: 240px }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
  gap: 16px }
figure { margin: 0; background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 16px }
figcaption { font-weight: 600; font-size: 14px } svg { display: block; width: 100%; height: auto;
  margin-top: 6px }
svg text { fill: var(--quiet); font: 12px system-ui, sans-serif;
  font-variant-numeric: tabular-nums }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round }
.grid { stroke: var(--line) } .axis { stroke: var(--quiet); opacity: .5 } path { fill: none }
.level { stroke: var(--quiet); stroke-dasharray: 2 3 } .mark { stroke: var(--sick); opacity: .5;
  stroke-dasharray: 3 3 }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0;
  padding: 0 }
.legend { font-size: 13px }
.legend b { font-weight: 500; color: var(--quiet); font-variant-numeric: tabular-nums }
.key { display: inline-block; width: 18px; height: 0; border-top: 3px solid var(--c) }
.key { vertical-align: 4px; margin-right: 6px }
.key.dashed { border-top-style: dashed } .note { color: var(--quiet); font-size: 13px;
  margin: 6px 0 0 }
.strip { display: flex; gap: 14px; align-items: flex-start; padding-bottom: 8px }
.sample { flex: none; padding: 10px } .sample img { display: block; max-width: 380px; height: auto;
  border-radius: 4px }
.sample figcaption { margin-top: 6px; font-size: 13px; color: var(--quiet) }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 14px;
  overflow-x: auto;
  font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace } summary { cursor: pointer }
"""


def page(title: str, subtitle: str, parts: Sequence[str]) -> str:
    """A whole HTML document that fetches nothing."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – img2img</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
