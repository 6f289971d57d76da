// Probabilities → class indices, post-processed as the model says; areas of them.

import { postprocessed } from "./postprocess.js";

/**
 * @param {Float32Array} probabilities outputs × pixels
 * @param {?number} threshold null: the most probable class wins
 * @returns {Uint8Array} a class index for each pixel
 */
export function maskOf({ probabilities, width, height }, model, threshold) {
  const size = width * height;
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
    const limit = Math.fround(threshold); // probabilities are single precision, and so is the model's own comparison
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
