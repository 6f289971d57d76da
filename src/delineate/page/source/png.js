// PNG files → pixels: all kinds and depths, exactly as they are stored. Browsers give 8 bits, with colors changed by profiles.

import { PlainError, crc32, joined } from "./bytes.js";
import { exifOrientation, turned } from "./orientation.js";
import { damaged, latin1, unpacked } from "./unpack.js";

export const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/** Turned as its EXIF block says; alpha left out, palettes as colors, gray of fewer than 8 bits stretched to 0…255. */
export async function decodePng(bytes, maxPixels) {
  const { header, palette, exif, data } = pngParts(bytes);
  const { width, height, bits, kind } = header;
  if (width * height > maxPixels) throw tooLarge(width, height, maxPixels);
  const raw = await unpacked(data, "deflate");
  const stored = CHANNELS[kind];
  const samples = new (bits === 16 ? Uint16Array : Uint8Array)(width * height * stored);
  let at = 0;
  for (const [x, y, right, down] of header.interlaced ? ADAM7 : [[0, 0, 1, 1]]) {
    const wide = Math.ceil((width - x) / right);
    const high = Math.ceil((height - y) / down);
    if (wide < 1 || high < 1) continue;
    const row = Math.ceil((wide * stored * bits) / 8);
    const part = raw.subarray(at, (at += (row + 1) * high));
    if (part.length < (row + 1) * high) throw damaged();
    unfilter(part, row, high, Math.max(1, (stored * bits) >> 3));
    spread(part, row, wide, high, { samples, bits, stored, place: (i, j) => (y + j * down) * width + x + i * right });
  }
  return turned(meant({ width, height, samples, bits, kind, stored, palette }), exifOrientation(exif));
}

export function tooLarge(width, height, maxPixels) {
  return new PlainError(`has ${width}×${height} pixels; this page takes up to ${Math.round(maxPixels / 1e6)} megapixels`);
}

function pngParts(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = { palette: null, exif: new Uint8Array() };
  const data = [];
  for (let at = 8; ; ) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + length > bytes.length) throw damaged();
    const name = latin1(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) throw new PlainError("is damaged");
    if (name === "IHDR") {
      const [bits, kind, , , interlaced] = body.subarray(8);
      if (!(kind in CHANNELS)) throw new PlainError("is a PNG of an unknown kind");
      found.header = { width: view.getUint32(at + 8), height: view.getUint32(at + 12), bits, kind, interlaced };
    }
    if (name === "PLTE") found.palette = body;
    if (name === "eXIf") found.exif = body;
    if (name === "acTL" && view.getUint32(at + 8) > 1) throw new PlainError("is an animation; save each picture as a file");
    if (name === "IDAT") data.push(body);
    if (name === "IEND") return { ...found, data: joined(data) };
    at += 12 + length;
  }
}

/** Undo the filter of each row, in place; `distance`: bytes to the pixel on the left. */
function unfilter(part, row, high, distance) {
  for (let line = 0; line < high; line++) {
    const start = line * (row + 1) + 1;
    const kind = part[start - 1];
    for (let at = 0; at < row; at++) {
      const left = at < distance ? 0 : part[start + at - distance];
      const above = line ? part[start + at - row - 1] : 0;
      const corner = line && at >= distance ? part[start + at - row - 1 - distance] : 0;
      if (kind === 1) part[start + at] += left;
      else if (kind === 2) part[start + at] += above;
      else if (kind === 3) part[start + at] += (left + above) >> 1;
      else if (kind === 4) part[start + at] += nearest(left, above, corner);
      else if (kind) throw new PlainError("is damaged");
    }
  }
}

/** Paeth's predictor. */
function nearest(left, above, corner) {
  const guess = left + above - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

/** Rows of bytes → their places in all samples. */
function spread(part, row, wide, high, { samples, bits, stored, place }) {
  const most = (1 << bits) - 1;
  for (let line = 0; line < high; line++) {
    const start = line * (row + 1) + 1;
    for (let column = 0; column < wide; column++) {
      const to = place(column, line) * stored;
      for (let channel = 0; channel < stored; channel++) {
        const from = column * stored + channel;
        if (bits === 8) samples[to + channel] = part[start + from];
        else if (bits === 16) samples[to + channel] = (part[start + 2 * from] << 8) | part[start + 2 * from + 1];
        else samples[to + channel] = (part[start + ((from * bits) >> 3)] >> (8 - bits - ((from * bits) & 7))) & most;
      }
    }
  }
}

/** Samples → gray or RGB. */
function meant({ width, height, samples, bits, kind, stored, palette }) {
  if (kind === 3) {
    if (!palette) throw new PlainError("is damaged: its palette is missing");
    const colors = new Uint8Array(768);
    colors.set(palette);
    const data = new Uint8Array(width * height * 3);
    for (let at = 0; at < samples.length; at++) data.set(colors.subarray(3 * samples[at], 3 * samples[at] + 3), 3 * at);
    return { width, height, channels: 3, data };
  }
  if (bits < 8) for (let at = 0; at < samples.length; at++) samples[at] = (samples[at] * 255) / ((1 << bits) - 1);
  const channels = stored < 3 ? 1 : 3;
  return { width, height, channels, data: firstChannels(samples, stored, channels) };
}

/** The first of each pixel's numbers. */
export function firstChannels(samples, stored, channels) {
  if (stored === channels) return samples;
  const data = new samples.constructor((samples.length / stored) * channels);
  for (let at = 0; at < data.length; at++) data[at] = samples[Math.floor(at / channels) * stored + (at % channels)];
  return data;
}
