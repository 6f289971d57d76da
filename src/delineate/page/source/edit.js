// Changes of a mask: strokes, fills, the largest parts; and the way back. A plane is {data: Uint8Array, width, height}.

import { cut } from "./draw.js";
import { components } from "./postprocess.js";

/** A stroke of a round brush from one point to another. `keep` is called with a box before it is changed. */
export function stroke({ data, width, height }, [x0, y0], [x1, y1], size, value, keep) {
  const radius = size / 2;
  const box = clipped([Math.min(x0, x1) - radius, Math.min(y0, y1) - radius, Math.max(x0, x1) + radius, Math.max(y0, y1) + radius], width, height);
  keep(box);
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy || 1;
  for (let y = box[1]; y < box[3]; y++) {
    for (let x = box[0]; x < box[2]; x++) {
      const along = Math.max(0, Math.min(1, ((x + 0.5 - x0) * dx + (y + 0.5 - y0) * dy) / length));
      const away = (x + 0.5 - x0 - along * dx) ** 2 + (y + 0.5 - y0 - along * dy) ** 2;
      const near = size <= 1 ? Math.floor(x1) === x && Math.floor(y1) === y : away <= radius * radius;
      if (near) data[y * width + x] = value;
    }
  }
}

/** What is connected with a pixel and of its class becomes of another one. */
export function flood({ data, width, height }, [x, y], value, keep) {
  const from = data[Math.floor(y) * width + Math.floor(x)];
  if (from === value) return;
  keep([0, 0, width, height]);
  const { labels } = components(data.map((one) => (one === from ? 1 : 0)), width, height, false);
  const label = labels[Math.floor(y) * width + Math.floor(x)];
  for (let pixel = 0; pixel < data.length; pixel++) if (labels[pixel] === label) data[pixel] = value;
}

/** Of each class, all parts but the largest go. */
export function keepLargest({ data, width, height }, classes, keep) {
  keep([0, 0, width, height]);
  for (let index = 1; index < classes; index++) {
    const { labels, sizes } = components(data.map((one) => (one === index ? 1 : 0)), width, height, true);
    const kept = sizes.indexOf(Math.max(...sizes.slice(1), 0), 1);
    for (let pixel = 0; pixel < data.length; pixel++) if (labels[pixel] && labels[pixel] !== kept) data[pixel] = 0;
  }
}

function clipped([left, top, right, bottom], width, height) {
  return [Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top)), Math.min(width, Math.ceil(right) + 1), Math.min(height, Math.ceil(bottom) + 1)];
}

const MOST_BYTES = 1e8;
const SIDE = 128; // of the tiles that changes are kept in
let moves = 0;

/**
 * Changes of a mask of several slices: {slice, parts}, each part a tile {box, rows} of it. Of a change that was made, `rows` are the
 * pixels from before it; of one taken back, from after it.
 */
export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  /** A change begins. */
  begin(slice, plane) {
    this.open = { slice, plane, tiles: new Map() };
  }

  /** Keep what is in a box, before it is changed. */
  keep([left, top, right, bottom]) {
    const { plane, tiles } = this.open;
    for (let y = top - (top % SIDE); y < bottom; y += SIDE) {
      for (let x = left - (left % SIDE); x < right; x += SIDE) {
        const box = [x, y, Math.min(x + SIDE, plane.width), Math.min(y + SIDE, plane.height)];
        if (!tiles.has(`${box}`)) tiles.set(`${box}`, { box, rows: cut(plane.data, plane.width, box) });
      }
    }
  }

  /** The change has ended. Returns it, or null where nothing changed. */
  end() {
    const { slice, plane, tiles } = this.open;
    const parts = [...tiles.values()].filter((part) => differs(plane, part));
    if (!parts.length) return null;
    this.undone = [];
    return push(this.done, { slice, parts });
  }

  /** Take a change back, or do it again; returns it, or null. `planeOf`: slice → plane. */
  step(back, planeOf) {
    const [from, to] = back ? [this.done, this.undone] : [this.undone, this.done];
    const change = from.pop();
    if (!change) return null;
    const { data, width } = planeOf(change.slice);
    for (const part of change.parts) {
      const [left, top, right, bottom] = part.box;
      const wide = right - left;
      const now = cut(data, width, part.box);
      for (let y = top; y < bottom; y++) data.set(part.rows.subarray((y - top) * wide, (y - top + 1) * wide), y * width + left);
      part.rows = now;
    }
    return push(to, change);
  }
}

function differs({ data, width }, { box: [left, top, right, bottom], rows }) {
  for (let y = top, at = 0; y < bottom; y++) for (let x = left; x < right; x++) if (rows[at++] !== data[y * width + x]) return true;
  return false;
}

function push(stack, change) {
  change.moved = moves++;
  stack.push(change);
  return change;
}

/** Of the changes of all images, those go that were made longest ago, where they are too many bytes. */
export function forget(histories) {
  const steps = histories.flatMap(({ done, undone }) => [...done, ...undone]).sort((a, b) => b.moved - a.moved);
  let bytes = 0;
  const size = ({ parts }) => parts.reduce((sum, { rows }) => sum + rows.length, 0);
  const kept = new Set(steps.filter((step, at) => (bytes += size(step)) <= MOST_BYTES || !at));
  for (const history of histories) for (const name of ["done", "undone"]) history[name] = history[name].filter((step) => kept.has(step));
}
