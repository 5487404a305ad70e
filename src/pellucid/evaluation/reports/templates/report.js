"use strict";

// The table of all photographs: each header sorts, the form above it filters.
const table = document.getElementById("rows");
if (table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const words = new Intl.Collator("en", { numeric: true });

  function sortBy(head) {
    const falling = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const column = head.cellIndex;
    const sign = falling ? -1 : 1;
    const numeric = "numeric" in head.dataset;
    const keyed = [...body.rows].map((row) => {
      const cell = row.cells[column];
      return { row, missing: numeric && !("value" in cell.dataset), key: numeric ? Number(cell.dataset.value) : cell.textContent };
    });
    keyed.sort((a, b) => {
      if (a.missing || b.missing) return a.missing - b.missing; // what is missing comes last, either way
      if (!numeric) return sign * words.compare(a.key, b.key);
      return a.key === b.key ? 0 : sign * (a.key < b.key ? -1 : 1);
    });
    body.append(...keyed.map((entry) => entry.row));
  }
  heads.forEach((head) => head.querySelector("button").addEventListener("click", () => sortBy(head)));

  const form = document.getElementById("filters");
  const texts = new Map([...body.rows].map((row) => [row, row.textContent.toLowerCase()]));

  function filter() {
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
    const wanted = form.querySelector("input").value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const row of body.rows) {
      const fits = chosen.every((select) => row.cells[Number(select.dataset.column)].textContent === select.value);
      row.hidden = !(fits && wanted.every((word) => texts.get(row).includes(word)));
      count += !row.hidden;
    }
    form.querySelector("output").textContent = `${count} of ${body.rows.length} rows`;
  }
  form.addEventListener("input", filter);
  form.addEventListener("change", filter); // not every browser says "input" of a choice
  form.addEventListener("reset", () => setTimeout(filter)); // after the fields are empty
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
}

// The enlarged crop: arrow keys flip between the models, at the same place on the screen.
const loupe = document.getElementById("loupe");
let shown = [];
let at = 0;

function show(index) {
  at = (index + shown.length) % shown.length;
  const image = shown[at].querySelector("img");
  loupe.querySelector("img").src = image.src;
  loupe.querySelector("img").alt = image.alt;
  const caption = shown[at].closest("figure").querySelector("figcaption");
  loupe.querySelector("p").textContent = `${caption.textContent.trim()} (${at + 1} of ${shown.length})`;
}

for (const crop of document.querySelectorAll(".crop")) {
  crop.addEventListener("click", () => {
    shown = [...crop.closest(".crops").querySelectorAll(".crop")];
    show(shown.indexOf(crop));
    loupe.showModal();
  });
}
loupe.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) show(at + step);
});
loupe.addEventListener("click", (event) => {
  const step = event.target.dataset.step;
  if (event.target === loupe || step === "0") loupe.close();
  else if (step) show(at + Number(step));
});
