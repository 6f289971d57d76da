// The page: images come in, a back end segments them one after the other, masks are shown, changed and saved.

import { PlainError } from "./bytes.js";
import { at } from "./dom.js";
import { edgeWidth, entropies, overlay, veil } from "./draw.js";
import { diceOf, areasOf, maskOf } from "./mask.js";
import { imageOf } from "./picture.js";
import { Stage } from "./stage.js";
import { batchTable } from "./table.js";
import { drawingTools } from "./tools.js";
import { savers } from "./saves.js";
import { takeFiles } from "./taking.js";
import { WORDS } from "./words.js";

const MOST_HELD = 6e8; // bytes of images and probabilities that are kept; those that were looked at longest ago go first

/** @param {object} model what the page knows of it; @param backend see wasm.js */
export function start(model, backend) {
  const app = { model, backend, entries: [], chosen: null, slice: 0, threshold: model.threshold, add, use, choose, show, paint, mark, maskAt, present, planeOf, measured, tell, again, order, refresh };
  let busy = false;
  let ready = false;

  // Images

  function add(given) {
    for (const { name, files } of given) {
      const entry = { name, files, file: files[0], mask: uniqueName(name), state: "waiting", drawn: null, history: null };
      app.entries.push(entry);
      list(entry);
    }
    at("work").hidden = !app.entries.length;
    document.body.classList.toggle("started", app.entries.length > 0);
    if (!app.chosen && app.entries.length) choose(app.entries[0]);
    tell();
    work();
  }

  function uniqueName(name) {
    const stem = name.replace(/(\.nii)?\.[^.]+$/, "") || "mask";
    const taken = new Set(app.entries.map((entry) => entry.mask));
    let found = `${stem}.png`;
    for (let number = 2; taken.has(found); number++) found = `${stem}_${number}.png`;
    return found;
  }

  async function work() {
    if (busy || !ready) return;
    busy = true;
    for (let entry; (entry = app.entries.find(({ state }) => state === "waiting")); ) {
      entry.state = "running";
      refresh(entry);
      const [asked, way] = [app.model, backend.way];
      entry.report = (share) => {
        entry.progress = share;
        refresh(entry);
      };
      await segment(entry);
      if (asked !== app.model || way !== backend.way) entry.state = "waiting"; // another was chosen meanwhile
      refresh(entry);
      if (entry === app.chosen) await show();
      tell();
    }
    busy = false;
    tell();
    app.finished?.();
  }

  /** Bring the list into another order. */
  function order(compare) {
    app.entries.sort(compare);
    at("list").append(...app.entries.map(({ button }) => button.parentElement));
    app.table.refresh();
  }

  /** Fill in what the back end makes of an image, or why there is nothing. */
  async function segment(entry) {
    try {
      const begun = performance.now();
      const result = await backend.segment(entry, app.model);
      Object.assign(entry, { state: "done", milliseconds: performance.now() - begun, own: null });
      for (const name of ["width", "height", "depth", "spacing", "remark", "facts", "volume"]) entry[name] = result[name];
      hold(entry, result);
      thumbnail(entry);
    } catch (error) {
      Object.assign(entry, { state: "failed", held: null, error: faultOf(error) });
    }
  }

  /** Segment all anew: another model, another way, other examples. */
  function again() {
    for (const entry of app.entries) if (entry.state !== "running" && !entry.example) Object.assign(entry, { state: "waiting", held: null });
    for (const entry of app.entries) refresh(entry);
    if (app.chosen) show();
    tell();
    work();
  }

  function faultOf(error) {
    if (error instanceof PlainError) return error.message;
    if (error.name === "NotFoundError" || error.name === "NotReadableError") return WORDS.gone;
    if (error instanceof RangeError) return WORDS.memory;
    console.error(error);
    return WORDS.failed(error.message);
  }

  function hold(entry, { image, probabilities, mask, uncertainty }) {
    entry.held = { image, probabilities, mask, uncertainty };
    entry.used = performance.now();
    const held = app.entries.filter((one) => one.held).sort((a, b) => a.used - b.used);
    const size = (one) => Object.values(one.held).reduce((sum, part) => sum + ((part?.data ?? part)?.byteLength ?? 0), 0);
    let bytes = held.reduce((sum, one) => sum + size(one), 0);
    for (const one of held.slice(0, -1)) {
      if (bytes <= MOST_HELD) break;
      bytes -= size(one);
      one.held = one.own = null;
    }
  }

  /** What is held of an image; it is run again where it was let go. Null: there is nothing. */
  async function heldOf(entry) {
    if (entry.state === "done" && !entry.held) await segment(entry);
    if (entry.state !== "done") return null;
    entry.used = performance.now();
    return entry.held;
  }

  /** The model's mask at the present threshold. */
  function ownMask(entry) {
    const { probabilities, mask } = entry.held;
    if (!probabilities || (mask && app.threshold === app.model.threshold)) return mask;
    if (entry.own?.threshold !== app.threshold) entry.own = { threshold: app.threshold, mask: maskOf({ ...entry, probabilities }, app.model, app.threshold) };
    return entry.own.mask;
  }

  /** The mask as it is saved: drawn by hand, or the model's. */
  async function maskAt(entry) {
    if (!entry.drawn) await heldOf(entry);
    return present(entry);
  }

  /** The same, where it can be had at once; else null. */
  function present(entry) {
    return entry.drawn ?? (entry.held ? ownMask(entry) : null);
  }

  /** A slice of a mask, to be drawn on: the mask becomes one of its own. */
  function planeOf(entry, slice, change = false) {
    if (change && !entry.drawn) entry.drawn = ownMask(entry).slice();
    const size = entry.width * entry.height;
    return { data: (entry.drawn ?? ownMask(entry)).subarray(slice * size, (slice + 1) * size), width: entry.width, height: entry.height };
  }

  /** Pixels, share in percent and size in mm² or mL of each class. */
  function measured(entry, mask) {
    const sizes = entry.spacing?.reduce((product, one) => product * one, 1);
    return areasOf(mask, app.model.classes.length).map((pixels) => ({ pixels, percent: (100 * pixels) / mask.length, size: sizes ? (pixels * sizes) / (entry.volume ? 1000 : 1) : null }));
  }

  // The list

  function list(entry) {
    const item = document.createElement("li");
    entry.button = document.createElement("button");
    entry.button.type = "button";
    entry.button.innerHTML = '<canvas width="48" height="48" aria-hidden="true"></canvas><span><b></b> <small></small></span>';
    entry.button.querySelector("b").textContent = entry.name;
    entry.button.title = entry.name;
    entry.thumb = entry.button.querySelector("canvas");
    entry.button.addEventListener("click", () => choose(entry));
    item.append(entry.button);
    at("list").append(item);
    refresh(entry);
  }

  const sizeWords = (entry) => `${entry.width}×${entry.height}${entry.volume ? `×${entry.depth}` : ""}`;

  function refresh(entry) {
    const told = [sizeWords(entry), entry.example ? WORDS.example : "", entry.facts?.outside ? WORDS.foreign : "", entry.drawn && !entry.example ? WORDS.drawn : ""];
    const words = { waiting: WORDS.waiting, running: WORDS.running(entry.progress), failed: entry.error, done: told.filter(Boolean).join(" · ") };
    entry.button.querySelector("small").textContent = words[entry.state];
    entry.button.className = entry.state;
    app.table.refresh();
  }

  function thumbnail(entry) {
    const [side, scale] = [48, 48 / Math.min(entry.width, entry.height)];
    const [wide, high] = [entry.width * scale, entry.height * scale];
    const middle = entry.depth >> 1;
    const pen = entry.thumb.getContext("2d");
    const mask = planeOf(entry, middle).data;
    for (const image of [imageOf(entry, middle), overlay(mask, entry.width, entry.height, colors(), { fill: 0.5, outline: false })]) {
      pen.drawImage(canvasOf(image), (side - wide) / 2, (side - high) / 2, wide, high);
    }
  }

  function canvasOf(image) {
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  async function choose(entry) {
    app.chosen?.button.removeAttribute("aria-current");
    app.slice = entry.depth ? Math.min(app.chosen === entry ? app.slice : entry.depth >> 1, entry.depth - 1) : 0;
    app.chosen = entry;
    entry.button.setAttribute("aria-current", "true");
    await show();
  }

  at("list").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const next = app.entries[app.entries.indexOf(app.chosen) + step];
    if (!step || !next) return;
    event.preventDefault();
    next.button.focus();
    choose(next);
  });

  // The image with its mask

  async function show() {
    const entry = app.chosen;
    if (entry.state === "done" && !(await heldOf(entry))) refresh(entry);
    if (entry !== app.chosen) return;
    const done = entry.state === "done";
    at("name").textContent = entry.name;
    at("fault").textContent = entry.state === "failed" ? `${entry.name} ${entry.error}` : "";
    at("remark").textContent = done ? [entry.remark, WORDS.seen[entry.facts?.seen]].filter(Boolean).join(" ") : "";
    at("warning").textContent = done && entry.facts?.outside ? WORDS.outside(entry.facts.outside) : "";
    for (const id of ["view", "tools", "keys"]) at(id).hidden = !done;
    at("slices").hidden = !done || !entry.volume;
    if (done) {
      if (entry.slice === undefined) app.slice = entry.slice = entry.depth >> 1;
      for (const canvas of at("stage").children) if (canvas.width !== entry.width || canvas.height !== entry.height) [canvas.width, canvas.height] = [entry.width, entry.height];
      app.stage.open(entry.width, entry.height);
      at("slice").max = entry.depth;
      const live = entry.held.probabilities && app.model.threshold !== null && app.model.postprocessing && !(entry.volume && app.model.postprocessing.length);
      at("thresholds").hidden = !live;
      at("doubts").hidden = !entry.held.probabilities && !entry.held.uncertainty;
      turn(0);
    }
    await mark();
    app.saves.refresh();
  }

  /** Show another slice. Returns whether there are several. */
  function turn(steps) {
    const entry = app.chosen;
    if (entry?.state !== "done" || !entry.held) return false;
    app.slice = Math.max(0, Math.min(entry.depth - 1, app.slice + steps));
    at("slice").value = app.slice + 1;
    at("slice-of").textContent = WORDS.slice(app.slice + 1, entry.depth);
    at("picture").getContext("2d").putImageData(imageOf(entry, app.slice), 0, 0);
    if (steps) paint();
    return entry.depth > 1;
  }

  /** Draw the mask anew, by the present settings, and measure it. */
  async function mark() {
    const entry = app.chosen;
    if (!entry) return;
    const mask = entry.state === "done" ? await maskAt(entry) : null;
    if (entry !== app.chosen) return;
    paint();
    areas(mask);
    app.tools.refresh();
    app.changed?.();
  }

  function colors() {
    return app.model.classes.map(({ index, rgb }) => (index && at(`class-${index}`).checked ? rgb : null));
  }

  /** The mask on the screen; `box`: of the pixels that changed, or all. */
  function paint(box = null) {
    const entry = app.chosen;
    if (entry?.state !== "done" || !entry.held) return;
    const { data, width, height } = planeOf(entry, app.slice);
    const pen = at("overlay").getContext("2d", { willReadFrequently: true });
    if (at("doubt").checked && !at("doubts").hidden) {
      entry.held.uncertainty ??= entropies(entry.held.probabilities, app.model);
      return pen.putImageData(veil(entry.held.uncertainty.subarray(app.slice * data.length), width, height), 0, 0);
    }
    const look = { fill: at("opacity").valueAsNumber / 100, outline: at("outline").checked };
    if (!box) return pen.putImageData(overlay(data, width, height, colors(), look), 0, 0);
    const wide = edgeWidth(width, height);
    const [left, top, right, bottom] = [Math.max(0, box[0] - 2 * wide - 1), Math.max(0, box[1] - 2 * wide - 1), Math.min(width, box[2] + 2 * wide + 1), Math.min(height, box[3] + 2 * wide + 1)];
    const part = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y++) part.set(data.subarray(y * width + left, y * width + right), (y - top) * (right - left));
    // At the cut's own border outlines are wrong: that rim is not drawn.
    const rim = (edge, border) => (edge === border ? 0 : wide);
    const [x, y] = [rim(left, 0), rim(top, 0)];
    pen.putImageData(overlay(part, right - left, bottom - top, colors(), look, wide), left, top, x, y, right - left - x - rim(right, width), bottom - top - y - rim(bottom, height));
  }

  function areas(mask) {
    const entry = app.chosen;
    const found = mask && measured(entry, mask);
    const unit = entry.spacing ? (entry.volume ? WORDS.volume : WORDS.area) : WORDS.pixels;
    at("amount").textContent = mask ? unit : WORDS.pixels;
    const said = [];
    for (const { index, name } of app.model.classes.slice(1)) {
      const one = found?.[index];
      const amount = one && (one.size === null ? one.pixels.toLocaleString("en") : one.size.toPrecision(4));
      at(`pixels-${index}`).textContent = one ? amount : "–";
      at(`percent-${index}`).textContent = one ? `${one.percent.toFixed(2)} %` : "–";
      if (one) said.push(`${name}: ${amount} ${unit}, ${one.percent.toFixed(2)} %`);
    }
    const size = mask ? `${sizeWords(entry)} pixels, ${Math.round(entry.milliseconds)} ms` : "";
    at("size").textContent = size;
    at("picture").setAttribute("aria-label", `${entry.name}, ${size}. ${said.join("; ")}`);
    told(entry, mask);
  }

  /** What is known of a mask beside its areas. */
  function told(entry, mask) {
    const facts = mask ? entry.facts ?? {} : {};
    const lines = [];
    if (facts.expected_dice != null) lines.push([WORDS.expected, WORDS.plusMinus(facts.expected_dice, facts.expected_error ?? 0)]);
    if (facts.confidence != null) lines.push([WORDS.confidence, facts.confidence.toFixed(2)]);
    if (mask && entry.drawn && entry.held) {
      for (const { index, name } of app.model.classes.slice(1)) {
        const dice = diceOf(ownMask(entry), entry.drawn, index);
        const which = app.model.classes.length > 2 ? `, ${name}` : "";
        if (dice !== null) lines.push([`${WORDS.agreement}${which}`, WORDS.dice(dice)]);
      }
    }
    at("facts-of").replaceChildren(
      ...lines.flatMap(([name, value]) => {
        const [term, text] = [document.createElement("dt"), document.createElement("dd")];
        [term.textContent, text.textContent] = [name, value];
        return [term, text];
      }),
    );
  }

  // Controls

  /** Show the classes and the threshold of a model. */
  function use(given) {
    app.model = given;
    app.threshold = given.threshold;
    const body = at("classes").tBodies[0];
    body.textContent = "";
    for (const { index, name, rgb } of given.classes.slice(1)) {
      const row = body.insertRow();
      row.innerHTML = `<th scope="row"><label><input type="checkbox" checked id="class-${index}"><i></i><span></span></label></th><td id="pixels-${index}">–</td><td id="percent-${index}">–</td>`;
      row.querySelector("i").style.background = `rgb(${rgb})`;
      row.querySelector("span").textContent = name;
      row.querySelector("input").addEventListener("input", () => paint());
    }
    at("thresholds").hidden = given.threshold === null;
    if (given.threshold !== null) setThreshold(given.threshold);
    app.tools.use(given);
  }

  function setThreshold(value) {
    app.threshold = value;
    at("threshold").valueAsNumber = value;
    const own = value === app.model.threshold;
    at("value").textContent = own ? WORDS.own(+value.toFixed(3)) : value.toFixed(3);
    at("own").disabled = own;
    mark();
  }
  at("threshold").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
  at("own").addEventListener("click", () => setThreshold(app.model.threshold));
  for (const id of ["opacity", "outline", "doubt"]) at(id).addEventListener("input", () => paint());
  at("slice").addEventListener("input", (event) => turn(event.target.valueAsNumber - 1 - app.slice));
  at("clear").addEventListener("click", () => {
    app.entries.length = 0;
    app.chosen = null;
    at("list").textContent = "";
    at("files").focus();
    app.table.refresh();
    add([]);
  });

  /** How far it is, for eyes and for screen readers. */
  function tell() {
    const all = app.entries.length;
    const done = app.entries.filter(({ state }) => state === "done").length;
    const failed = app.entries.filter(({ state }) => state === "failed").length;
    const left = all - done - failed;
    const faults = failed ? WORDS.faults(failed) : "";
    at("progress").hidden = !left && ready;
    if (!ready) at("progress").removeAttribute("value");
    else Object.assign(at("progress"), { max: all || 1, value: done + failed });
    at("status").textContent = !ready ? WORDS.loading : !all ? WORDS.ready : left ? WORDS.going(done + failed, all, faults) : (app.model.kind === "fewshot" && !backend.examples ? WORDS.looked : WORDS.done)(done, all, faults);
    app.saves.refresh();
  }

  app.turn = turn;
  app.table = batchTable(app);
  app.saves = savers(app);
  app.tools = drawingTools(app);
  app.stage = new Stage(at("view"), at("stage"), app.tools.on);
  takeFiles(app);
  use(model);
  tell();
  app.started = backend.start().then(
    () => {
      ready = true;
      document.body.classList.add("ready");
      tell();
      work();
    },
    (error) => {
      at("progress").hidden = true;
      at("status").textContent = WORDS.broken(error.message);
      document.body.classList.add("broken");
    },
  );
  return app;
}
