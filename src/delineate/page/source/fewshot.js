// Segmenting by examples: the person draws on a few images, the model segments the rest, the doubtful ones first.

import { at, say, when } from "./dom.js";
import { encodeMask } from "./mask-png.js";
import { TOLD } from "./server-words.js";

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
    say("example", chosen?.example ? TOLD.remove : TOLD.add);
    at("example").disabled = !chosen?.drawn;
    at("segment").disabled = !number || number === app.entries.length;
    say("examples", said ?? (number ? TOLD.examples(number) : TOLD.none));
    say("trust", model.scores ? TOLD.trust(model.scores.title, model.scores.head[1], model.scores.rows.at(-1)[1]) : TOLD.unknown);
  }

  function tell(text) {
    said = text;
    refresh();
  }

  function mark(entry, example) {
    entry.example = example;
    app.refresh(entry);
    tell(null);
  }

  when("example", "click", () => {
    const entry = app.chosen;
    if (!entry.example && !entry.drawn.some((value) => value)) tell(TOLD.empty);
    else mark(entry, !entry.example);
  });

  const base = (name) => name.replace(/\.[^.]+$/, "");
  const stem = (name) => base(name).replace(/[_-]?(mask|label|seg|gt)$/i, "");

  /** A mask that lies in a file, by the name of its image. */
  async function takeMask(file) {
    const entry = app.entries.find(({ name }) => stem(name) === stem(file.name));
    if (!entry) return tell(TOLD.noMask(file.name));
    while (["waiting", "running"].includes(entry.state)) await new Promise((done) => setTimeout(done, 100));
    const { width, height, image } = await backend.look(file, app.model);
    if (width !== entry.width || height !== entry.height) return tell(TOLD.size(file.name));
    const least = /jpe?g$/i.test(file.name) ? 128 : 1; // JPEG blurs what is black
    entry.drawn = Uint8Array.from({ length: width * height }, (_, pixel) => (image.data[3 * pixel] >= least ? 1 : 0));
    entry.history = null;
    mark(entry, true);
    if (entry === app.chosen) app.mark();
  }

  app.takeMasks = async (files) => {
    for (const file of files) await takeMask(file).catch((error) => tell(`${file.name}: ${error.message}`));
  };

  when("masks", "change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    await app.takeMasks(files);
  });

  /** Of files that came in, those that are masks of others, by their folder or the end of their name. */
  app.masksAmong = (found) => {
    const names = new Set([...app.entries, ...found.map(({ file }) => file)].map(({ name }) => base(name)));
    const isMask = ({ file, path }) => /(^|\/)(masks?|labels?)\//i.test(path) || (stem(file.name) !== base(file.name) && names.has(stem(file.name)));
    return app.model.kind === "fewshot" ? found.filter(isMask) : [];
  };

  when("segment", "click", async () => {
    tell(TOLD.sending);
    at("segment").disabled = true;
    const { values, palette, labels } = app.model;
    try {
      const given = [];
      for (const entry of examples()) given.push({ file: entry.file, mask: await encodeMask(entry.drawn, entry.width, entry.height, values, palette, labels) });
      await backend.show(given, app.model);
      for (const entry of app.entries) if (!entry.example) Object.assign(entry, { drawn: null, history: null });
      tell(null);
      app.again();
    } catch (error) {
      tell(error.message);
    }
  });

  app.finished = () => {
    if (!backend.examples || !app.entries.length) return;
    const doubt = ({ example, facts }) => (example ? 2 : (facts?.confidence ?? 1));
    app.order((one, other) => doubt(one) - doubt(other));
    app.choose(app.entries[0]);
    tell(TOLD.ordered);
  };

  return { refresh };
}
