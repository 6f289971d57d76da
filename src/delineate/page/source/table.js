// All images as a table, and the same as a file for spreadsheets.

import { at, download } from "./dom.js";
import { WORDS } from "./words.js";

/** @param app see app.js */
export function batchTable(app) {
  let due = false;

  function render() {
    due = false;
    const several = app.entries.length > 1;
    at("batch").hidden = !several;
    if (!several || !at("batch").open) return;
    const { columns } = WORDS;
    const classes = app.model.classes.slice(1);
    const told = (name) => app.entries.some((entry) => entry.facts?.[name] != null);
    const further = ["confidence", "expected_dice"].filter(told);
    const titles = { confidence: columns.confidence, expected_dice: columns.expected };
    const table = at("table");
    table.textContent = "";
    const head = table.createTHead().insertRow();
    for (const text of [columns.thumb, columns.image, columns.size, ...classes.map(({ name }) => name), ...further.map((name) => titles[name]), columns.remark]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const entry of app.entries) {
      const row = body.insertRow();
      const thumb = document.createElement("canvas");
      [thumb.width, thumb.height] = [48, 48];
      thumb.getContext("2d").drawImage(entry.thumb, 0, 0);
      row.insertCell().append(thumb);
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "link", textContent: entry.name });
      button.addEventListener("click", () => {
        app.choose(entry);
        entry.button.scrollIntoView({ block: "nearest" });
      });
      row.insertCell().append(button);
      const done = entry.state === "done";
      row.insertCell().textContent = done ? `${entry.width}×${entry.height}${entry.volume ? `×${entry.depth}` : ""}` : entry.state === "waiting" ? WORDS.waiting : "–";
      const amounts = done && (entry.drawn || entry.held || entry.amounts) ? amountsOf(entry) : null;
      for (const { index } of classes) row.insertCell().textContent = amounts ? sized(entry, amounts[index]) : "–";
      for (const name of further) row.insertCell().textContent = entry.facts?.[name] != null ? entry.facts[name].toFixed(2) : "–";
      const said = entry.state === "failed" ? entry.error : [entry.facts?.outside, entry.drawn ? WORDS.drawn : "", entry.remark].filter(Boolean).join("; ");
      row.insertCell().textContent = said;
    }
  }

  /** Measured once for each state of a mask. */
  function amountsOf(entry) {
    if (entry.held || entry.drawn) {
      const mask = app.present(entry);
      if (mask) entry.amounts = app.measured(entry, mask);
    }
    return entry.amounts;
  }

  const sized = (entry, { percent, size }) => (size === null ? `${percent.toFixed(2)} %` : `${size.toPrecision(4)} ${entry.volume ? WORDS.volume : WORDS.area}`);

  at("batch").addEventListener("toggle", render);
  at("csv").addEventListener("click", async () => download("areas.csv", await csvOf(app), "text/csv"));

  return {
    refresh() {
      if (!due) requestAnimationFrame(render);
      due = true;
    },
  };
}

/** A line for each class of each image, as text for a spreadsheet. */
export async function csvOf(app) {
  const rows = [["file", "mask", "width", "height", "depth", "threshold", "drawn", "class", "pixels", "percent", "mm2", "ml", "confidence", "expected_dice", "remark", "error"]];
  for (const entry of app.entries) {
    const mask = entry.state === "done" ? await app.maskAt(entry) : null;
    if (!mask) {
      if (entry.state === "failed") rows.push([entry.name, ...new Array(14).fill(""), entry.error]);
      continue;
    }
    const found = app.measured(entry, mask);
    const { confidence, expected_dice: expected, outside } = entry.facts ?? {};
    for (const { index, name } of app.model.classes.slice(1)) {
      const { pixels, percent, size } = found[index];
      const sizes = entry.volume ? ["", size ?? ""] : [size ?? "", ""];
      const remark = [outside, entry.remark].filter(Boolean).join("; ");
      rows.push([entry.name, entry.mask, entry.width, entry.height, entry.volume ? entry.depth : "", app.threshold ?? "", entry.drawn ? "yes" : "no", name, pixels, percent, ...sizes, confidence ?? "", expected ?? "", remark, ""]);
    }
  }
  // A cell that a spreadsheet would take for a formula becomes text.
  const safe = (cell) => (typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell));
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return `${rows.map((row) => row.map((cell) => quoted(safe(cell))).join(",")).join("\r\n")}\r\n`;
}
