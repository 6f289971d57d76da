// Bytes: packed and unpacked by the browser's own streams, checked, read as text.

/** A fault in words for people; any other error is one of the page. */
export class PlainError extends Error {}

/** Bytes through one of the browser's streams. Throws where the stream finds them damaged. */
async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

/** @param {string} format "gzip" or "deflate" (zlib's, as PNG and TIFF have it) */
export async function unpacked(bytes, format) {
  try {
    return await through(bytes, new DecompressionStream(format));
  } catch {
    throw new PlainError("is damaged or ends too early");
  }
}

export const packed = (bytes) => through(bytes, new CompressionStream("deflate"));

export function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  return bytes;
}

const CRC = new Uint32Array(256).map((_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** The checksum of PNG's chunks and of zip's files. */
export function crc32(bytes) {
  let sum = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) sum = CRC[(sum ^ bytes[at]) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

export const utf8 = (text) => new TextEncoder().encode(text);

export const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

/** Parts one after the other: arrays of bytes. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
