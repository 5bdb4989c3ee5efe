# SPDX-License-Identifier: Apache-2.0
"""A suite on the virtual clock, night for night: nothing changed, then something did."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from leftovers import Done, Places, Ringbed

pytestmark = pytest.mark.vm

SUITE = """\
schema: 1
name: small
title: The smallest suite there is
experiments:
  - experiment: {tiny}
    clock: virtual
    set:
      warmup: 10ms
      duration: 50ms
      matrix.load: [4000]
      {more}
    metrics: [achieved_rps, latency_p50, goodput]
"""


class Nights:
    """`ringbed nightly` of one suite that can be changed, with a baseline of its own."""

    def __init__(self, ringbed: Ringbed, root: Path, tiny: str) -> None:
        self._ringbed = ringbed
        self._tiny = tiny
        self._suite = root / "small.yml"
        self.baselines = ("--baselines", str(root / "baselines"))
        self.write()

    def write(self, more: str = "") -> None:
        self._suite.write_text(SUITE.format(tiny=self._tiny, more=more), encoding="utf-8")

    def __call__(self) -> Done:
        words = ("nightly", str(self._suite), "--json", *self.baselines)
        return self._ringbed(*words, seconds=500)


def verdicts(told: dict[str, Any]) -> dict[str, str]:
    return {cell["cell"].rpartition("/")[2]: cell["verdict"] for cell in told["cells"]}


def test_a_suite_over_three_nights(
    ringbed: Ringbed, places: Places, tiny: str, tmp_path: Path
) -> None:
    nights = Nights(ringbed, tmp_path, tiny)

    first = nights()
    assert first.code == 3 and first.out, first.err
    told = json.loads(first.out)
    assert set(verdicts(told).values()) == {"not measured"}
    assert "no baseline yet" in told["cells"][0]["why"]
    hint = Path(told["files"]["report"]).read_text(encoding="utf-8")
    assert f"./ringbed baseline accept {told['nightly']}" in hint
    accepted = ringbed("baseline", "accept", told["nightly"], *nights.baselines)
    assert accepted.code == 0, accepted.err

    second = nights()
    assert second.code == 0, second.err
    told = json.loads(second.out)
    assert set(verdicts(told).values()) == {"same"}
    assert all("identical in 1 seed" in cell["why"] for cell in told["cells"])

    # A request that has farther to go. Which ones are answered within 50 ms changes with it.
    nights.write("links.0.delay: 200us")
    third = nights()
    assert third.code == 1, third.err
    told = json.loads(third.out)
    found = verdicts(told)
    assert found["latency_p50"] == "slower"
    root = ET.parse(told["files"]["junit"]).getroot()
    failed = [case.get("name", "") for case in root.iter("testcase") if case.findall("failure")]
    assert [name.startswith("latency_p50") for name in failed].count(True) == 1

    explained = ringbed("explain", "latest", "latency_p50")
    assert explained.code == 0, explained.err
    assert "exact, by seed" in explained.out and "slower" in explained.out
    trend = json.loads(ringbed("trend", "small", "--json").out)
    changed = {one["cell"].rpartition("/")[2]: len(one["changes"]) for one in trend["trends"]}
    assert changed["latency_p50"] == 1
    assert places.clean_within(), places.leftovers()
