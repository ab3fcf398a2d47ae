"use strict";
const table = document.querySelector(".ranks table.ranking");
const value = (row, column) => {
  const cell = row.cells[column];
  return column === 0 ? cell.textContent : Number(cell.dataset.value ?? NaN);
};
const order = (one, other) => (typeof one === "string" ? one.localeCompare(other) : one - other);
table.tHead.querySelectorAll("button").forEach((button, column) => {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const sign = head.ariaSort === (column ? "descending" : "ascending") ? (column ? 1 : -1) : column ? -1 : 1;
    for (const each of table.tHead.querySelectorAll("th")) each.removeAttribute("aria-sort");
    head.ariaSort = sign < 0 ? "descending" : "ascending";
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      const isMissing = Number.isNaN(a) || Number.isNaN(b); // last in both directions
      return isMissing ? Number.isNaN(a) - Number.isNaN(b) : sign * order(a, b);
    });
    table.tBodies[0].append(...rows);
  });
});
