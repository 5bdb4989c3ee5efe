# SPDX-License-Identifier: Apache-2.0
"""`python -m orchestrator.provision REQUEST TREE`: the hook that an image build calls.

It runs inside the user namespace in which mmdebstrap builds, because only there is the builder
user 0. REQUEST is a JSON file: {"variables": …, "log": path, "failure": path}. A failure is
written to the last as {"kind", "message", "details", "hint"}, for the process that started the
build to raise.
"""

import json
import sys
from pathlib import Path

from orchestrator.errors import RingbedError
from orchestrator.provision.tree import provision_tree


def main(request_path: str, tree: str) -> int:
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    try:
        provision_tree(Path(tree), variables=request["variables"], log=Path(request["log"]))
    except RingbedError as error:
        failure = {
            "kind": type(error).__name__,
            "message": error.message,
            "details": error.details,
            "hint": error.hint,
        }
        Path(request["failure"]).write_text(json.dumps(failure), encoding="utf-8")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
