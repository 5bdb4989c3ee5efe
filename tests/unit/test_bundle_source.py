# SPDX-License-Identifier: Apache-2.0
"""The source in a bundle: what a run was made from, or no bundle."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import paths
from orchestrator.errors import UsageError
from orchestrator.report.bundle import source
from orchestrator.run import supplies
from orchestrator.run.manifest import source_state

pytestmark = pytest.mark.skipif(not paths.project(".git").exists(), reason="needs a checkout")


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    """As a run of this very checkout would have it; its patch lies in tmp_path."""
    state = source_state(tmp_path, 1)
    if state["untracked"]:
        pytest.skip("this checkout has files that git does not know")
    inputs = supplies.foresee("guest", "wall", locked=True).inputs
    return {
        "run": "demo",
        "ringbed": state,
        "image": {"name": "guest"},
        "inputs": inputs,
        "clock": "wall",
    }


def export(manifest: dict[str, Any], tmp_path: Path) -> Path:
    into = tmp_path / "source"
    into.mkdir()
    source.export(manifest, tmp_path, into)
    return into


def test_the_commit_and_its_patch_give_the_inputs(manifest: dict[str, Any], tmp_path: Path) -> None:
    into = export(manifest, tmp_path)
    assert (into / "ringbed").stat().st_mode & 0o100
    assert not (into / ".git").exists()
    ours = paths.project("orchestrator", "vm", "sealed.py").read_bytes()
    assert (into / "orchestrator" / "vm" / "sealed.py").read_bytes() == ours


def test_a_patch_is_applied_and_changes_are_noticed(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    if manifest["ringbed"]["dirty"]:
        pytest.skip("this checkout has a patch of its own")
    # A hunk without lines below it would have to be the end of the file.
    below = paths.project("orchestrator/steps/outcome.py").read_text().splitlines()[1]
    patch = f"""\
diff --git a/orchestrator/steps/outcome.py b/orchestrator/steps/outcome.py
--- a/orchestrator/steps/outcome.py
+++ b/orchestrator/steps/outcome.py
@@ -1,2 +1,3 @@
 # SPDX-License-Identifier: Apache-2.0
+# another line
 {below}
"""
    (tmp_path / "dirty.diff").write_text(patch)
    changed = {**manifest["ringbed"], "dirty": True, "diff": "dirty.diff"}
    with pytest.raises(UsageError, match="does not give what the run was made with") as caught:
        export({**manifest, "ringbed": changed}, tmp_path)
    assert "code:" in caught.value.details
    text = (tmp_path / "source" / "orchestrator" / "steps" / "outcome.py").read_text()
    assert text.splitlines()[1] == "# another line"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commit": ""}, "from no git checkout"),
        ({"commit": "0" * 40}, "does not have commit 000000000000"),
        ({"untracked": ["orchestrator/new.py"]}, "files that git does not know"),
        ({"diff": "dirty.diff"}, "does not apply"),
    ],
)
def test_a_source_that_cannot_be_named_is_refused(
    change: dict[str, Any], message: str, manifest: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "dirty.diff").write_text("--- a/no/such\n+++ b/no/such\n@@ -1 +1 @@\n-a\n+b\n")
    with pytest.raises(UsageError, match=message):
        export({**manifest, "ringbed": {**manifest["ringbed"], **change}}, tmp_path)


def test_a_source_below_a_repository_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PROJECT", paths.project("orchestrator"))
    assert source_state(tmp_path, 1)["commit"] == ""
