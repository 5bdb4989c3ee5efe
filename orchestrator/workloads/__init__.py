# SPDX-License-Identifier: Apache-2.0
"""Load generators: how each is driven, and what its output means."""

from collections.abc import Mapping

from orchestrator.workloads.base import Generator, Load
from orchestrator.workloads.memcslap import Memcslap
from orchestrator.workloads.rbload import Rbload

GENERATORS: Mapping[str, Generator] = {
    driver.offer.name: driver for driver in (Rbload(), Memcslap())
}

__all__ = ["GENERATORS", "Generator", "Load"]
