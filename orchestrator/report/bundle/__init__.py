# SPDX-License-Identifier: Apache-2.0
"""A run as one archive that others can check and repeat: the artifact of an evaluation."""

from orchestrator.report.bundle.archive import Bundle, open_bundle
from orchestrator.report.bundle.make import make_bundle

__all__ = ["Bundle", "make_bundle", "open_bundle"]
