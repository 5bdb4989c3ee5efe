# SPDX-License-Identifier: Apache-2.0
"""`python -m orchestrator`: what the launcher starts."""

from orchestrator.cli.main import entry

if __name__ == "__main__":
    entry()
