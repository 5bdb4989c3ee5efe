# SPDX-License-Identifier: Apache-2.0
"""Stack drivers: how a stack and an application on it are started, stopped and measured."""

from collections.abc import Mapping

from orchestrator.stacks.base import Stack
from orchestrator.stacks.dpos import IxStack, L2Stack
from orchestrator.stacks.linux import LinuxStack
from orchestrator.stacks.testpmd import TestpmdStack

DRIVERS: Mapping[str, Stack] = {
    driver.name: driver for driver in (LinuxStack(), IxStack(), L2Stack(), TestpmdStack())
}

__all__ = ["DRIVERS", "Stack"]
