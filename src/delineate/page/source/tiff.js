// TIFF files → pixels: 8 and 16 bits and floats, gray, RGB and palettes, in strips or tiles. All else is refused in words.

import { PlainError } from "./bytes.js";
import { turned } from "./orientation.js";
import { firstChannels, tooLarge } from "./png.js";
import { damaged, latin1, unpacked } from "./unpack.js";

const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8 };
const NAMES = { 6: "JPEG", 7: "JPEG", 50000: "Zstandard" };
const CURE = "save it as an 8- or 16-bit gray or RGB picture";

export async function decodeTiff(bytes, maxPixels) {
  let tags;
  try {
    tags = firstDirectory(bytes);
  } catch (error) {
    throw error instanceof PlainError ? error : damaged();
  }
  const one = (tag, missing) => tags.all(tag)[0] ?? missing;
  const [width, height, bits, compression] = [one(256), one(257), one(258, 1), one(259, 1)];
  const [kind, samples, format] = [one(262, 1), one(277, 1), one(339, 1)];
  if (!width || !height) throw new PlainError("is damaged: it states no size");
  if (width * height > maxPixels) throw tooLarge(width, height, maxPixels);
  checkTiff({ bits: tags.all(258), kind, samples, format, extra: tags.all(338), predictor: one(317, 1), compression });
  const planes = one(284, 1) === 2 ? samples : 1;
  const tiled = tags.all(324).length > 0;
  const [columns, rows] = tiled ? [one(322), one(323)] : [width, Math.min(one(278, height), height)];
  const [offsets, counts] = tiled ? [tags.all(324), tags.all(325)] : [tags.all(273), tags.all(279)];
  const Numbers = format === 3 ? Float32Array : bits === 16 ? Uint16Array : Uint8Array;
  const data = new Numbers(width * height * samples);
  const [across, down] = [Math.ceil(width / columns), Math.ceil(height / rows)];
  if (offsets.length < across * down * planes) throw damaged();
  const inside = samples / planes; // numbers of a pixel in one segment
  for (let segment = 0; segment < across * down * planes; segment++) {
    const [plane, place] = [Math.floor(segment / (across * down)), segment % (across * down)];
    const [left, top] = [(place % across) * columns, Math.floor(place / across) * rows];
    const high = tiled ? rows : Math.min(rows, height - top);
    const length = (columns * high * inside * bits) / 8;
    const stored = bytes.subarray(offsets[segment], offsets[segment] + (compression === 1 ? length : counts[segment]));
    const raw = await expanded(stored, compression, length);
    if (raw.length < length) throw damaged();
    const numbers = numbersIn(raw, Numbers, tags.little, columns * high * inside);
    if (one(317, 1) === 2) undoDifferences(numbers, columns * inside, inside);
    for (let row = 0; row < Math.min(high, height - top); row++) {
      for (let column = 0; column < Math.min(columns, width - left); column++) {
        const to = ((top + row) * width + left + column) * samples + plane;
        for (let channel = 0; channel < inside; channel++) data[to + channel] = numbers[(row * columns + column) * inside + channel];
      }
    }
  }
  return turned(meaning({ width, height, samples, data, kind, colors: tags.all(320), most: 2 ** bits - 1 }), one(274, 1));
}

function checkTiff({ bits, kind, samples, format, extra, predictor, compression }) {
  if (![1, 5, 8, 32773, 32946].includes(compression)) {
    const name = NAMES[compression] ?? `method ${compression}`;
    throw new PlainError(`is a TIFF packed with ${name}, which this page does not read: save it with LZW or without compression`);
  }
  const depth = new Set(bits);
  const whole = format === 1 && (bits[0] === 8 || bits[0] === 16);
  if (depth.size !== 1 || !(whole || (format === 3 && bits[0] === 32 && predictor === 1))) {
    throw new PlainError(`is a TIFF of ${bits.join(", ") || 1} bits${format === 2 ? " with signs" : ""}, which this page does not read: ${CURE}`);
  }
  const gray = kind < 2 && samples === 1;
  const color = kind === 2 && (samples === 3 || (samples === 4 && !extra.includes(1)));
  if (!gray && !color && !(kind === 3 && samples === 1 && whole) || (kind === 0 && !whole) || predictor > 2) {
    throw new PlainError(`is a TIFF of ${samples} channels of a kind that this page does not read: ${CURE}`);
  }
}

/** The tags of the first picture. Throws for several pictures. */
function firstDirectory(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getUint16(0) === 0x4949;
  if (view.getUint16(2, little) === 43) throw new PlainError(`is a BigTIFF, which this page does not read: ${CURE}`);
  const entries = (at) => view.getUint16(at, little);
  const first = view.getUint32(4, little);
  const found = new Map();
  for (let at = first + 2; at < first + 2 + 12 * entries(first); at += 12) {
    const [tag, kind, count] = [view.getUint16(at, little), view.getUint16(at + 2, little), view.getUint32(at + 4, little)];
    found.set(tag, { kind, count, place: count * (SIZES[kind] ?? 1) > 4 ? view.getUint32(at + 8, little) : at + 8 });
  }
  const all = (tag) => {
    const { kind, count, place } = found.get(tag) ?? { count: 0 };
    const read = { 1: "getUint8", 3: "getUint16", 4: "getUint32" }[kind];
    return read ? Array.from({ length: count }, (_, at) => view[read](place + at * SIZES[kind], little)) : [];
  };
  const about = found.get(270);
  const words = about ? latin1(bytes.subarray(about.place, about.place + Math.min(about.count, 4000))) : "";
  let pages = Number(/^ImageJ=[^]*?\nimages=(\d+)/.exec(words)?.[1] ?? 1);
  for (let next = first, seen = 0; (next = view.getUint32(next + 2 + 12 * entries(next), little)) && seen < 10000; seen++) {
    let small = false; // a small copy of another page is no page
    for (let at = next + 2; at < next + 2 + 12 * entries(next); at += 12) {
      if (view.getUint16(at, little) === 254) small = (view.getUint32(at + 8, little) & 1) === 1;
    }
    if (!small) pages++;
  }
  if (pages > 1) throw new PlainError(`is a stack of ${pages} pictures; save each as a file`);
  return { little, all };
}

async function expanded(stored, compression, length) {
  if (compression === 1) return stored;
  if (compression === 5) return lzw(stored, length);
  if (compression === 32773) return packBits(stored, length);
  return unpacked(stored, "deflate");
}

function packBits(stored, length) {
  const result = new Uint8Array(length);
  for (let at = 0, to = 0; to < length; ) {
    if (at >= stored.length) throw damaged();
    const code = stored[at++];
    const count = code < 128 ? code + 1 : code > 128 ? 257 - code : 0;
    if (code < 128) result.set(stored.subarray(at, at + Math.min(count, length - to)), to);
    else result.fill(stored[at], to, to + count);
    at += code < 128 ? count : code > 128 ? 1 : 0;
    to += count;
  }
  return result;
}

/** TIFF's LZW: bits from high to low, codes that grow one early. */
function lzw(stored, length) {
  const result = new Uint8Array(length);
  const starts = new Int32Array(4097); // where in the result each code's bytes are
  const lengths = new Int32Array(4097);
  let [to, next, size, held, bits, last] = [0, 258, 9, 0, 0, -1];
  for (let at = 0; to < length; ) {
    while (bits < size && at < stored.length) {
      held = ((held << 8) | stored[at++]) & 0xffffff;
      bits += 8;
    }
    if (bits < size) throw damaged();
    bits -= size;
    const code = (held >> bits) & ((1 << size) - 1);
    if (code === 257) break;
    if (code === 256) {
      [next, size, last] = [258, 9, -1];
      continue;
    }
    const start = to;
    if (code < 256) result[to++] = code;
    else if (code < next || (code === next && last >= 0)) {
      const [from, count] = code < next ? [starts[code], lengths[code]] : [last, start - last + 1];
      for (let each = 0; each < count && to < length; each++) result[to++] = result[from + each];
    } else throw new PlainError("is damaged");
    if (last >= 0 && next < 4096) {
      starts[next] = last;
      lengths[next++] = start - last + 1;
    }
    last = start;
    size = next >= 2047 ? 12 : next >= 1023 ? 11 : next >= 511 ? 10 : 9;
  }
  return to < length ? result.subarray(0, to) : result;
}

function numbersIn(raw, Numbers, little, count) {
  if (Numbers === Uint8Array) return raw.slice(0, count);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const size = Numbers.BYTES_PER_ELEMENT;
  const read = size === 2 ? "getUint16" : "getFloat32";
  return Numbers.from({ length: count }, (_, at) => view[read](at * size, little));
}

function undoDifferences(numbers, row, distance) {
  for (let at = 0; at < numbers.length; at++) if (at % row >= distance) numbers[at] += numbers[at - distance];
}

function meaning({ width, height, samples, data, kind, colors, most }) {
  if (data instanceof Float32Array && !data.every(Number.isFinite)) {
    throw new PlainError("has pixels that are not numbers (NaN or infinite); replace them");
  }
  if (kind === 3) {
    const shift = colors.some((value) => value > 255) ? 8 : 0;
    const result = new Uint8Array(width * height * 3);
    for (let at = 0; at < data.length; at++) {
      for (let channel = 0; channel < 3; channel++) result[3 * at + channel] = colors[channel * (most + 1) + data[at]] >> shift;
    }
    return { width, height, channels: 3, data: result };
  }
  if (kind === 0) for (let at = 0; at < data.length; at++) data[at] = most - data[at];
  const channels = samples < 3 ? 1 : 3;
  return { width, height, channels, data: firstChannels(data, samples, channels) };
}
