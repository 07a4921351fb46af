// The ledger: rows can be filtered by verdict, and a link to a claim opens its row. Without this script the page is
// whole: rows unfold by themselves, and browsers open the row that a link leads into.
"use strict";

const rows = [...document.querySelectorAll("details.dfa-claim")];

function open() {
  const label = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const row = label?.closest("details.dfa-claim");
  if (!row) return;
  row.hidden = false;
  row.open = true;
  label.scrollIntoView();
}

const verdicts = { holds: "holds", part: "holds in part", fails: "does not hold", open: "undecided", none: "not tested" };

function selector(label, options) {
  const box = document.createElement("label");
  box.textContent = `${label} `;
  const select = box.appendChild(document.createElement("select"));
  for (const [value, text] of options) select.add(new Option(text, value));
  return [box, select];
}

function filters(first) {
  const bar = document.createElement("p");
  bar.className = "dfa-filters";
  const chosen = ["digits", "mnist"].map((dataset) => {
    const name = dataset === "mnist" ? "On MNIST" : "On the digits";
    const [box, select] = selector(name, [["", "any verdict"], ...Object.entries(verdicts)]);
    bar.append(box, " ");
    return [dataset, select];
  });
  const count = bar.appendChild(document.createElement("output"));
  function show() {
    for (const row of rows) row.hidden = chosen.some(([dataset, { value }]) => value && row.dataset[dataset] !== value);
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims`;
  }
  bar.addEventListener("change", show);
  show();
  first.before(bar);
}

if (rows.length) filters(rows[0]);
addEventListener("hashchange", open);
// A second click on the same link changes no address.
addEventListener("click", ({ target }) => {
  const link = target.closest?.('a[href*="#claim-"]');
  if (link?.hash === location.hash) open();
});
open();
