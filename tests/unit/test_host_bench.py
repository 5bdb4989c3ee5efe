# SPDX-License-Identifier: Apache-2.0
"""Figures by instruction count: what the program and the counter say becomes a verdict."""

import runpy
from dataclasses import replace

import pytest

from orchestrator import paths
from orchestrator.errors import InfrastructureError
from orchestrator.host import bench, cchecks
from orchestrator.report import bench as views

REQUEST, MANY, _SELDOM, SHORT, MEMORY = bench.CASES
COUNTED = runpy.run_path(str(paths.project("dataplane", "bench", "counted.py")))


def said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What a real command prints."""
    monkeypatch.setattr(cchecks, "bench_command", lambda _: ["printf", "%s", text])


def test_instructions_are_divided_by_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "operations 100\nown 3000\nlibrary 45010\n")
    figure = bench.measure(REQUEST, [])
    assert (figure.value, figure.against, figure.own, figure.met) == (450.1, 450.1, 30, False)
    assert bench.measure(replace(REQUEST, bar=451), []).met


def test_a_multiple_is_of_the_case_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "operations 1\nown 0\nlibrary 110\n")
    base = bench.Figure(case=REQUEST, value=100.0, against=100.0)
    figure = bench.measure(MANY, [base])
    assert figure.value == 110
    assert figure.against == pytest.approx(1.1)
    assert figure.met
    assert views.row(figure)[1:] == [
        "110.0 instructions",
        "–",
        "1.100 × request",
        "≤ 1.15 ×",
        "met",
    ]


def test_bytes_are_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "bytes 513\nown 9\nlibrary 99\n")
    figure = bench.measure(MEMORY, [])
    assert figure.value == 513
    assert not figure.met
    page = views.section([figure], {"commit": "1234567890ab", "dirty": False})
    assert "missed" in page and f"- {MEMORY.what}: {MEMORY.limits}.\n" in page


def test_a_program_that_says_nothing_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "own 9\nlibrary 99\n")
    with pytest.raises(InfrastructureError, match="gave no figure for short"):
        bench.measure(SHORT, [])


def test_the_programs_own_functions_are_told_apart() -> None:
    text = """\
fn=(1) bench_turn
0 5
cfn=(2) rb_net_input
calls=3 0
0 700
0 2
fn=(2)
0 600
cfn=(3) bench_release
calls=1 0
* 100
fn=(3)
+3 100
"""
    assert COUNTED["sums"](text.splitlines()) == (107, 600)
