// Files out: a mask, or all of them with a table and the model's card in a zip archive.

import { utf8 } from "./bytes.js";
import { at, download, say, when } from "./dom.js";
import { encodeMask } from "./mask-png.js";
import { csvOf } from "./table.js";
import { WORDS } from "./words.js";
import { zipped } from "./zip.js";

/** @param app see app.js */
export function savers(app) {
  /** A mask as a file: {name, bytes}. The back end writes what the page cannot. */
  async function made(entry) {
    const mask = await app.maskAt(entry);
    if (!mask) throw new Error(entry.error);
    const written = await app.backend.write?.(entry, mask, app.model);
    const { values, palette, labels } = app.model;
    entry.mask = entry.mask.replace(/(\.nii)?\.[^.]+$/, written?.suffix ?? ".png");
    return { name: entry.mask, bytes: written?.bytes ?? await encodeMask(mask, entry.width, entry.height, values, palette, labels) };
  }

  /** What `action` returns is told. */
  async function guarded(button, action) {
    at(button).disabled = true;
    say("told", WORDS.saving);
    say("told", await action().catch((error) => error.message));
    refresh();
  }

  when("save", "click", () =>
    guarded("save", async () => {
      const { name, bytes } = await made(app.chosen);
      download(name, bytes, "application/octet-stream");
      return WORDS.saved(1);
    }),
  );

  when("save-all", "click", () =>
    guarded("save-all", async () => {
      const files = [];
      const told = [];
      for (const entry of app.entries.filter(({ state }) => state === "done")) {
        await made(entry).then(
          (file) => files.push(file),
          (error) => told.push(`${entry.name}: ${error.message}.`),
        );
      }
      told.unshift(WORDS.saved(files.length));
      files.push({ name: "areas.csv", bytes: utf8(await csvOf(app)) });
      const card = at("card")?.innerHTML;
      if (card) files.push({ name: "card.html", bytes: utf8(`<!DOCTYPE html><meta charset="utf-8"><title>Model card</title>${card}`) });
      download("masks.zip", zipped(files), "application/zip");
      return told.join(" ");
    }),
  );

  function refresh() {
    at("save").disabled = app.chosen?.state !== "done";
    at("save-all").disabled = !app.entries.some(({ state }) => state === "done");
  }

  return { refresh };
}
