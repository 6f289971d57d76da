// The page of a server: its models, and what only it can do.

import { start } from "./app.js";
import { at, say, when } from "./dom.js";
import { fewshot } from "./fewshot.js";
import { encodeMask } from "./mask-png.js";
import { ServerBackend } from "./server.js";
import { TOLD } from "./server-words.js";

const backend = new ServerBackend();
const { models, collects, samples } = await backend.about();
at("model").replaceChildren(...models.map(({ name, title }) => new Option(name === title ? name : `${name} · ${title}`, name)));
at("models").hidden = false;
const app = start(await backend.model(models[0].name), backend);
const examples = fewshot(app);
app.changed = () => {
  examples.refresh();
  at("correct").disabled = !app.chosen?.drawn;
};
/** Show what is known of the model that is used. */
async function used() {
  const { name, kind, scores } = app.model;
  at("collect").hidden = !collects || kind === "fewshot";
  at("format").parentElement.hidden = kind === "fewshot";
  say("score", scores ? TOLD.score(scores.head[1], scores.rows.at(-1)[1]) : TOLD.noScore);
  app.changed();
  at("card").innerHTML = await backend.card(name);
  document.body.dataset.model = name;
}

when("model", "change", async () => {
  const model = await backend.model(at("model").value);
  await backend.forget();
  app.use(model);
  for (const entry of app.entries) Object.assign(entry, { drawn: null, history: null, facts: null, example: false });
  app.again();
  await used();
});

when("tta", "change", () => {
  backend.extra = at("tta").value ? { tta: at("tta").value } : {};
  app.again();
});

at("samples").hidden = !samples;
say("samples", TOLD.samples(samples));
when("samples", "click", async () => {
  at("samples").hidden = true;
  for (let number = 0; number < samples; number++) {
    const file = await backend.sample(number);
    app.add([{ name: file.name, files: [file] }]);
    if (!number) app.entries[0].button.focus();
  }
});

when("correct", "click", async () => {
  const { chosen: entry, model } = app;
  const { values, palette, labels } = model;
  at("correct").disabled = true;
  say("told", TOLD.sending);
  try {
    const written = await backend.write(entry, entry.drawn, model, entry.volume ? "nifti" : "");
    await backend.correct(entry, written?.bytes ?? (await encodeMask(entry.drawn, entry.width, entry.height, values, palette, labels)), model);
    say("told", TOLD.kept);
  } catch (error) {
    say("told", error.message);
    at("correct").disabled = false;
  }
});

await used();
