// Segmenting by examples: the person draws on a few images, the model segments the rest, the doubtful ones first.

import { at } from "./dom.js";
import { encodeMask } from "./mask-png.js";
import { WORDS } from "./words.js";

/** @param app see app.js */
export function fewshot(app) {
  const { backend } = app;
  const examples = () => app.entries.filter(({ example }) => example);
  let said = null; // in place of the number of examples

  function refresh() {
    const own = app.model.kind === "fewshot";
    at("fewshot").hidden = !own;
    if (!own) return;
    const number = examples().length;
    const { chosen, model } = app;
    at("example").textContent = chosen?.example ? WORDS.fewshot.remove : WORDS.fewshot.add;
    at("example").disabled = !chosen?.drawn;
    at("segment").disabled = !number || number === app.entries.length;
    at("examples").textContent = said ?? (number ? WORDS.fewshot.examples(number) : WORDS.fewshot.none);
    at("trust").textContent = model.scores ? WORDS.fewshot.trust(model.scores.title, model.scores.head[1], model.scores.rows.at(-1)[1]) : WORDS.fewshot.unknown;
  }

  function say(text) {
    said = text;
    refresh();
  }

  function mark(entry, example) {
    entry.example = example;
    app.refresh(entry);
    say(null);
  }

  at("example").addEventListener("click", () => {
    const entry = app.chosen;
    if (!entry.example && !entry.drawn.some((value) => value)) say(WORDS.fewshot.empty);
    else mark(entry, !entry.example);
  });

  /** Masks that lie in files, by the names of their images. */
  async function takeMask(file) {
    const stem = (name) => name.replace(/\.[^.]+$/, "").replace(/[_-]?(mask|label|seg|gt)$/i, "");
    const entry = app.entries.find(({ name }) => stem(name) === stem(file.name));
    if (!entry) return say(WORDS.fewshot.noMask(file.name));
    const { width, height, image } = await backend.look(file, app.model);
    if (width !== entry.width || height !== entry.height) return say(WORDS.fewshot.size(file.name));
    entry.drawn = Uint8Array.from({ length: width * height }, (_, pixel) => (image.data[3 * pixel] ? 1 : 0));
    entry.history = null;
    mark(entry, true);
    if (entry === app.chosen) app.mark();
  }

  at("masks").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    for (const file of files) await takeMask(file).catch((error) => say(`${file.name}: ${error.message}`));
  });

  at("segment").addEventListener("click", async () => {
    say(WORDS.sending);
    at("segment").disabled = true;
    const { values, palette, labels } = app.model;
    try {
      const given = [];
      for (const entry of examples()) given.push({ file: entry.file, mask: await encodeMask(entry.drawn, entry.width, entry.height, values, palette, labels) });
      await backend.show(given, app.model);
      for (const entry of app.entries) if (!entry.example) Object.assign(entry, { drawn: null, history: null });
      say(null);
      app.again();
    } catch (error) {
      say(error.message);
    }
  });

  app.finished = () => {
    if (!backend.examples || !app.entries.length) return;
    const doubt = ({ example, facts }) => (example ? 2 : (facts?.confidence ?? 1));
    app.order((one, other) => doubt(one) - doubt(other));
    app.choose(app.entries[0]);
    say(WORDS.fewshot.ordered);
  };

  return { refresh };
}
