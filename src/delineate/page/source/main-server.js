// The page of a server: its models, and what only it can do.

import { start } from "./app.js";
import { at } from "./dom.js";
import { ServerBackend } from "./server.js";

const backend = new ServerBackend();
const models = (await backend.models()).filter(({ kind }) => kind === "dense");
at("model").replaceChildren(...models.map(({ name, title }) => new Option(name === title ? name : `${name} · ${title}`, name)));
at("models").hidden = false;
const app = start(await backend.model(models[0].name), backend);
await card();

async function card() {
  at("card").innerHTML = await backend.card(app.model.name);
}

at("model").addEventListener("change", async () => {
  app.use(await backend.model(at("model").value));
  for (const entry of app.entries) Object.assign(entry, { drawn: null, history: null, facts: null });
  app.again();
  await card();
});

at("tta").addEventListener("change", () => {
  backend.extra = at("tta").value ? { tta: at("tta").value } : {};
  app.again();
});
