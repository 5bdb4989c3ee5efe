# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser, opened from disk in a sandbox without a network."""

import importlib.util
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import paths, process, report
from orchestrator.analysis import build_results
from orchestrator.host.trees import Bind, Tree, ensure_tree

pytestmark = pytest.mark.browser

DEADLINE_S = 120.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--hide-scrollbars",
    "--user-data-dir=/tmp/profile",
)

# Appended to a copy of the page: leaves what the browser made of it in an attribute of <html>.
PROBE = """
<script>
addEventListener("load", () => {
  const root = document.documentElement;
  const drawn = [...document.querySelectorAll("figure svg")].map((svg) =>
    [...svg.querySelectorAll("path")].filter((path) => {
      const box = path.getBoundingClientRect();
      return box.width > 20 || box.height > 20;
    }).length);
  const wide = [...document.querySelectorAll("main *")].filter((element) =>
    !element.closest(".scroll, pre, svg") &&
    element.getBoundingClientRect().right > innerWidth + 1);
  const head = [...document.querySelectorAll("#trials thead th")].findIndex((cell) =>
    cell.textContent.startsWith("Achieved"));
  document.querySelectorAll("#trials thead th")[head].querySelector("button").click();
  const sorted = [...document.querySelectorAll("#trials tbody tr")].map((row) =>
    Number(row.cells[head].dataset.sort));
  root.dataset.probe = JSON.stringify({
    width: innerWidth, scroll: root.scrollWidth, drawn, sorted,
    resources: performance.getEntriesByType("resource").map((entry) => entry.name),
    wide: wide.map((element) => element.tagName + "." + element.className),
    fonts: getComputedStyle(document.querySelector("figure svg text")).fontFamily,
  });
});
</script>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the browser made of a page."""

    probe: dict[str, Any]
    stderr: str
    urls: list[str]


@pytest.fixture(scope="module")
def browser() -> Tree:
    return ensure_tree("browser")


@pytest.fixture(scope="module")
def page() -> Iterator[Path]:
    """A directory with report.html, and probe.html, the same page with the probe."""
    file = paths.project("tests", "unit", "simulated_run.py")
    spec = importlib.util.spec_from_file_location("simulated_run", file)
    assert spec is not None and spec.loader is not None
    simulated_run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulated_run)
    with tempfile.TemporaryDirectory() as name:
        root: Path = simulated_run.quickstart(Path(name) / "run")
        html = report.write_report(root, build_results(root)).read_text(encoding="utf-8")
        probed = html.replace("</body>", f"{PROBE}</body>")
        (root / "probe.html").write_text(probed, encoding="utf-8")
        yield root


def run(browser: Tree, page: Path, *arguments: str) -> process.Completed:
    binds = (Bind(source=page, target=Path("/page"), writable=True),)
    argv = browser.command(("chromium-headless-shell", *FLAGS, *arguments), binds=binds)
    return process.run(argv, timeout=DEADLINE_S)


def dump(browser: Tree, page: Path, name: str, *flags: str) -> tuple[process.Completed, list[str]]:
    """What a page became, and all addresses that the browser's network stack was asked for."""
    log = page / f"{name}.net.json"
    net = f"--log-net-log=/page/{log.name}"
    done = run(browser, page, *flags, net, "--dump-dom", f"file:///page/{name}")
    found = re.findall(r'"url":\s*"((?:http|ws|ftp)[^"]*)"', log.read_text(encoding="utf-8"))
    return done, found


def open_at(browser: Tree, page: Path, width: int) -> Opened:
    done, urls = dump(browser, page, "probe.html", f"--window-size={width},1000")
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None, done.stderr
    return Opened(
        probe=json.loads(found[1].replace("&quot;", '"')),
        stderr=done.stderr,
        urls=urls,
    )


@pytest.fixture(scope="module", params=[390, 1600])
def opened(request: pytest.FixtureRequest, browser: Tree, page: Path) -> Opened:
    return open_at(browser, page, request.param)


def test_the_page_fits_its_window(opened: Opened) -> None:
    assert opened.probe["width"] in (390, 1600)
    assert opened.probe["scroll"] <= opened.probe["width"]
    assert opened.probe["wide"] == []


def test_nothing_complains(opened: Opened) -> None:
    assert "CONSOLE" not in opened.stderr


def test_figures_are_drawn(opened: Opened) -> None:
    assert len(opened.probe["drawn"]) == 12
    assert min(opened.probe["drawn"]) >= 3


def test_the_table_of_trials_sorts(opened: Opened) -> None:
    values = opened.probe["sorted"]
    assert len(values) == 49 and values == sorted(values) and values[0] < values[-1]


def test_nothing_is_fetched(opened: Opened) -> None:
    assert opened.urls == [] and opened.probe["resources"] == []


def test_a_fetch_would_be_seen(browser: Tree, page: Path) -> None:
    (page / "control.html").write_text('<img src="http://127.0.0.1:9/picture.png">')
    _, urls = dump(browser, page, "control.html")
    assert "http://127.0.0.1:9/picture.png" in urls


@pytest.mark.parametrize("width", [390, 1600])
def test_the_page_is_not_blank(browser: Tree, page: Path, width: int) -> None:
    picture = page / f"shot-{width}.png"
    shot = f"--screenshot=/page/{picture.name}"
    run(browser, page, f"--window-size={width},2000", shot, "file:///page/report.html")
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 40_000


def test_the_page_prints(browser: Tree, page: Path) -> None:
    run(browser, page, "--print-to-pdf=/page/print.pdf", "file:///page/report.html")
    content = (page / "print.pdf").read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert content.startswith(b"%PDF") and 3 <= pages <= 14
