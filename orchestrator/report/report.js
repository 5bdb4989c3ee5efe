// SPDX-License-Identifier: Apache-2.0
// Sorts the table of trials by a clicked column. Without it the table stands in order of execution.
"use strict";
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
      const rows = [...table.tBodies[0].rows].sort((a, b) =>
        key(a).localeCompare(key(b), "en", { numeric: true }) * (down ? -1 : 1));
      if (head.classList.contains("n")) {
        rows.sort((a, b) => (Number(key(a)) - Number(key(b))) * (down ? -1 : 1));
      }
      table.tBodies[0].append(...rows);
    });
  });
}
