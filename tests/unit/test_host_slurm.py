# SPDX-License-Identifier: Apache-2.0
"""Settings for Slurm's jobs, and Slurm's words for what became of them."""

from pathlib import Path

import pytest

from orchestrator.errors import HostError, UsageError
from orchestrator.host import slurm
from orchestrator.host.slurm import JobState, Slurm, SlurmSettings, read_settings


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_settings() == SlurmSettings()
    file = tmp_path / "ringbed" / "slurm.toml"
    file.parent.mkdir()
    file.write_text('partition = "short"\n', encoding="utf-8")
    assert read_settings().partition == "short"


def test_settings_are_read(tmp_path: Path) -> None:
    file = tmp_path / "slurm.toml"
    file.write_text(
        'partition = "p"\ntime_minutes = 5\nbin = "/opt/slurm/bin"\n'
        '[sbatch]\naccount = "a"\nexclusive = true\n',
        encoding="utf-8",
    )
    assert read_settings(file) == SlurmSettings(
        partition="p",
        time_minutes=5,
        bin="/opt/slurm/bin",
        sbatch={"account": "a", "exclusive": True},
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("queue = 'p'", "queue is not known"),
        ("time_minutes = 0", "time_minutes cannot be 0"),
        ("time_minutes = true", "time_minutes cannot be True"),
        ("partition = 3", "partition cannot be 3"),
        ("[sbatch]\nexclusive = false", "sbatch cannot be"),
        ("[sbatch\n", "Expected"),
    ],
)
def test_what_is_not_a_setting_is_told(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "slurm.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=what):
        read_settings(file)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_settings(tmp_path / "absent.toml")


def test_states_are_read_and_explained() -> None:
    job, state = slurm._parse("17|NODE_FAIL|node3|NodeDown\n")
    assert job == "17"
    assert not state.alive
    assert state.ending() == "its node failed on node3 (NodeDown)"
    assert JobState(state="TIMEOUT", reason="None").ending() == "it reached its time limit"
    assert JobState(state="PENDING", reason="Resources").alive
    assert JobState(state="COMPLETING").alive
    assert "no longer knows it" in slurm.GONE.ending()


def test_a_slurm_without_commands_is_told(tmp_path: Path) -> None:
    # Its directory is the first that is looked into, and this one has an sbatch that is none.
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    sbatch.chmod(0o755)
    with pytest.raises(HostError, match="no sbatch in reach") as caught:
        Slurm(SlurmSettings(bin=str(tmp_path))).check()
    assert "slurm.toml" in caught.value.hint
