// The tools: brush, eraser, fill; undo and redo; the largest parts alone.

import { at } from "./dom.js";
import { History, flood, keepLargest, stroke } from "./edit.js";

const TOOL_KEYS = { v: "move", b: "brush", e: "erase", f: "fill" };

/** @param app see app.js */
export function drawingTools(app) {
  const buttons = [...at("tools").querySelectorAll("[data-tool]")];
  let tool = "move";
  let before = null; // the slice before the stroke that is being drawn
  let touched = null;
  let last = null;

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
    const plane = app.planeOf(entry, app.slice, true);
    entry.history ??= new History();
    before = plane.data.slice();
    return plane;
  }

  function touch(box) {
    touched = touched && box ? [Math.min(touched[0], box[0]), Math.min(touched[1], box[1]), Math.max(touched[2], box[2]), Math.max(touched[3], box[3])] : (box ?? touched);
    if (box) app.paint(box);
  }

  function end() {
    if (!before) return;
    app.chosen.history.add(app.slice, before, app.planeOf(app.chosen, app.slice), touched);
    before = touched = last = null;
    changed();
  }

  /** After a change: measure, and tell. */
  function changed() {
    app.mark();
    app.refresh(app.chosen);
  }

  const on = {
    tool: () => tool,
    size,
    turn: (steps) => app.turn(steps),
    start(point) {
      if (app.chosen?.state !== "done") return;
      const plane = begin();
      const inside = point[0] >= 0 && point[1] >= 0 && point[0] < plane.width && point[1] < plane.height;
      if (tool === "fill") touch(inside ? flood(plane, point, value()) : null);
      else touch(stroke(plane, point, point, size(), value()));
      last = point;
    },
    move(point) {
      if (!before || tool === "fill") return;
      touch(stroke(app.planeOf(app.chosen, app.slice), last, point, size(), value()));
      last = point;
    },
    end,
  };

  function step(back) {
    const entry = app.chosen;
    const slice = entry?.history?.step(back, (one) => app.planeOf(entry, one, true));
    if (slice == null) return;
    app.turn(slice - app.slice);
    changed();
  }

  for (const button of buttons) button.addEventListener("click", () => take(button.dataset.tool));
  at("undo").addEventListener("click", () => step(true));
  at("redo").addEventListener("click", () => step(false));
  at("largest").addEventListener("click", () => {
    touch(keepLargest(begin(), app.model.classes.length));
    end();
  });
  at("revert").addEventListener("click", () => {
    Object.assign(app.chosen, { drawn: null, history: null });
    changed();
  });
  at("in").addEventListener("click", () => app.stage.by(1.5));
  at("out").addEventListener("click", () => app.stage.by(1 / 1.5));
  at("fit").addEventListener("click", () => app.stage.fit());
  at("tools").addEventListener("keydown", (event) => {
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
