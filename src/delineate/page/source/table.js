// All images as a table, and the same as a file for spreadsheets.

import { at, download, element, when } from "./dom.js";
import { WORDS } from "./words.js";

/** @param app see app.js */
export function batchTable(app) {
  let due = false;

  function render() {
    due = false;
    const { entries, model } = app;
    at("batch").hidden = entries.length < 2;
    if (at("batch").hidden || !at("batch").open) return;
    const { columns } = WORDS;
    const classes = model.classes.slice(1);
    const further = ["confidence", "expected_dice"].filter((name) => entries.some(({ facts }) => facts?.[name] != null));
    const titles = [columns.thumb, columns.image, columns.size, ...classes.map(({ name }) => name), ...further.map((name) => columns[name]), columns.remark];
    const lines = entries.map((entry) => {
      const { state, facts, drawn } = entry;
      const thumb = element("canvas", { width: entry.thumb.width, height: entry.thumb.height, ariaHidden: "true" });
      thumb.getContext("2d").drawImage(entry.thumb, 0, 0);
      const button = element("button", { className: "link", textContent: entry.name });
      button.addEventListener("click", () => {
        app.choose(entry);
        entry.button.scrollIntoView({ block: "nearest" });
      });
      const amounts = state === "done" && amountsOf(entry);
      const size = state === "done" ? app.sizeWords(entry) : state === "waiting" ? WORDS.waiting : "–";
      const remark = state === "failed" ? entry.error : [facts?.outside, drawn ? WORDS.drawn : "", entry.remark].filter(Boolean).join("; ");
      return [thumb, button, size, ...classes.map(({ index }) => (amounts ? sized(entry, amounts[index]) : "–")), ...further.map((name) => facts?.[name]?.toFixed(2) ?? "–"), remark];
    });
    const row = (cells) => element("tr", {}, ...cells);
    at("table").replaceChildren(
      element("thead", {}, row(titles.map((text) => element("th", { scope: "col", textContent: text })))),
      element("tbody", {}, ...lines.map((cells) => row(cells.map((cell) => element("td", {}, cell))))),
    );
  }

  /** At the present threshold, where they are known. */
  function amountsOf(entry) {
    const mask = app.present(entry);
    if (mask) Object.assign(entry, { amounts: app.measured(entry, mask), measuredAt: app.threshold });
    return entry.measuredAt === app.threshold && entry.amounts;
  }

  const sized = (entry, { percent, size }) => (size === null ? `${percent.toFixed(2)} %` : `${size.toPrecision(4)} ${entry.volume ? WORDS.volume : WORDS.area}`);

  when("batch", "toggle", render);
  when("csv", "click", async () => download("areas.csv", await csvOf(app), "text/csv"));

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
