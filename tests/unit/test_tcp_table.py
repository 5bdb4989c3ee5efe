# SPDX-License-Identifier: Apache-2.0
"""The table of rules in docs/tcp.md is what the code says."""

import sys

from orchestrator import paths, process


def test_the_table_of_rules_is_that_of_the_code() -> None:
    script = paths.project("dataplane", "tests", "net", "rfc_table.py")
    table = process.run((sys.executable, script), timeout=60).stdout
    assert table.count("\n") > 50
    page = paths.project("docs", "tcp.md").read_text(encoding="utf-8")
    assert table in page, f"docs/tcp.md: its table must be what {script} prints"
