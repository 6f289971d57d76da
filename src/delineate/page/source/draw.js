// Masks over pictures.

const VEIL = [214, 39, 130];

/**
 * Fill and outlines of the classes that are shown, as RGBA.
 *
 * @param {{data: Uint8Array, width: number}} plane class indices
 * @param {?number[][]} colors RGB by class; null: not shown
 * @param {{fill: number, outline: number, doubts: ?Uint8Array}} look fill: opacity, 0…1; outline: pixels, 0 for none; doubts: shown in place of fills
 * @param {number[]} box what is wanted: left, top, right, bottom
 */
export function overlay({ data, width }, colors, { fill, outline, doubts }, box) {
  const image = new ImageData(box[2] - box[0], box[3] - box[1]);
  const pixels = new Uint32Array(image.data.buffer); // one store for each pixel, in place of four
  const word = (rgb, alpha) => (rgb ? new Uint32Array(new Uint8ClampedArray([...rgb, 255 * alpha]).buffer)[0] : 0);
  const [fills, rims] = [fill, 1].map((alpha) => Uint32Array.from(colors, (rgb) => word(rgb, alpha)));
  const veils = doubts && Uint32Array.from({ length: 256 }, (_, doubt) => word(VEIL, (0.9 * doubt) / 255));
  const part = cut(data, width, box);
  const unsure = doubts && cut(doubts, width, box);
  const steps = outline ? distances(part, image.width, image.height, outline) : null;
  for (let pixel = 0; pixel < part.length; pixel++) {
    const value = part[pixel];
    pixels[pixel] = (value && steps && steps[pixel] <= outline && rims[value]) || (unsure ? veils[unsure[pixel]] : fills[value]);
  }
  return image;
}

/** Rows of a box, one after the other. */
export function cut(data, width, [left, top, right, bottom]) {
  const wide = right - left;
  const rows = new data.constructor(wide * (bottom - top));
  for (let y = top; y < bottom; y++) rows.set(data.subarray(y * width + left, y * width + right), (y - top) * wide);
  return rows;
}

/** Pixels of an outline. */
export const edgeWidth = (width, height) => Math.max(1, Math.round(Math.min(width, height) / 250));

/** Steps from each pixel of a class to another class or the border, to the side, up and down; at most one more than `most`. */
function distances(mask, width, height, most) {
  const found = new Uint8Array(mask.length).fill(most + 1);
  for (const turn of [1, -1]) { // a sweep from the first pixel, and one from the last, see all
    for (let y = 0, pixel = turn > 0 ? 0 : mask.length - 1; y < height; y++) {
      for (let x = 0; x < width; x++, pixel += turn) {
        const value = mask[pixel];
        if (!value) continue;
        const beside = pixel - turn;
        const above = pixel - turn * width;
        let steps = x && mask[beside] === value ? found[beside] : 0;
        if (steps) steps = y && mask[above] === value ? Math.min(steps, found[above]) : 0;
        if (steps < found[pixel]) found[pixel] = steps + 1;
      }
    }
  }
  return found;
}

/** The box around two others; null: there is none. */
export const around = (one, other) => (one && other ? one.map((edge, at) => (at < 2 ? Math.min : Math.max)(edge, other[at])) : (one ?? other));
