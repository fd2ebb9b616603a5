"""The style sheet of HTML reports; every rule begins with `.rnntrace`, so that it holds inside a report alone."""

LEVELS = 6
"""How many shades of a colour there are."""
FIXED = 3
"""So many columns at the left can stay where they are."""
STRONGEST = 48
"""The share of the colour in the strongest shade, in percent: text stays readable on it."""

PAGE = """\
:root { color-scheme: light dark; }
body { margin: 0; background: light-dark(#ffffff, #15181d); }
"""
"""What a page around a report needs."""

_RULES = """\
.rnntrace {
  --ground: light-dark(#ffffff, #15181d); --text: light-dark(#1b1f24, #e6e8eb); --quiet: light-dark(#57606a, #9aa4b0);
  --line: light-dark(#c9d0d8, #3a424d); --head: light-dark(#f2f4f7, #20252c);
  --gate: light-dark(#2f9e63, #2f9e63); --above: light-dark(#e07b16, #d8790f); --below: light-dark(#3b7dd8, #3f7fd6);
  --good: light-dark(#116b3a, #5fd08f); --bad: light-dark(#b3261e, #ff8f85);
  background: var(--ground); color: var(--text); color-scheme: light dark;
  font: 15px/1.45 system-ui, sans-serif; padding: 1rem; text-align: left;
}
[data-jp-theme-light="true"] .rnntrace { color-scheme: light; }
[data-jp-theme-light="false"] .rnntrace { color-scheme: dark; }
.rnntrace .headline { margin: 0; }
.rnntrace .beside { color: var(--quiet); margin-left: 1.5em; }
.rnntrace .scroll { max-height: 85vh; overflow: auto; margin: 1.2rem 0; width: fit-content; max-width: 100%; }
.rnntrace table { border-collapse: separate; border-spacing: 0; margin: 0; font-variant-numeric: tabular-nums; }
.rnntrace caption { caption-side: top; font-weight: 600; text-align: left; padding: .3em 0; color: var(--text); }
.rnntrace tr { background: var(--ground); }
.rnntrace th, .rnntrace td { padding: .15em .6em; text-align: right; white-space: nowrap; color: var(--text); border: 0; }
.rnntrace thead th { position: sticky; top: 0; background: var(--head); border-bottom: 1px solid var(--line); }
.rnntrace tbody th { font-weight: 400; color: var(--quiet); }
.rnntrace .line { border-left: 1px solid var(--line); }
.rnntrace .text { text-align: left; white-space: normal; }
.rnntrace .wrong { color: var(--bad); font-weight: 700; outline: 2px solid var(--bad); outline-offset: -2px; }
.rnntrace .verdict { margin: 1.2rem 0 0; padding: .5em .8em; border-left: 4px solid var(--line); background: var(--head); }
.rnntrace .passed { border-color: var(--good); } .rnntrace .passed strong { color: var(--good); }
.rnntrace .failed { border-color: var(--bad); } .rnntrace .failed strong { color: var(--bad); }
"""

_OF_TABLES = """\
.rnntrace .scroll:has(.formulas) { max-height: none; }
.rnntrace .formulas th { vertical-align: baseline; text-align: left; padding-right: 1.5em; }
.rnntrace .formulas td {
  font: 1.1em/1.6 "Latin Modern Math", "STIX Two Math", Cambria, Georgia, serif; padding: 0; vertical-align: baseline;
}
.rnntrace .formulas td + td { text-align: left; padding-left: .3em; white-space: pre; }
.rnntrace .stays { position: sticky; background: var(--ground); z-index: 1; }
.rnntrace thead .stays { background: var(--head); z-index: 2; }
.rnntrace .at0 { left: 0; } .rnntrace .at1 { left: 4em; } .rnntrace .at2 { left: 8em; }
.rnntrace .at0, .rnntrace .at1, .rnntrace .at2 { box-sizing: border-box; min-width: 4em; max-width: 4em; }
.rnntrace .end0 { right: 0; } .rnntrace .end0:has(+ .end1) { right: 4em; }
.rnntrace .end1 { right: 0; box-sizing: border-box; min-width: 4em; max-width: 4em; overflow: hidden; text-overflow: ellipsis; }
@media (max-width: 600px) { .rnntrace .end0, .rnntrace .end1 { position: static; } }
"""

SHARED = _RULES + "".join(
    f".rnntrace .{kind}{level} {{ "
    f"background: color-mix(in srgb, var(--{kind}) {STRONGEST * level // LEVELS}%, transparent); }}\n"
    for kind in ("gate", "above", "below")
    for level in range(1, LEVELS + 1)
)
"""What every report needs."""
CSS = SHARED + _OF_TABLES
"""And tables and formulas of reports."""
