// Masks → PNG files.

import { crc32, joined, packed, utf8 } from "./bytes.js";

const PNG_START = [137, 80, 78, 71, 13, 10, 26, 10];

/**
 * A mask as a PNG file, as `delineate predict` writes it: gray values, or with a palette the values themselves.
 *
 * @param {Uint8Array} mask class indices, row by row
 * @param {number[]} values of each class in the file
 * @param {?number[][]} palette RGB of each value
 * @param {string} labels what the values mean, kept as text
 */
export async function encodeMask(mask, width, height, values, palette, labels) {
  const rows = new Uint8Array((width + 1) * height);
  for (let row = 0, from = 0; row < height; row++) {
    for (let column = 0; column < width; column++) rows[row * (width + 1) + 1 + column] = values[mask[from++]];
  }
  const header = [...big(width), ...big(height), 8, palette ? 3 : 0, 0, 0, 0];
  const parts = [new Uint8Array(PNG_START), chunk("IHDR", new Uint8Array(header))];
  parts.push(chunk("iTXt", joined([utf8("labels"), new Uint8Array(5), utf8(labels)])));
  if (palette) parts.push(chunk("PLTE", new Uint8Array(palette.flat())));
  parts.push(chunk("IDAT", await packed(rows)), chunk("IEND", new Uint8Array()));
  return joined(parts);
}

function chunk(name, body) {
  const named = joined([utf8(name), body]);
  return joined([big(body.length), named, big(crc32(named))]);
}

const big = (value) => new Uint8Array([24, 16, 8, 0].map((shift) => value >>> shift));
