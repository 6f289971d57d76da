// What only the page of a server says.

import { counted } from "./words.js";

export const TOLD = {
  wrongKey: "The server does not know this key.",
  sending: "Sending …",
  kept: "Kept for training. Thank you.",
  score: (name, value) => `Validation: ${name} ${value}`,
  noScore: "No validation scores are known of this model.",
  samples: (number) => `Try ${counted(number, "sample image")}`,
  none: "No examples yet.",
  examples: (number) => `${counted(number, "example")}.`,
  add: "Use this drawing as an example",
  remove: "No example any more",
  empty: "Draw on the image first.",
  ordered: "Ordered by doubt: the ones to look at come first. Mend one and make it an example, then segment again.",
  trust: (title, name, value) => `How far to trust it: ${name} ${value} on validation episodes (${title}). Your images may be of another kind, and your drawings are few: look at every mask.`,
  unknown: "How far to trust it is not known: the model file has no scores of validation episodes. Look at every mask.",
  structure: "structure",
  noMask: (name) => `${name}: no image here has that name.`,
  size: (name) => `${name} has another size than its image.`,
};
