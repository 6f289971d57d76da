// The page: pictures come in, a back end segments them one after the other, masks are shown and saved.

import { PlainError, utf8 } from "./bytes.js";
import { overlay } from "./draw.js";
import { readPicture } from "./files.js";
import { areasOf, maskOf } from "./mask.js";
import { remarkOn } from "./input.js";
import { shown } from "./picture.js";
import { encodeMask } from "./png.js";
import { zipped } from "./zip.js";

const MOST_HELD = 6e8; // bytes of probabilities that are kept; those that were looked at longest ago go first
const at = (id) => document.getElementById(id);

/** @param {object} model what the page knows of it; @param backend see wasm.js */
export function start(model, backend) {
  const entries = [];
  let chosen = null;
  let busy = false;
  let ready = false;
  let threshold = model.threshold;
  let drawn = null; // the mask on the screen

  // Pictures

  function add(files) {
    for (const file of files) {
      const entry = { file, name: file.name, mask: uniqueName(file.name), state: "waiting" };
      entries.push(entry);
      list(entry);
    }
    at("work").hidden = !entries.length;
    document.body.classList.toggle("started", entries.length > 0);
    if (!chosen && entries.length) choose(entries[0]);
    tell();
    work();
  }

  function uniqueName(name) {
    const stem = name.replace(/\.[^.]+$/, "") || "mask";
    const taken = new Set(entries.map((entry) => entry.mask));
    let found = `${stem}.png`;
    for (let number = 2; taken.has(found); number++) found = `${stem}_${number}.png`;
    return found;
  }

  async function work() {
    if (busy || !ready) return;
    busy = true;
    for (let entry; (entry = entries.find(({ state }) => state === "waiting")); ) {
      entry.state = "running";
      refresh(entry);
      await segment(entry);
      refresh(entry);
      if (entry === chosen) await show();
      tell();
    }
    busy = false;
    tell();
  }

  /** Fill in what the back end makes of a picture, or why there is nothing. */
  async function segment(entry) {
    try {
      const begun = performance.now();
      const picture = await readPicture(entry.file, model.maxPixels);
      Object.assign(entry, { width: picture.width, height: picture.height, pixels: picture, remark: remarkOn(picture, model) });
      const { probabilities } = await backend.segment(picture);
      Object.assign(entry, { state: "done", milliseconds: performance.now() - begun });
      hold(entry, probabilities);
      if (!entry.thumb) thumbnail(entry, picture);
      if (entry !== chosen) entry.pixels = null;
    } catch (error) {
      Object.assign(entry, { state: "failed", pixels: null, error: faultOf(error) });
    }
  }

  function faultOf(error) {
    if (error instanceof PlainError) return error.message;
    if (error.name === "NotFoundError" || error.name === "NotReadableError") return "cannot be read: it is a folder, or it has gone";
    if (error instanceof RangeError) return "needs more memory than a browser gives";
    console.error(error);
    return `cannot be segmented: ${error.message}`;
  }

  function hold(entry, probabilities) {
    entry.probabilities = probabilities;
    entry.used = performance.now();
    const held = entries.filter((one) => one.probabilities).sort((a, b) => a.used - b.used);
    let bytes = held.reduce((sum, one) => sum + one.probabilities.byteLength, 0);
    for (const one of held.slice(0, -1)) {
      if (bytes <= MOST_HELD) break;
      bytes -= one.probabilities.byteLength;
      one.probabilities = null;
    }
  }

  /** The mask at the present threshold; the picture is run again where its probabilities were let go. */
  async function maskAt(entry) {
    if (!entry.probabilities) await segment(entry);
    if (entry.state !== "done") return null;
    entry.used = performance.now();
    return maskOf(entry, model, threshold);
  }

  // The list

  function list(entry) {
    const item = document.createElement("li");
    entry.button = document.createElement("button");
    entry.button.type = "button";
    entry.button.innerHTML = '<canvas width="48" height="48" aria-hidden="true"></canvas><span><b></b> <small></small></span>';
    entry.button.querySelector("b").textContent = entry.name;
    entry.button.addEventListener("click", () => choose(entry));
    item.append(entry.button);
    at("list").append(item);
    refresh(entry);
  }

  function refresh(entry) {
    const words = { waiting: "waiting", running: "segmenting …", failed: entry.error, done: `${entry.width}×${entry.height}` };
    entry.button.querySelector("small").textContent = words[entry.state];
    entry.button.className = entry.state;
  }

  function thumbnail(entry, picture) {
    entry.thumb = entry.button.querySelector("canvas");
    const [side, scale] = [48, 48 / Math.min(picture.width, picture.height)];
    const [wide, high] = [picture.width * scale, picture.height * scale];
    entry.thumb.getContext("2d").drawImage(canvasOf(shown(picture)), (side - wide) / 2, (side - high) / 2, wide, high);
  }

  function canvasOf(image) {
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  async function choose(entry) {
    if (chosen && chosen !== entry) chosen.pixels = null;
    chosen?.button.removeAttribute("aria-current");
    chosen = entry;
    entry.button.setAttribute("aria-current", "true");
    await show();
  }

  at("list").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const next = entries[entries.indexOf(chosen) + step];
    if (!step || !next) return;
    event.preventDefault();
    next.button.focus();
    choose(next);
  });

  // The picture with its mask

  async function show() {
    const entry = chosen;
    const [picture, above] = [at("picture"), at("overlay")];
    at("name").textContent = entry.name;
    at("fault").textContent = entry.state === "failed" ? `${entry.name} ${entry.error}` : "";
    at("remark").textContent = entry.remark ?? "";
    at("view").hidden = entry.state !== "done";
    drawn = null;
    if (entry.state === "done") {
      try {
        entry.pixels ??= await readPicture(entry.file, model.maxPixels);
      } catch (error) {
        Object.assign(entry, { state: "failed", error: faultOf(error) }); // the file has gone or changed
        refresh(entry);
        return show();
      }
      if (entry !== chosen) return;
      for (const canvas of [picture, above]) [canvas.width, canvas.height] = [entry.width, entry.height];
      picture.getContext("2d").putImageData(shown(entry.pixels), 0, 0);
      at("view").classList.toggle("small", Math.max(entry.width, entry.height) < 500);
      await mark();
    } else areas(null);
    buttons();
  }

  /** Draw the mask anew, by the present settings. */
  async function mark() {
    const entry = chosen;
    if (entry?.state !== "done") return;
    const mask = await maskAt(entry);
    if (entry !== chosen || !mask) return;
    drawn = mask;
    paint();
    areas(mask);
  }

  function paint() {
    if (!drawn) return;
    const colors = model.classes.map(({ index, rgb }) => (index && at(`class-${index}`).checked ? rgb : null));
    const look = { fill: at("opacity").valueAsNumber / 100, outline: at("outline").checked };
    at("overlay").getContext("2d", { willReadFrequently: true }).putImageData(overlay(drawn, chosen.width, chosen.height, colors, look), 0, 0);
  }

  function areas(mask) {
    const counts = mask && areasOf(mask, model.classes.length);
    const said = [];
    for (const { index, name } of model.classes.slice(1)) {
      const percent = counts && `${((100 * counts[index]) / mask.length).toFixed(2)} %`;
      at(`pixels-${index}`).textContent = counts ? counts[index].toLocaleString("en") : "–";
      at(`percent-${index}`).textContent = counts ? percent : "–";
      if (counts) said.push(`${name}: ${counts[index]} pixels, ${percent}`);
    }
    const size = chosen.state === "done" ? `${chosen.width}×${chosen.height} pixels, ${Math.round(chosen.milliseconds)} ms` : "";
    at("size").textContent = size;
    at("picture").setAttribute("aria-label", `${chosen.name}, ${size}. ${said.join("; ")}`);
  }

  // Controls

  for (const { index, name, rgb } of model.classes.slice(1)) {
    const row = at("classes").tBodies[0].insertRow();
    row.innerHTML = `<th scope="row"><label><input type="checkbox" checked id="class-${index}"><i></i><span></span></label></th><td id="pixels-${index}">–</td><td id="percent-${index}">–</td>`;
    row.querySelector("i").style.background = `rgb(${rgb})`;
    row.querySelector("span").textContent = name;
    row.querySelector("input").addEventListener("input", paint);
  }
  at("opacity").addEventListener("input", paint);
  at("outline").addEventListener("input", paint);
  at("thresholds").hidden = model.threshold === null;

  function setThreshold(value) {
    threshold = value;
    at("threshold").valueAsNumber = value;
    const own = value === model.threshold;
    at("value").textContent = own ? `${+value.toFixed(3)} (the model's own)` : value.toFixed(3);
    at("own").disabled = own;
    mark();
  }
  if (model.threshold !== null) {
    setThreshold(model.threshold);
    at("threshold").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
    at("own").addEventListener("click", () => setThreshold(model.threshold));
  }

  // Files in

  at("files").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = ""; // the same files can be chosen again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => document.body.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  at("clear").addEventListener("click", () => {
    entries.length = 0;
    chosen = drawn = null;
    at("list").textContent = "";
    at("files").focus();
    add([]);
  });

  // Files out

  const encoded = (entry, mask) => encodeMask(mask, entry.width, entry.height, model.values, model.palette, model.labels);

  function save(name, bytes, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  at("save").addEventListener("click", async () => {
    const entry = chosen;
    const mask = await maskAt(entry);
    if (mask) save(entry.mask, await encoded(entry, mask), "image/png");
  });

  at("save-all").addEventListener("click", async () => {
    at("save-all").disabled = true;
    const files = [];
    const rows = [["file", "mask", "width", "height", "threshold", "class", "pixels", "percent"]];
    for (const entry of entries.filter(({ state }) => state === "done")) {
      const mask = await maskAt(entry);
      if (!mask) continue;
      files.push({ name: entry.mask, bytes: await encoded(entry, mask) });
      const counts = areasOf(mask, model.classes.length);
      for (const { index, name } of model.classes.slice(1)) {
        rows.push([entry.name, entry.mask, entry.width, entry.height, threshold ?? "", name, counts[index], (100 * counts[index]) / mask.length]);
      }
    }
    const table = rows.map((row) => row.map((cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell)).join(",")).join("\r\n");
    save("masks.zip", zipped([...files, { name: "areas.csv", bytes: utf8(`${table}\r\n`) }]), "application/zip");
    buttons();
  });

  function buttons() {
    at("save").disabled = chosen?.state !== "done";
    at("save-all").disabled = !entries.some(({ state }) => state === "done");
  }

  /** How far it is, for eyes and for screen readers. */
  function tell() {
    const done = entries.filter(({ state }) => state === "done").length;
    const failed = entries.filter(({ state }) => state === "failed").length;
    const left = entries.length - done - failed;
    const faults = failed ? `, ${failed} could not be segmented` : "";
    at("progress").hidden = !left && ready;
    if (!ready) at("progress").removeAttribute("value");
    else Object.assign(at("progress"), { max: entries.length || 1, value: done + failed });
    at("status").textContent = !ready ? "The model is being loaded …" : !entries.length ? "Ready." : left ? `${done + failed} of ${entries.length} pictures done${faults} …` : `${done} of ${entries.length} pictures segmented${faults}.`;
    buttons();
  }

  tell();
  return backend.start().then(
    () => {
      ready = true;
      document.body.classList.add("ready");
      tell();
      work();
    },
    (error) => {
      at("progress").hidden = true;
      at("status").textContent = `The model cannot be loaded in this browser: ${error.message}`;
      document.body.classList.add("broken");
    },
  );
}
