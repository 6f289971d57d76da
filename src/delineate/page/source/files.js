// Picture files → decoded pictures, or why not, in words that go on after the file's name.

import { PlainError } from "./bytes.js";
import { PNG_SIGNATURE, decodePng, tooLarge } from "./png.js";
import { decodeTiff } from "./tiff.js";
import { damaged, latin1 } from "./unpack.js";

const READABLE = "PNG, JPEG, TIFF, BMP and WebP pictures";
const OTHERS = [
  ["a DICOM file", (text) => text.slice(128, 132) === "DICM"],
  ["a GIF, which may hold several pictures", (text) => text.startsWith("GIF8")],
  ["a PDF", (text) => text.startsWith("%PDF")],
  ["a zip archive: unpack it first, it", (text) => text.startsWith("PK\x03\x04")],
  ["a packed file (.gz): a volume, perhaps, and it", (text) => text.startsWith("\x1f\x8b")],
  ["a NIfTI volume", (text) => text.slice(344, 347) === "n+1"],
  ["an HEIC or AVIF picture", (text) => text.slice(4, 8) === "ftyp"],
];

/** @returns {Promise<{width, height, channels, data}>} */
export async function readPicture(file, maxPixels) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!bytes.length) throw new PlainError("is empty (zero bytes)");
  const start = latin1(bytes.subarray(0, 360));
  if (PNG_SIGNATURE.every((value, at) => bytes[at] === value)) return decodePng(bytes, maxPixels);
  if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(start.slice(0, 4))) return decodeTiff(bytes, maxPixels);
  if (start.startsWith("\xff\xd8\xff")) {
    return byBrowser(file, maxPixels, checkedJpeg(bytes));
  }
  if (start.startsWith("BM") || (start.startsWith("RIFF") && start.slice(8, 12) === "WEBP")) return byBrowser(file, maxPixels, 3);
  const other = OTHERS.find(([, is]) => is(start))?.[0];
  throw new PlainError(other ? `is ${other}; this page reads ${READABLE}` : `is no picture that this page reads; it reads ${READABLE}`);
}

/** Channels, 1 or 3. Browsers show the part of a JPEG that is there, and turn four inks into colors as they like. */
function checkedJpeg(bytes) {
  let channels = 3;
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff || marker === 1 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === 0xda || marker === 0xd9) break;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (![0xc0, 0xc1, 0xc2].includes(marker) || bytes[at + 4] !== 8) {
        throw new PlainError("is a JPEG of a rare kind, which browsers do not read: save it as PNG");
      }
      if (bytes[at + 9] === 4) throw new PlainError("is a JPEG for print (CMYK): save it as PNG in RGB");
      channels = bytes[at + 9] === 1 ? 1 : 3;
    }
    at += 2 + ((bytes[at + 2] << 8) | bytes[at + 3]);
  }
  for (let end = bytes.length - 1; end > at; end--) if (bytes[end] === 0xd9 && bytes[end - 1] === 0xff) return channels;
  throw damaged();
}

/** Decoded by the browser, without its color management, turned as EXIF says. */
async function byBrowser(file, maxPixels, channels) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" });
  } catch {
    throw new PlainError("is damaged, or no picture that this browser reads");
  }
  const { width, height } = bitmap;
  if (width * height > maxPixels) throw tooLarge(width, height, maxPixels);
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = canvas.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    if (rgba[from + 3] !== 255) throw new PlainError("has transparent pixels, whose colors browsers do not keep: save it as PNG");
    for (let channel = 0; channel < channels; channel++) data[to++] = rgba[from + channel];
  }
  return { width, height, channels, data };
}
