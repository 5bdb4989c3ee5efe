# SPDX-License-Identifier: Apache-2.0
"""Calls playbooks/ through ansible-runner: on the tree of an image, and on running guests."""

from orchestrator.provision.machines import (
    Interface,
    Login,
    ReadBack,
    Settings,
    VirtualFunction,
    configure_machines,
)
from orchestrator.provision.tree import provision_tree

__all__ = [
    "Interface",
    "Login",
    "ReadBack",
    "Settings",
    "VirtualFunction",
    "configure_machines",
    "provision_tree",
]
