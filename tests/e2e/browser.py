"""A page as Chromium shows it without a network: at any width, in both colour schemes."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Run in the page once it is drawn; what it finds goes to the frame around it.
_PROBE = """<script>
setTimeout(() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const box = (x) => x.getBoundingClientRect();
  const shown = (x) => x.checkVisibility({visibilityProperty: true}) && box(x).width > 0;
  const rgba = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return {rgb: [r, g, b], a};
  };
  const root = document.createElement("div");
  root.style.background = "Canvas";
  document.body.append(root);
  const canvas = rgba(getComputedStyle(root).backgroundColor).rgb;
  root.remove();
  const over = (top, a, below) => top.map((x, i) => a * x + (1 - a) * below[i]);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((x) => x / 255).map(
      (x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (x) => {
    let behind = canvas, opacity = 1;
    const parents = [];
    for (let p = x; p instanceof Element; p = p.parentElement) parents.unshift(p);
    for (const p of parents) {
      const style = getComputedStyle(p), {rgb, a} = rgba(style.backgroundColor);
      behind = over(rgb, a, behind);
      opacity *= Number(style.opacity);
    }
    const style = getComputedStyle(x);
    const {rgb, a} = rgba(x instanceof SVGElement ? style.fill : style.color);
    const [one, other] = [light(over(rgb, a * opacity, behind)), light(behind)];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  };
  const texts = all("body *").filter((x) => !x.closest("script, style, .hoverlayer") && shown(x)
    && [...x.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  const pale = texts.map((x) => [contrast(x), x.textContent.trim().slice(0, 40)]);
  const word = all("abbr[data-means]")[0], told = document.getElementById("meaning");
  word.click();
  const meaning = {text: told.textContent, shown: shown(told),
                   inside: box(told).left >= 0 && box(told).right <= innerWidth};
  document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
  const verdicts = all("td.verdict").filter(shown).map((x) => [box(x).left, box(x).right]);
  parent.postMessage({
    width: innerWidth,
    needed: document.documentElement.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    texts: texts.length,
    palest: pale.sort((a, b) => a[0] - b[0]).slice(0, 5),
    verdicts: verdicts.length,
    leftmost: Math.min(...verdicts.map((x) => x[0])),
    rightmost: Math.max(...verdicts.map((x) => x[1])),
    plots: all(".js-plotly-plot").length,
    blank: all(".js-plotly-plot").filter((p) => p.data.every(
      (t) => !(t.z || t.y || []).flat().some((v) => v !== null))).length,
    sections: Object.fromEntries(all("section").map((s) => [s.id, [...s.children].filter(
      (x) => !x.matches("h2, .intro") && shown(x)
        && (x.innerText.trim() || [...x.querySelectorAll("svg")].some(shown))).length])),
    terms: all("abbr[data-term]").map((x) => x.dataset.term),
    closes: told.hidden,
    meaning,
  }, "*");
}, 3000);
</script>"""
_FRAME = """<!doctype html><meta name="color-scheme" content="light dark"><body style="margin:0">
<iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe><pre id="seen"></pre>
<script>onmessage = (event) => {{
  document.getElementById("seen").textContent = JSON.stringify(event.data);
}};</script>"""


def opened(page: Path, width: int = 1200, *flags: str) -> tuple[str, str]:
    """The page as a browser without a network shows it, and what it logged."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine; .ci/run installs it")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000", *flags),
            *(f"--window-size={width},900", "--dump-dom", f"file://{page}"),
        ],
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    logged = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(logged)


def looked_at(page: Path, width: int, dark: bool) -> dict[str, Any]:
    """What a script finds in the page: its frame may be narrower than any window of Chromium."""
    probed, frame = (page.with_name(f"{what}_{page.name}") for what in ("probed", "frame"))
    probed.write_text(page.read_text() + _PROBE)
    frame.write_text(_FRAME.format(page=probed.name, width=width))
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    shown, logged = opened(frame, max(width, 500), scheme)
    assert not logged
    match = re.search(r'<pre id="seen">(.+?)</pre>', shown, re.DOTALL)
    assert match, "the page did not come to its end"
    seen: dict[str, Any] = json.loads(html.unescape(match[1]))
    return seen
