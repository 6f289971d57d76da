// Probabilities → the most probable classes, and how unsure the model is: what a server sends ready-made.

import { postprocessed } from "./postprocess.js";

/** The class of each pixel whose output is the largest, post-processed as the model says. */
export function mostProbable({ probabilities, width, height }, { outputs, postprocessing }) {
  const size = width * height;
  const mask = new Uint8Array(size);
  const best = probabilities.slice(0, size);
  for (let output = 1; output < outputs; output++) {
    for (let pixel = 0; pixel < size; pixel++) {
      const value = probabilities[output * size + pixel];
      if (value <= best[pixel]) continue;
      best[pixel] = value;
      mask[pixel] = output;
    }
  }
  return postprocessed(mask, width, height, postprocessing);
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
