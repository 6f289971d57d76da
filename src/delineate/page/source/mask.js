// Probabilities → class indices, post-processed as the model says; areas of them.

import { postprocessed } from "./postprocess.js";

/**
 * @param {Float32Array|Uint8Array} probabilities outputs × pixels
 * @param {?number} threshold null: the most probable class wins
 * @returns {Uint8Array} a class index for each pixel
 */
export function maskOf({ probabilities, width, height }, model, threshold) {
  const size = probabilities.length / model.outputs;
  const mask = new Uint8Array(size);
  if (threshold === null) {
    for (let pixel = 0; pixel < size; pixel++) {
      let best = probabilities[pixel];
      for (let output = 1; output < model.outputs; output++) {
        const value = probabilities[output * size + pixel];
        if (value > best) {
          best = value;
          mask[pixel] = output;
        }
      }
    }
  } else {
    // Probabilities are single precision, and so is the model's own comparison; those of volumes have 8 bits.
    const limit = probabilities instanceof Float32Array ? Math.fround(threshold) : 255 * threshold;
    for (const [output, index] of model.painted) {
      for (let pixel = 0; pixel < size; pixel++) if (probabilities[output * size + pixel] >= limit) mask[pixel] = index;
    }
  }
  return postprocessed(mask, width, height, model.postprocessing);
}

/** Pixels of each class. */
export function areasOf(mask, classes) {
  const counts = new Array(classes).fill(0);
  for (let pixel = 0; pixel < mask.length; pixel++) counts[mask[pixel]]++;
  return counts;
}

/** Agreement of two masks in a class; null where neither has it. */
export function diceOf(one, other, index) {
  let [both, sum] = [0, 0];
  for (let pixel = 0; pixel < one.length; pixel++) {
    const [a, b] = [one[pixel] === index, other[pixel] === index];
    both += a && b;
    sum += a + b;
  }
  return sum ? (2 * both) / sum : null;
}
