# SPDX-License-Identifier: Apache-2.0
"""The table of claims: in the run's directory, over several runs, and by `ringbed verify`."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_run import LOADS, QUICKSTART, RunBuilder, quickstart

from orchestrator.analysis import Estimate, Results, build_results
from orchestrator.analysis.claims import Measured, Outcome
from orchestrator.cli import main, verify
from orchestrator.errors import ExitCode, UsageError
from orchestrator.report import claims
from orchestrator.report.page import _claimed
from orchestrator.run.session import Selection
from orchestrator.spec import load_experiment
from orchestrator.spec.loading import find_experiment

VERDICTS = ["reproduced", "not reproduced", "not measurable here"]
DECIDED = {"text": "It serves.", "source": "a test"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return build_results(quickstart(tmp_path_factory.mktemp("runs") / "quick"))


def _spread(part: Measured) -> Measured:
    return replace(part, estimate=Estimate(value=2000.0, low=1000.0, high=3000.0, n=3))


def small_run(root: Path, expression: str) -> Path:
    run = RunBuilder(root)
    for repetition in range(3):
        run.trial(QUICKSTART[0], LOADS[1], repetition)
    claim = {**DECIDED, "expression": expression}
    return run.finish(experiment={"name": "small", "claims": [claim]})


def test_each_claim_has_its_measured_values(results: Results) -> None:
    headers, rows = claims.claim_rows(results.claims)
    assert [row[0] for row in rows] == VERDICTS
    measured = [row[headers.index("measured")].splitlines() for row in rows]
    assert [len(lines) for lines in measured] == [2, 1, 0]
    assert measured[0][0].startswith("linux-echo-reuseport.achieved_rps = ")
    single = next(claim for claim in results.claims if claim.measured)
    assert claims.measured(replace(single, measured=(_spread(single.measured[0]),))) == (
        "linux-echo-reuseport.achieved_rps = 2,000 [1,000 – 3,000]"
    )
    assert rows[2][headers.index("why")].startswith("needs the virtual clock")


def test_the_files_of_a_run_hold_all_of_it(results: Results, tmp_path: Path) -> None:
    claims.write_claims(tmp_path, results)
    data = json.loads((tmp_path / "claims.json").read_text())
    assert [one["verdict"] for one in data["claims"]] == VERDICTS
    first = data["claims"][0]
    assert first["holds_in_resamples"] == 1.0 and first["source"] == "a test"
    part = first["measured"][0]
    assert part["low"] <= part["value"] <= part["high"] and part["repetitions"] == 3
    assert (part["unit"], data["clock"], data["accelerator"]) == ("requests/s", "wall", "tcg")
    assert data["claims"][2]["holds_in_resamples"] is None
    with (tmp_path / "claims.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == [VERDICTS[0], VERDICTS[0], VERDICTS[1], VERDICTS[2]]
    assert float(rows[0]["value"]) == part["value"] and rows[3]["value"] == ""


def test_what_another_part_would_measure_is_no_miss_in_the_headline() -> None:
    met, not_met, elsewhere = map(Outcome, VERDICTS)
    assert list(_claimed([met, not_met, met])) == ["2 of 3 claims reproduced."]
    assert list(_claimed([elsewhere])) == ["1 claim not measurable here."]
    told = " ".join(_claimed([met, not_met, elsewhere]))
    assert told == "1 of 2 claims reproduced. 1 claim not measurable here."
    assert list(_claimed([])) == []


def test_a_run_without_claims_has_no_files(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.trial(QUICKSTART[0], LOADS[1], 0)
    claims.write_claims(tmp_path, build_results(run.finish(experiment={"name": "none"})))
    assert not list(tmp_path.glob("claims.*"))


def test_a_summary_over_runs_names_what_failed(results: Results, tmp_path: Path) -> None:
    lost = claims.Judged(
        experiment="lost", run="", clock="", accelerator="", claims=(), failure="no <guest>"
    )
    page = claims.write_summary(tmp_path, [claims.judged(results), lost], "./ringbed verify")
    html = page.read_text()
    assert "no &lt;guest&gt;" in html and html.count('<tr><th scope="row">') == 3
    assert 'class="outcome not-measurable-here"' in html
    text = (tmp_path / "claims.md").read_text()
    assert "3 claims: 1 reproduced, 1 not reproduced, 1 not measurable here" in text
    assert "no <guest>" in text and "emulator" in text


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("linux-echo-single.achieved_rps > 1", ExitCode.OK),
        ("linux-echo-single.achieved_rps < 1", ExitCode.NOT_MET),
        ("linux-memcached.achieved_rps > 1", ExitCode.OK),
    ],
)
def test_verify_judges_a_run_that_exists(
    expression: str, code: ExitCode, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = small_run(tmp_path / "one", expression)
    words = ["verify", "--run", str(run), "--runs-dir", str(tmp_path), "--json"]
    assert main.invoke(words) == code
    found = json.loads(capfd.readouterr().out)
    assert found["exit_code"] == code and len(found["runs"]) == 1
    place = Path(found["page"]).parent
    assert {path.suffix for path in place.iterdir()} == {".html", ".md", ".json", ".csv"}


def test_verify_says_the_worst_of_several(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = small_run(tmp_path / "good", "linux-echo-single.achieved_rps > 1")
    bad = small_run(tmp_path / "bad", "linux-echo-single.achieved_rps < 1")
    words = ["verify", "--run", str(good), "--run", str(bad), "--runs-dir", str(tmp_path)]
    assert main.invoke(["-q", *words]) == ExitCode.NOT_MET
    out = capfd.readouterr().out
    assert "2 claims: 1 reproduced, 1 not reproduced" in out
    assert main.invoke([*words, "--only", "x"]) == ExitCode.USAGE


def test_a_claim_on_the_terminal_has_whole_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = small_run(tmp_path / "one", "linux-echo-single.achieved_rps > 1")
    words = ["verify", "--run", str(run), "--runs-dir", str(tmp_path)]
    assert main.invoke(["-q", *words]) == ExitCode.OK
    out = capfd.readouterr().out
    assert "1 claim: 1 reproduced\n" in out
    assert "  linux-echo-single.achieved_rps = " in out
    assert "experiment" not in out


def test_verify_takes_the_experiments_that_make_claims() -> None:
    chosen = verify._with_claims([], Selection())
    names = {path.parent.name for path in chosen}
    assert "quickstart" in names and "crosscheck" not in names
    with pytest.raises(UsageError, match="makes no claims"):
        verify._with_claims(["crosscheck"], Selection())


def test_every_claim_of_the_bundled_experiments_names_its_source() -> None:
    for path in verify._with_claims([], Selection()):
        for claim in load_experiment(find_experiment(str(path))).claims:
            assert claim.source and claim.text.endswith((".", ")."))
