# SPDX-License-Identifier: Apache-2.0
"""Suites: what they mean, and what is said of what is wrong in them."""

from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import SpecError, UsageError
from orchestrator.spec import find_suite, load_suite

HEAD = "schema: 1\nname: mine\ntitle: Mine\nexperiments:\n"


def write(tmp_path: Path, body: str, head: str = HEAD) -> Path:
    path = tmp_path / "mine.yml"
    path.write_text(head + body)
    return path


def fails(path: Path) -> SpecError:
    with pytest.raises(SpecError) as error:
        load_suite(path)
    return error.value


def test_a_suite_changes_its_experiments(tmp_path: Path) -> None:
    body = """\
  - experiment: quickstart
    clock: virtual
    set: {duration: 50ms, matrix.load: [4000], accounting: false}
    only: linux-echo-*
    repeat: 5
  - experiment: quickstart
    name: again
    metrics: [latency_p99]
"""
    _, (first, second) = load_suite(write(tmp_path, body))
    assert (first.name, second.name) == ("quickstart", "again")
    assert first.experiment.clock == "virtual" and second.experiment.clock == "wall"
    assert first.experiment.duration_ns == 50_000_000 and not first.experiment.accounting
    assert first.entry.only == ("linux-echo-*",) and first.entry.repeat == 5
    assert "latency_p99" in first.metrics and second.metrics == ("latency_p99",)


def test_every_fault_has_its_place_and_a_hint(tmp_path: Path) -> None:
    error = fails(write(tmp_path, "  - experiment: quikstart\n"))
    assert (error.line, error.column, error.hint) == (5, 17, "did you mean quickstart?")
    error = fails(write(tmp_path, "  - experiment: quickstart\n    repeet: 3\n"))
    assert (error.line, error.hint) == (6, "did you mean repeat?")
    error = fails(write(tmp_path, "  - experiment: quickstart\n    set: {duratoin: 1s}\n"))
    assert error.hint == "did you mean duration?"
    assert "mine.yml:5" in error.details
    error = fails(write(tmp_path, "  - experiment: quickstart\n    metrics: [latency_p88]\n"))
    assert (error.line, error.hint) == (6, "did you mean latency_p99?")
    error = fails(
        write(tmp_path, "  - experiment: quickstart\n    metrics: [max_load_under_slo]\n")
    )
    assert "derived" in error.message
    error = fails(write(tmp_path, "  - experiment: quickstart\n" * 2))
    assert "two entries" in error.message and error.line == 6


def test_what_is_no_suite(tmp_path: Path) -> None:
    assert "is empty" in fails(write(tmp_path, "", head="")).message
    assert (
        "called mine.yml"
        in fails(
            write(tmp_path, "  - experiment: quickstart\n", head=HEAD.replace("mine", "other"))
        ).message
    )
    assert "at least 1" in fails(write(tmp_path, " []\n")).message
    with pytest.raises(UsageError, match="no suite") as error:
        find_suite("nihgtly")
    assert error.value.hint == "did you mean nightly?"


def test_an_experiment_beside_the_suite(tmp_path: Path) -> None:
    text = paths.project("experiments", "quickstart", "experiment.yml").read_text()
    (tmp_path / "own.yml").write_text(text.replace("name: quickstart", "name: own"))
    _, (part,) = load_suite(write(tmp_path, "  - experiment: own.yml\n"))
    assert part.name == "own"


@pytest.mark.parametrize(
    "path", sorted(paths.project("experiments", "suites").glob("*.yml")), ids=lambda p: str(p.stem)
)
def test_suites_that_come_with_ringbed_are_sound(path: Path) -> None:
    suite, parts = load_suite(path)
    assert suite.name == path.stem and parts
