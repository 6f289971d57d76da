// Files out: a mask, or all of them with a table and the model's card in a zip archive.

import { utf8 } from "./bytes.js";
import { at, download } from "./dom.js";
import { encodeMask } from "./mask-png.js";
import { csvOf } from "./table.js";
import { WORDS } from "./words.js";
import { zipped } from "./zip.js";

/** @param app see app.js */
export function savers(app) {
  /** A mask as a file: {name, bytes}. The back end writes what the page cannot. */
  async function made(entry) {
    const mask = await app.maskAt(entry);
    if (!mask) return null;
    const written = await app.backend.write?.(entry, mask, app.model);
    if (written) return { name: entry.mask.replace(/\.png$/, written.suffix), bytes: written.bytes };
    const { values, palette, labels } = app.model;
    return { name: entry.mask, bytes: await encodeMask(mask, entry.width, entry.height, values, palette, labels) };
  }

  async function guarded(button, action) {
    at(button).disabled = true;
    at("told").textContent = WORDS.saving;
    try {
      at("told").textContent = WORDS.saved(await action());
    } catch (error) {
      at("told").textContent = error.message;
    }
    refresh();
  }

  at("save").addEventListener("click", () =>
    guarded("save", async () => {
      const file = await made(app.chosen);
      if (file) download(file.name, file.bytes, "application/octet-stream");
      return file ? 1 : 0;
    }),
  );

  at("save-all").addEventListener("click", () =>
    guarded("save-all", async () => {
      const files = [];
      for (const entry of app.entries.filter(({ state }) => state === "done")) {
        const file = await made(entry);
        if (file) files.push(file);
      }
      const number = files.length;
      files.push({ name: "areas.csv", bytes: utf8(await csvOf(app)) });
      const card = at("card")?.innerHTML;
      if (card) files.push({ name: "card.html", bytes: utf8(`<!DOCTYPE html><meta charset="utf-8"><title>Model card</title>${card}`) });
      download("masks.zip", zipped(files), "application/zip");
      return number;
    }),
  );

  function refresh() {
    at("save").disabled = app.chosen?.state !== "done";
    at("save-all").disabled = !app.entries.some(({ state }) => state === "done");
  }

  return { refresh };
}
