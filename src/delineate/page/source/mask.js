// Probabilities → class indices, post-processed as the model says; counts of them.

import { postprocessed } from "./postprocess.js";

/**
 * @param {Float32Array|Uint8Array} probabilities outputs × pixels, each output of its own
 * @returns {Uint8Array} a class index for each pixel
 */
export function maskOf({ probabilities, width, height }, model, threshold) {
  const size = probabilities.length / model.outputs;
  const mask = new Uint8Array(size);
  // Probabilities are single precision, and so is the model's own comparison; those of volumes have 8 bits.
  const limit = probabilities instanceof Float32Array ? Math.fround(threshold) : 255 * threshold;
  for (const [output, index] of model.painted) {
    for (let pixel = 0; pixel < size; pixel++) if (probabilities[output * size + pixel] >= limit) mask[pixel] = index;
  }
  return postprocessed(mask, width, height, model.postprocessing);
}

/** Count the pixels of class a in one mask and b in another, at counts[a * classes + b]. */
export function count(counts, one, other, classes) {
  for (let pixel = 0; pixel < one.length; pixel++) counts[one[pixel] * classes + other[pixel]]++;
}

/** The same after a change of the one mask, in a box that had the pixels `rows`. */
export function recount(counts, { data, width }, { box: [left, top, right, bottom], rows }, other, classes) {
  for (let y = top, at = 0; y < bottom; y++) {
    for (let pixel = y * width + left; pixel < y * width + right; pixel++, at++) {
      if (rows[at] === data[pixel]) continue;
      counts[rows[at] * classes + other[pixel]]--;
      counts[data[pixel] * classes + other[pixel]]++;
    }
  }
}

/** Pixels of a class in the one mask and in the other, and their Dice: null where neither has it. */
export function agreement(counts, index, classes) {
  let [one, other] = [0, 0];
  for (let at = 0; at < classes; at++) {
    one += counts[index * classes + at];
    other += counts[at * classes + index];
  }
  return { pixels: one, dice: one + other ? (2 * counts[index * classes + index]) / (one + other) : null };
}
