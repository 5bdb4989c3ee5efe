# SPDX-License-Identifier: Apache-2.0
"""The page docs/performance.md: sections that commands write anew, each between its marks."""

import re

from orchestrator.errors import UsageError

PAGE = "docs/performance.md"
LIBRARY, DATAPLANE = "library", "dataplane"

_BLANK = """\
# What the dataplane costs

Instructions, counted, not times: they are the same in every run and on every host, so there is no
spread to state. They see no caches, no mispredicted branches and no device. `./ringbed perf`
measures the library anew, and with `--dataplane` the whole; with `--page` each writes its section
of this page, and leaves the other one as it is.

<!-- begin library -->
<!-- end library -->

<!-- begin dataplane -->
<!-- end dataplane -->
"""


def replace_section(page: str, name: str, body: str, *, file: str) -> str:
    """The page with another body of a section; an empty page is begun. file: its name in errors.
    Raises UsageError when the page has no such section."""
    page = page or _BLANK
    marks = re.escape(f"<!-- begin {name} -->\n"), re.escape(f"<!-- end {name} -->")
    found = re.compile(f"({marks[0]}).*?({marks[1]})", re.DOTALL)
    if not found.search(page):
        raise UsageError(
            f"--page: {file} has no section {name!r} to write",
            hint=f"it lies between <!-- begin {name} --> and <!-- end {name} -->",
        )
    return found.sub(lambda match: f"{match[1]}{body.rstrip()}\n{match[2]}", page)
