// The page: images come in, a back end segments them one after the other, masks are shown, changed and saved.

import { PlainError } from "./bytes.js";
import { at, element, say, when } from "./dom.js";
import { around, edgeWidth, overlay } from "./draw.js";
import { agreement, count, maskOf, recount } from "./mask.js";
import { shown, sliceOf } from "./picture.js";
import { Stage } from "./stage.js";
import { batchTable } from "./table.js";
import { drawingTools } from "./tools.js";
import { savers } from "./saves.js";
import { takeFiles } from "./taking.js";
import { WORDS } from "./words.js";

const MOST_HELD = 6e8; // bytes of images and probabilities that are kept; those that were looked at longest ago go first
const THUMB = 96; // pixels
const ALL = [0, 0, Infinity, Infinity];

/** @param {object} model what the page knows of it; @param backend see wasm.js */
export function start(model, backend) {
  const app = { model, backend, entries: [], chosen: null, slice: 0, threshold: model.threshold, add, use, choose, paint, paintSoon, mark, changed: null, redrawn, amend, maskAt, present, planeOf, measured, sizeWords, again, order, refresh, turn };
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
    for (const one of held) {
      if (bytes <= MOST_HELD) break;
      if (one === entry || one === app.chosen) continue;
      bytes -= size(one);
      one.held = one.own = one.tally = null;
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
    if (change && !entry.drawn) {
      entry.drawn = ownMask(entry).slice();
      if (entry.tally) entry.tally.mask = entry.drawn; // still equal, pixel by pixel
    }
    const size = entry.width * entry.height;
    return { data: (entry.drawn ?? ownMask(entry)).subarray(slice * size, (slice + 1) * size), width: entry.width, height: entry.height };
  }

  /** Pixels, share in percent, size in mm² or mL, and Dice with the model's mask, of each class. */
  function measured(entry, mask) {
    const own = entry.held ? ownMask(entry) : mask;
    const all = app.model.classes.length;
    if (entry.tally?.mask !== mask || entry.tally.own !== own) {
      entry.tally = { mask, own, counts: new Float64Array(all * all) };
      count(entry.tally.counts, mask, own, all);
    }
    const each = entry.spacing?.reduce((product, one) => product * one, entry.volume ? 0.001 : 1);
    return app.model.classes.map(({ index }) => {
      const { pixels, dice } = agreement(entry.tally.counts, index, all);
      return { pixels, percent: (100 * pixels) / mask.length, size: each ? pixels * each : null, dice };
    });
  }

  /** After a change by hand: large masks take long to count, so the counts change by its parts. */
  function amend(entry, { slice, parts }) {
    const { tally, drawn, width, height } = entry;
    if (tally?.mask !== drawn) return;
    const own = tally.own.subarray(slice * width * height);
    for (const part of parts) recount(tally.counts, planeOf(entry, slice), part, own, app.model.classes.length);
  }

  // The list

  function list(entry) {
    const { name } = entry;
    entry.thumb = element("canvas", { width: THUMB, height: THUMB, ariaHidden: "true" });
    entry.button = element("button", { title: name }, entry.thumb, element("span", {}, element("b", { textContent: name }), " ", element("small")));
    entry.button.addEventListener("click", () => choose(entry));
    at("list").append(element("li", {}, entry.button));
    refresh(entry);
  }

  function sizeWords({ width, height, depth, volume }) {
    return `${width}×${height}${volume ? `×${depth}` : ""}`;
  }

  function refresh(entry) {
    const told = [sizeWords(entry), entry.example ? WORDS.example : "", entry.facts?.outside ? WORDS.foreign : "", entry.drawn && !entry.example ? WORDS.drawn : ""];
    const words = { waiting: WORDS.waiting, running: WORDS.running(entry.progress), failed: entry.error, done: told.filter(Boolean).join(" · ") };
    entry.button.querySelector("small").textContent = words[entry.state];
    entry.button.className = entry.state;
    app.table.refresh();
  }

  /** After a change by hand. */
  function redrawn(entry) {
    if (entry.held) thumbnail(entry);
    refresh(entry);
    if (entry === app.chosen) measure();
  }

  /** The middle of an image with its mask: of a few pixels, since it is made anew after each stroke. */
  function thumbnail(entry) {
    const { width, height, depth } = entry;
    const [image, mask] = [sliceOf(entry, depth >> 1), planeOf(entry, depth >> 1).data];
    const { channels } = image;
    const step = Math.min(width, height) / THUMB;
    const along = (side, place) => Math.floor(side / 2 + step * (place + 0.5 - THUMB / 2));
    const places = Array.from({ length: THUMB * THUMB }, (_, place) => along(height, Math.floor(place / THUMB)) * width + along(width, place % THUMB));
    const data = image.data.constructor.from({ length: places.length * channels }, (_, at) => image.data[places[Math.floor(at / channels)] * channels + (at % channels)]);
    const layers = [shown({ width: THUMB, height: THUMB, channels, data }), overlay({ data: Uint8Array.from(places, (from) => mask[from]), width: THUMB }, colors(), { fill: 0.5, outline: 0 }, [0, 0, THUMB, THUMB])];
    const canvas = new OffscreenCanvas(THUMB, THUMB);
    for (const layer of layers) {
      canvas.getContext("2d").putImageData(layer, 0, 0);
      entry.thumb.getContext("2d").drawImage(canvas, 0, 0);
    }
  }

  async function choose(entry) {
    app.chosen?.button.removeAttribute("aria-current");
    app.slice = entry.depth ? Math.min(app.chosen === entry ? app.slice : entry.depth >> 1, entry.depth - 1) : 0;
    app.chosen = entry;
    entry.button.setAttribute("aria-current", "true");
    await show();
  }

  when("list", "keydown", (event) => {
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
    say("name", entry.name);
    say("fault", entry.state === "failed" ? `${entry.name}: ${entry.error}` : "");
    say("remark", done ? [entry.remark, WORDS.seen[entry.facts?.seen]].filter(Boolean).join(" ") : "");
    say("warning", done && entry.facts?.outside ? WORDS.outside(entry.facts.outside) : "");
    for (const id of ["view", "tools", "keys"]) at(id).hidden = !done;
    at("slices").hidden = !done || !entry.volume;
    if (done) {
      if (entry.slice === undefined) app.slice = entry.slice = entry.depth >> 1;
      for (const canvas of at("stage").children) if (canvas.width !== entry.width || canvas.height !== entry.height) [canvas.width, canvas.height] = [entry.width, entry.height];
      app.stage.open(entry.width, entry.height);
      at("brush").max = Math.max(60, Math.round(Math.min(entry.width, entry.height) / 5));
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
    say("slice-of", WORDS.slice(app.slice + 1, entry.depth));
    at("picture").getContext("2d").putImageData(shown(sliceOf(entry, app.slice)), 0, 0);
    if (steps) paint();
    return entry.depth > 1;
  }

  /** Draw the mask anew, by the present settings, and measure it. */
  async function mark() {
    if (!app.chosen) return;
    if (app.chosen.state === "done") await maskAt(app.chosen);
    paint();
    await measure();
  }

  function colors() {
    return app.model.classes.map(({ index, rgb }) => (index && at(`class-${index}`).checked ? rgb : null));
  }

  let due = null; // the box that is painted with the next frame

  /** The mask on the screen, or a box of it (null: none), and what is due. */
  function paint(box = ALL) {
    const entry = app.chosen;
    box = around(due, box);
    due = null;
    if (!box || entry?.state !== "done" || !entry.held) return;
    const plane = planeOf(entry, app.slice);
    const { width, height } = plane;
    const wide = edgeWidth(width, height);
    // Outlines reach so far; as they are wrong at the rim of what is cut out, the rim is not drawn.
    const grown = (by) => [Math.max(0, box[0] - by), Math.max(0, box[1] - by), Math.min(width, box[2] + by), Math.min(height, box[3] + by)];
    const [seen, drawn] = [grown(2 * wide + 1), grown(wide + 1)];
    const look = { fill: at("opacity").valueAsNumber / 100, outline: at("outline").checked ? wide : 0, doubts: null };
    if (at("doubt").checked && !at("doubts").hidden) {
      entry.held.uncertainty ??= backend.doubts(entry.held);
      look.doubts = entry.held.uncertainty.subarray(app.slice * width * height);
    }
    const [left, top] = seen;
    at("overlay").getContext("2d").putImageData(overlay(plane, colors(), look, seen), left, top, drawn[0] - left, drawn[1] - top, drawn[2] - drawn[0], drawn[3] - drawn[1]);
  }

  /** The same with the next frame: pointers and sliders move more often than anyone sees. */
  function paintSoon(box = ALL) {
    if (!due) requestAnimationFrame(() => paint(null));
    due = around(due, box);
  }

  /** What is told of the mask: areas, and what is known beside them. */
  async function measure() {
    const entry = app.chosen;
    const mask = entry.state === "done" ? await maskAt(entry) : null;
    if (entry !== app.chosen) return;
    const found = mask && measured(entry, mask);
    const unit = mask && entry.spacing ? (entry.volume ? WORDS.volume : WORDS.area) : WORDS.pixels;
    say("amount", unit);
    const facts = (mask && entry.facts) || {};
    const said = [];
    const lines = [];
    if (facts.expected_dice != null) lines.push([WORDS.columns.expected_dice, WORDS.plusMinus(facts.expected_dice, facts.expected_error ?? 0)]);
    if (facts.confidence != null) lines.push([WORDS.columns.confidence, facts.confidence.toFixed(2)]);
    const classes = app.model.classes.slice(1);
    for (const { index, name } of classes) {
      const { pixels, size, percent, dice } = found?.[index] ?? {};
      const amount = found && (size === null ? pixels.toLocaleString("en") : size.toPrecision(4));
      say(`pixels-${index}`, amount ?? "–");
      say(`percent-${index}`, found ? `${percent.toFixed(2)} %` : "–");
      if (found) said.push(`${name}: ${amount} ${unit}, ${percent.toFixed(2)} %`);
      if (entry.facts && entry.drawn && entry.held && dice != null) lines.push([WORDS.agreement + (classes.length > 1 ? `, ${name}` : ""), WORDS.dice(dice)]);
    }
    const size = mask ? `${sizeWords(entry)} pixels, ${Math.round(entry.milliseconds)} ms` : "";
    say("size", size);
    at("picture").setAttribute("aria-label", `${entry.name}, ${size}. ${said.join("; ")}`);
    at("facts-of").replaceChildren(...lines.flatMap((line) => ["dt", "dd"].map((tag, place) => element(tag, { textContent: line[place] }))));
    app.tools.refresh();
    app.changed?.();
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
      const [box, patch] = [element("input", { type: "checkbox", checked: true, id: `class-${index}` }), element("i")];
      patch.style.background = `rgb(${rgb})`;
      box.addEventListener("input", () => paint());
      row.append(element("th", { scope: "row" }, element("label", {}, box, patch, name)), ...["pixels", "percent"].map((what) => element("td", { id: `${what}-${index}`, textContent: "–" })));
    }
    at("thresholds").hidden = given.threshold === null;
    if (given.threshold !== null) setThreshold(given.threshold);
    app.tools.use(given);
  }

  function setThreshold(value) {
    app.threshold = value;
    at("threshold").valueAsNumber = value;
    const own = value === app.model.threshold;
    say("value", own ? WORDS.own(+value.toFixed(3)) : value.toFixed(3));
    at("own").disabled = own;
    mark();
  }
  when("threshold", "input", (event) => setThreshold(event.target.valueAsNumber));
  when("own", "click", () => setThreshold(app.model.threshold));
  for (const id of ["opacity", "outline", "doubt"]) at(id).addEventListener("input", () => paintSoon());
  when("slice", "input", (event) => turn(event.target.valueAsNumber - 1 - app.slice));
  when("clear", "click", () => {
    app.entries.length = 0;
    app.chosen = null;
    say("list", "");
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
    say("status", !ready ? WORDS.loading : !all ? WORDS.ready : left ? WORDS.going(done + failed, all, faults) : (app.model.kind === "fewshot" && !backend.examples ? WORDS.looked : WORDS.done)(done, all, faults));
    app.saves.refresh();
  }

  app.table = batchTable(app);
  app.saves = savers(app);
  app.tools = drawingTools(app);
  app.stage = new Stage(at("view"), at("stage"), at("ring"), app.tools.on);
  takeFiles(app);
  use(model);
  tell();
  backend.start().then(
    () => {
      ready = true;
      document.body.classList.add("ready");
      tell();
      work();
    },
    (error) => {
      at("progress").hidden = true;
      say("status", WORDS.broken(error.message));
      document.body.classList.add("broken");
    },
  );
  return app;
}
