// Files → one zip archive, stored as they are: PNG files cannot be packed further. And back.

import { crc32, joined, utf8 } from "./bytes.js";

const UTF8_NAMES = 0x800;

/** @param {{name: string, bytes: Uint8Array}[]} files */
export function zipped(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, bytes } of files) {
    const label = utf8(name);
    const about = [0x0014, UTF8_NAMES, 0, 0, 0x0021]; // version, flags, stored, time, date (1980-01-01: the archive tells no time)
    const sizes = [crc32(bytes), bytes.length, bytes.length];
    const local = record(0x04034b50, about, sizes, [label.length, 0]);
    directory.push(record(0x02014b50, [0x0014, ...about], sizes, [label.length, 0, 0, 0, 0], [0, offset]), label);
    parts.push(local, label, bytes);
    offset += local.length + label.length + bytes.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [0, 0, files.length, files.length], [length, offset], [0]);
  return joined([...parts, ...directory, end]);
}

/** A mark and rows of numbers, of 2 and 4 bytes in turn. */
function record(mark, ...rows) {
  const bytes = rows.flatMap((row, at) => row.flatMap((value) => little(value, at % 2 ? 4 : 2)));
  return new Uint8Array([...little(mark, 4), ...bytes]);
}

const little = (value, count) => Array.from({ length: count }, (_, at) => Math.floor(value / 256 ** at) & 255);

/** Name → bytes of the files of an archive that stores them as they are. */
export function unzipped(buffer) {
  const view = new DataView(buffer);
  const found = {};
  for (let at = 0; at + 30 < buffer.byteLength && view.getUint32(at, true) === 0x04034b50; ) {
    const [size, label, extra] = [view.getUint32(at + 18, true), view.getUint16(at + 26, true), view.getUint16(at + 28, true)];
    const from = at + 30 + label + extra;
    found[new TextDecoder().decode(new Uint8Array(buffer, at + 30, label))] = new Uint8Array(buffer, from, size);
    at = from + size;
  }
  return found;
}
