// Pictures that are stored turned or mirrored, as cameras do.

/** As it is stored → as it is to be seen, by EXIF's orientation 1…8. */
export function turned(picture, orientation) {
  if (orientation < 2 || orientation > 8) return picture;
  const { width, height, channels, data } = picture;
  const swapped = orientation >= 5;
  const [wide, high] = swapped ? [height, width] : [width, height];
  const fromRight = [2, 3, 6, 7].includes(orientation);
  const fromBelow = [3, 4, 7, 8].includes(orientation);
  const result = new data.constructor(data.length);
  let to = 0;
  for (let row = 0; row < high; row++) {
    for (let column = 0; column < wide; column++) {
      const y = fromBelow ? high - 1 - row : row;
      const x = fromRight ? wide - 1 - column : column;
      let from = (swapped ? x * width + y : y * width + x) * channels;
      for (let channel = 0; channel < channels; channel++) result[to++] = data[from++];
    }
  }
  return { width: wide, height: high, channels, data: result };
}

/** The orientation that an EXIF block states; 1 (upright) where it states none. */
export function exifOrientation(exif) {
  if (exif.length > 6 && exif[0] === 69 && exif[4] === 0) exif = exif.subarray(6); // "Exif\0\0", as JPEG has it
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  try {
    const little = view.getUint16(0) === 0x4949;
    if (!little && view.getUint16(0) !== 0x4d4d) return 1;
    const offset = view.getUint32(4, little);
    const entries = view.getUint16(offset, little);
    for (let at = offset + 2; at < offset + 2 + 12 * entries; at += 12) {
      if (view.getUint16(at, little) === 274 && view.getUint16(at + 2, little) === 3) return view.getUint16(at + 8, little);
    }
  } catch {
    // a damaged block states nothing
  }
  return 1;
}
