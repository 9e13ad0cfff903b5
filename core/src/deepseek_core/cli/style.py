"""The style sheet of every page: two themes, and no text below 11 px at any width."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--box:#f6f8fa;
--mark:#1f5fbf;--page:#fff;--good:#1a7f37;--bad:#b42318;--tone:46%;
--hot:#d9541e;--warm:#b07900;--cold:#2f6fc4;--waste:#79828c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa4b2;--line:#3a4350;--box:#1b212a;
--mark:#6ea3ff;--page:#11151b;--good:#3fb950;--bad:#ff7b72;--tone:66%;
--hot:#f0764a;--warm:#e0a92e;--cold:#6aa3ec;--waste:#7d8794}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;
color:var(--ink);background:var(--page);overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0 0 .4rem}h2{font-size:1.15rem;margin:1.9rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .3rem}p{margin:.4rem 0}
.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
p.bad{border-left:3px solid var(--bad);padding-left:.7rem}
.scroll{overflow-x:auto;overflow-wrap:normal;margin:.4rem 0}
:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem 1rem .25rem 0;text-align:left;border-bottom:1px solid var(--line);
vertical-align:top;min-width:4.5rem}
th{color:var(--soft);font-weight:600}tr.chosen td,tr.chosen th{font-weight:600;color:var(--ink)}
tbody th{color:var(--ink);font-weight:400}td.n,th.n{text-align:right}
td.bar{width:45%;min-width:8rem}
td.bar i{display:block;height:.8em;margin-top:.35em;border-radius:3px;background:var(--soft);
min-width:2px}tr.chosen td.bar i{background:var(--mark)}
figure{margin:.4rem 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));
gap:.4rem 1.4rem}
svg{background:var(--box);border-radius:6px;display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}
svg text.title,svg text.name{fill:var(--ink)}svg text.on{fill:#10141a}
svg line{stroke:var(--line)}svg line.end{stroke:var(--bad);stroke-dasharray:4 3}
svg line.range{stroke:var(--mark)}
polyline{fill:none;stroke-width:1.8;stroke:var(--mark)}
circle{fill:var(--mark);fill-opacity:.75}
.legend{color:var(--soft);margin:.2rem 0}.legend span{white-space:nowrap;margin-right:1rem}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em;
vertical-align:-.05em}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem 1rem;
margin:1rem 0}.figures div{background:var(--box);border-radius:6px;padding:.6rem .8rem}
.figures b{display:block;font-size:1.3rem;font-weight:600}.figures span{color:var(--soft)}
pre{margin:.3rem 0;padding:.5rem .7rem;white-space:pre-wrap;overflow-wrap:anywhere;
background:var(--box);border:1px solid var(--line);border-radius:6px;font-size:13px}
.hot{fill:var(--hot)}.warm{fill:var(--warm)}.cold{fill:var(--cold)}.waste{fill:var(--waste)}
.more{opacity:.45}
@media print{body{margin:0;max-width:none}.scroll{overflow:visible}}
"""
