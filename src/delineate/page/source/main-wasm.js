// The page that runs the model in the browser.

import { start } from "./app.js";
import { WasmBackend, embedded } from "./wasm.js";

const model = JSON.parse(document.getElementById("facts").textContent);
start(model, new WasmBackend(model));

const notices = document.getElementById("notices");
notices.parentElement.addEventListener("toggle", async () => {
  notices.textContent ||= new TextDecoder().decode(await embedded("notices"));
});
