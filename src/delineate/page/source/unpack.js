// Bytes that a picture's file or the page itself carries packed.

import { PlainError, through } from "./bytes.js";

export const damaged = () => new PlainError("is damaged or ends too early");

/** @param {string} format "gzip" or "deflate" (zlib's, as PNG and TIFF have it) */
export async function unpacked(bytes, format) {
  try {
    return await through(bytes, new DecompressionStream(format));
  } catch {
    throw damaged();
  }
}

export const fromBase64 = (text) => Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
