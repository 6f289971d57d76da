// Masks over pictures.

/**
 * Fill and outlines of the classes that are shown, as RGBA.
 *
 * @param {Uint8Array} mask class indices
 * @param {?number[][]} colors RGB by class; null: not shown
 * @param {{fill: number, outline: boolean}} look fill: opacity, 0…1
 * @param {number} wide of the outlines
 */
export function overlay(mask, width, height, colors, { fill, outline }, wide = edgeWidth(width, height)) {
  const image = new ImageData(width, height);
  const edge = outline ? edges(mask, width, height, wide) : null;
  for (let pixel = 0; pixel < mask.length; pixel++) {
    const color = colors[mask[pixel]];
    if (!color) continue;
    image.data.set(color, 4 * pixel);
    image.data[4 * pixel + 3] = edge?.[pixel] ? 255 : 255 * fill;
  }
  return image;
}

/** Pixels of an outline. */
export const edgeWidth = (width, height) => Math.max(1, Math.round(Math.min(width, height) / 250));

/** The pixels of each class that lie within `wide` pixels of another class, or of the border. */
function edges(mask, width, height, wide) {
  const found = new Uint8Array(mask.length);
  for (let turn = 1; turn <= wide; turn++) {
    for (let y = 0, pixel = 0; y < height; y++) {
      for (let x = 0; x < width; x++, pixel++) {
        if (!mask[pixel] || found[pixel]) continue;
        const ends = (inside, other) => (turn === 1 ? !inside || mask[other] !== mask[pixel] : inside && found[other] === turn - 1 && mask[other] === mask[pixel]);
        if (ends(x > 0, pixel - 1) || ends(x < width - 1, pixel + 1) || ends(y > 0, pixel - width) || ends(y < height - 1, pixel + width)) found[pixel] = turn;
      }
    }
  }
  return found;
}

/** How unsure the model is of each pixel, 0…255: the entropy of its probabilities, as `delineate predict --uncertainty` writes it. */
export function entropies(probabilities, { outputs, threshold }) {
  const size = probabilities.length / outputs;
  const apart = threshold !== null; // each output has a probability of its own
  const bits = (value) => -value * Math.log2(value + 1e-12);
  const sums = new Float32Array(size);
  for (let output = 0; output < outputs; output++) {
    for (let pixel = 0; pixel < size; pixel++) {
      const value = probabilities[output * size + pixel];
      sums[pixel] += apart ? bits(value) + bits(1 - value) : bits(value);
    }
  }
  const whole = apart ? outputs : Math.log2(outputs);
  return Uint8ClampedArray.from(sums, (sum) => (255 * sum) / whole);
}

/** The same as a veil over the picture. */
export function veil(doubts, width, height) {
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) image.data.set([214, 39, 130, 0.9 * doubts[pixel]], 4 * pixel);
  return image;
}
