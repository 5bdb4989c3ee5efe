# SPDX-License-Identifier: Apache-2.0
"""Provisions the tree of an image while it is built."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.provision.playbook import play

DEADLINE_S = 300.0
REMOTE_TEMPORARY = "tmp/.ansible"


def provision_tree(root: Path, *, variables: Mapping[str, Any], log: Path) -> None:
    """Run playbooks/site.yml on a directory tree, as user 0 of some user namespace.

    Raises ProvisionError or DeadlineError; the tree is then half provisioned and of no use.
    """
    host = {"ansible_connection": "tree", "ansible_host": str(root)}
    try:
        play(
            "site.yml",
            {"tree": host},
            group="tree",
            variables=variables,
            deadline_s=DEADLINE_S,
            log=log,
        )
    finally:
        shutil.rmtree(root / REMOTE_TEMPORARY, ignore_errors=True)
