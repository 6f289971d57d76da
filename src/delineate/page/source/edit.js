// Changes of a mask: strokes, fills, the largest parts; and the way back. A plane is {data: Uint8Array, width, height}.

import { components } from "./postprocess.js";

/** A stroke of a round brush from one point to another; returns the box that it touched. `only`: the class that is replaced, or null. */
export function stroke(plane, [x0, y0], [x1, y1], size, value, only = null) {
  const { data, width, height } = plane;
  const radius = size / 2;
  const box = clipped([Math.min(x0, x1) - radius, Math.min(y0, y1) - radius, Math.max(x0, x1) + radius, Math.max(y0, y1) + radius], width, height);
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy || 1;
  for (let y = box[1]; y < box[3]; y++) {
    for (let x = box[0]; x < box[2]; x++) {
      const along = Math.max(0, Math.min(1, ((x + 0.5 - x0) * dx + (y + 0.5 - y0) * dy) / length));
      const away = (x + 0.5 - x0 - along * dx) ** 2 + (y + 0.5 - y0 - along * dy) ** 2;
      const near = size <= 1 ? Math.floor(x1) === x && Math.floor(y1) === y : away <= radius * radius;
      if (near && (only === null || data[y * width + x] === only)) data[y * width + x] = value;
    }
  }
  return box;
}

/** What is connected with a pixel and of its class becomes of another one. */
export function flood({ data, width, height }, [x, y], value) {
  const from = data[Math.floor(y) * width + Math.floor(x)];
  if (from === value) return null;
  const { labels } = components(data.map((one) => (one === from ? 1 : 0)), width, height, false);
  const label = labels[Math.floor(y) * width + Math.floor(x)];
  for (let pixel = 0; pixel < data.length; pixel++) if (labels[pixel] === label) data[pixel] = value;
  return [0, 0, width, height];
}

/** Of each class, all parts but the largest go. */
export function keepLargest({ data, width, height }, classes) {
  for (let index = 1; index < classes; index++) {
    const { labels, sizes } = components(data.map((one) => (one === index ? 1 : 0)), width, height, true);
    const kept = sizes.indexOf(Math.max(...sizes.slice(1), 0), 1);
    for (let pixel = 0; pixel < data.length; pixel++) if (labels[pixel] && labels[pixel] !== kept) data[pixel] = 0;
  }
  return [0, 0, width, height];
}

function clipped([left, top, right, bottom], width, height) {
  return [Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top)), Math.min(width, Math.ceil(right) + 1), Math.min(height, Math.ceil(bottom) + 1)];
}

const MOST_STEPS = 200;

/** Changes of a mask of several slices, each kept as the bytes that were there. */
export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  /** Remember how a slice was before a change, and the change itself as the box that it touched. */
  add(slice, before, plane, box) {
    if (!box || box[2] <= box[0] || box[3] <= box[1]) return;
    const step = { slice, box, before: cut(before, plane.width, box), after: cut(plane.data, plane.width, box) };
    if (step.before.every((value, at) => value === step.after[at])) return;
    this.done.push(step);
    if (this.done.length > MOST_STEPS) this.done.shift();
    this.undone = [];
  }

  /** Take a change back, or do it again; returns its slice, or null. `planeOf`: slice → plane. */
  step(back, planeOf) {
    const step = (back ? this.done : this.undone).pop();
    if (!step) return null;
    const { data, width } = planeOf(step.slice);
    const rows = back ? step.before : step.after;
    const [left, top, right, bottom] = step.box;
    const wide = right - left;
    for (let y = top; y < bottom; y++) data.set(rows.subarray((y - top) * wide, (y - top + 1) * wide), y * width + left);
    (back ? this.undone : this.done).push(step);
    return step.slice;
  }
}

function cut(data, width, [left, top, right, bottom]) {
  const wide = right - left;
  const rows = new Uint8Array(wide * (bottom - top));
  for (let y = top; y < bottom; y++) rows.set(data.subarray(y * width + left, y * width + right), (y - top) * wide);
  return rows;
}
