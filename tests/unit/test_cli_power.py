# SPDX-License-Identifier: Apache-2.0
"""`ringbed power` around the measuring: what it refuses first, and what it says at the end."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.analysis import power as analysis
from orchestrator.analysis.cells import Cell, Key
from orchestrator.analysis.power import Pair, Power
from orchestrator.cli import main, output
from orchestrator.errors import ExitCode
from orchestrator.spec import find_suite

type Examine = Callable[..., Power]
EMPTY = Power(share=0.002, same=(), slowed=(), seeds=())


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    output.set_up(verbosity=0, quiet=False)


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.invoke(("power", *words))
    out, err = capfd.readouterr()
    return int(code), out, err


def examine_by(monkeypatch: pytest.MonkeyPatch, examine: Examine) -> None:
    monkeypatch.setattr(analysis, "examine", examine)


@pytest.mark.parametrize(
    ("page", "said"), [("missing/page.md", "there is no directory"), (".", "is a directory")]
)
def test_a_page_that_cannot_be_written_is_refused_before_measuring(
    page: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def examine(*_: object) -> Power:
        raise AssertionError("measured")

    examine_by(monkeypatch, examine)
    words = ("--page", str(tmp_path / page), "--runs-dir", str(tmp_path / "runs"))
    code, _, err = call(capfd, "power", *words)
    assert code == ExitCode.USAGE and said in err


def test_the_result_is_shown_even_if_its_page_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def examine(*_: object) -> Power:
        (tmp_path / "page.md").mkdir()
        return EMPTY

    examine_by(monkeypatch, examine)
    words = ("--page", str(tmp_path / "page.md"), "--runs-dir", str(tmp_path / "runs"))
    code, out, _ = call(capfd, "power", *words)
    assert code not in (ExitCode.OK, ExitCode.USAGE)
    assert "0 false alarms in 0 neutral pairs; 0.2% more" in out


def test_pairs_that_cannot_be_judged_decide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = Key(
        experiment="echo",
        variant="v",
        stack="linux",
        app="echo",
        workload="w",
        clock="virtual",
        offered_rps=None,
        metric="latency_p50",
    )
    cell = Cell(key=key, unit="us", direction="lower", valid=())
    pair = Pair(change="order", experiment="echo", seed=1, before=(cell,), after=())
    examine_by(monkeypatch, lambda *_: replace(EMPTY, same=(pair,)))
    code, out, _ = call(capfd, "power", "--runs-dir", str(tmp_path / "runs"))
    assert code == ExitCode.INCONCLUSIVE
    assert "could not be judged in a metric: 1" in out


def test_the_page_says_all_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "power.yml"
    shutil.copyfile(find_suite("power"), suite)
    examine_by(monkeypatch, lambda *_: EMPTY)
    page = tmp_path / "page.md"
    words = ("--pairs", "24", "--share", "0.002", "--page", str(page))
    code, _, err = call(capfd, str(suite), *words, "--runs-dir", str(tmp_path / "runs"))
    assert code == ExitCode.OK, err
    command = f"./ringbed power {suite} --pairs 24 --share 0.002 --page docs/detection-power.md"
    assert command in page.read_text(encoding="utf-8").splitlines()
