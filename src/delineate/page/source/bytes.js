// Bytes: packed by the browser's own streams, checked, put together.

/** A fault in words for people; any other error is one of the page. */
export class PlainError extends Error {}

/** Bytes through one of the browser's streams. Throws where the stream finds them damaged. */
export async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

export const packed = (bytes) => through(bytes, new CompressionStream("deflate"));

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
