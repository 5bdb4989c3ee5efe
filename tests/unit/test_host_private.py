# SPDX-License-Identifier: Apache-2.0
"""State in a place where anybody may make files."""

import os
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import HostError
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.host.private import check_private, make_private
from orchestrator.vm.lease import list_leases
from orchestrator.vm.sweep import sweep_stale


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A directory like /tmp."""
    place = tmp_path / "public"
    place.mkdir()
    place.chmod(0o1777)
    return place


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_is_made_for_this_user_alone(public: Path) -> None:
    with OwnedDirectory(new_token(), root=public / "state") as place:
        assert place.path.is_dir()
    assert mode(public / "state") == 0o700


def test_all_above_it_is_made_for_this_user_alone(public: Path) -> None:
    make_private(public / "a" / "state")
    assert mode(public / "a") == 0o700


def test_elsewhere_it_is_as_the_place_allows(tmp_path: Path) -> None:
    make_private(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o755
    make_private(tmp_path / "state")


@pytest.mark.parametrize("allowed", [0o701, 0o710, 0o722, 0o755, 0o777])
def test_one_that_others_may_use_is_refused(public: Path, allowed: int) -> None:
    state = public / "state"
    state.mkdir()
    state.chmod(allowed)
    for use in (check_private, make_private, sweep_stale, list_leases):
        with pytest.raises(HostError, match="other users may use") as caught:
            use(state)
        assert f"chmod 700 {state}" in caught.value.hint


def test_one_below_a_directory_that_others_may_change_is_refused(public: Path) -> None:
    state = public / "a" / "state"
    state.mkdir(parents=True, mode=0o700)
    (public / "a").chmod(0o722)
    with pytest.raises(HostError, match="other users may use"):
        make_private(state)
    (public / "a").chmod(0o711)
    make_private(state)


def test_a_link_is_refused(public: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (public / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError, match="not a directory of this user"):
        make_private(public / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")
def test_one_of_another_user_is_refused(public: Path) -> None:
    state = public / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 12345, 12345)
    with pytest.raises(HostError, match="not a directory of this user"):
        make_private(state)


def test_without_a_runtime_directory_it_lies_in_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RINGBED_STATE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert paths.state("x") == Path("/tmp/ringbed-1234/x")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1234")
    assert paths.state("x") == Path("/run/user/1234/ringbed/x")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert paths.state("x") == Path("/run/ringbed/x")
