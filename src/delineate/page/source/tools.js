// The tools: brush, eraser, fill; undo and redo; the largest parts alone.

import { at, when } from "./dom.js";
import { History, flood, forget, keepLargest, stroke } from "./edit.js";

const TOOL_KEYS = { v: "move", b: "brush", e: "erase", f: "fill" };

/** @param app see app.js */
export function drawingTools(app) {
  const buttons = [...at("tools").querySelectorAll("[data-tool]")];
  let tool = "move";
  let last = null; // where the stroke is that is being drawn

  const size = () => at("brush").valueAsNumber;
  const value = () => (tool === "erase" ? 0 : Number(at("paint").value));

  function take(name) {
    tool = name;
    for (const button of buttons) {
      const own = button.dataset.tool === name;
      button.setAttribute("aria-checked", String(own));
      button.tabIndex = own ? 0 : -1;
    }
    at("view").dataset.tool = name;
  }

  function begin() {
    const entry = app.chosen;
    entry.history ??= new History();
    entry.history.begin(app.slice, app.planeOf(entry, app.slice, true));
  }

  /** `make` is given the slice that is shown, and what must be called with a box before that is changed. */
  function change(make) {
    make(app.planeOf(app.chosen, app.slice), (box) => {
      app.chosen.history.keep(box);
      app.paintSoon(box);
    });
  }

  function end() {
    last = null;
    app.paint(null);
    told(app.chosen, app.chosen.history.end());
  }

  /** After a change: count it, and forget those that are too old. */
  function told(entry, made) {
    if (!made) return;
    app.amend(entry, made);
    app.redrawn(entry);
    forget(app.entries.flatMap(({ history }) => history ?? []));
  }

  const on = {
    tool: () => tool,
    size,
    turn: (steps) => app.turn(steps),
    start(point) {
      if (app.chosen?.state !== "done") return;
      begin();
      last = point;
      const inside = point[0] >= 0 && point[1] >= 0 && point[0] < app.chosen.width && point[1] < app.chosen.height;
      if (tool !== "fill") on.move(point);
      else if (inside) change((plane, keep) => flood(plane, point, value(), keep));
    },
    move(point) {
      if (!last || tool === "fill") return;
      change((plane, keep) => stroke(plane, last, point, size(), value(), keep));
      last = point;
    },
    end: () => last && end(),
  };

  function step(back) {
    const entry = app.chosen;
    const made = entry?.history?.step(back, (one) => app.planeOf(entry, one, true));
    if (!made) return;
    if (made.slice !== app.slice) app.turn(made.slice - app.slice);
    for (const { box } of made.parts) app.paint(box);
    told(entry, made);
  }

  for (const button of buttons) button.addEventListener("click", () => take(button.dataset.tool));
  when("undo", "click", () => step(true));
  when("redo", "click", () => step(false));
  when("largest", "click", () => {
    begin();
    change((plane, keep) => keepLargest(plane, app.model.classes.length, keep));
    end();
  });
  when("revert", "click", () => {
    Object.assign(app.chosen, { drawn: null, history: null, example: false });
    app.paint();
    app.redrawn(app.chosen);
  });
  when("in", "click", () => app.stage.by(1.5));
  when("out", "click", () => app.stage.by(1 / 1.5));
  when("fit", "click", () => app.stage.fit());
  when("tools", "keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const place = buttons.indexOf(event.target);
    if (!step || place < 0) return;
    event.preventDefault();
    const next = buttons[(place + step + buttons.length) % buttons.length];
    take(next.dataset.tool);
    next.focus();
  });
  addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type=range]):not([type=checkbox]), select, dialog") || app.chosen?.state !== "done") return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key === "z" || key === "y") step(key === "z" && !event.shiftKey);
      else return;
    } else if (TOOL_KEYS[key]) take(TOOL_KEYS[key]);
    else if (key === "[" || key === "]") at("brush").valueAsNumber += key === "[" ? -2 : 2;
    else if (event.key === "PageDown" || event.key === "PageUp") {
      if (!app.turn(event.key === "PageDown" ? 1 : -1)) return;
    } else return;
    event.preventDefault();
  });
  take("move");

  return {
    on,
    /** The classes that can be drawn. */
    use(model) {
      at("paint").replaceChildren(...model.classes.slice(1).map(({ index, name }) => new Option(name, index)));
      at("paint").parentElement.hidden = model.classes.length < 3;
    },
    /** What can be pressed now. */
    refresh() {
      const history = app.chosen?.history;
      at("undo").disabled = !history?.done.length;
      at("redo").disabled = !history?.undone.length;
      at("revert").disabled = !app.chosen?.drawn;
    },
  };
}
