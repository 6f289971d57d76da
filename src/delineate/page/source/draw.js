// Masks over pictures.

/**
 * Fill and outlines of the classes that are shown, as RGBA.
 *
 * @param {Uint8Array} mask class indices
 * @param {?number[][]} colors RGB by class; null: not shown
 * @param {{fill: number, outline: boolean}} look fill: opacity, 0…1
 */
export function overlay(mask, width, height, colors, { fill, outline }) {
  const image = new ImageData(width, height);
  const edge = outline ? edges(mask, width, height, Math.max(1, Math.round(Math.min(width, height) / 250))) : null;
  for (let pixel = 0; pixel < mask.length; pixel++) {
    const color = colors[mask[pixel]];
    if (!color) continue;
    image.data.set(color, 4 * pixel);
    image.data[4 * pixel + 3] = edge?.[pixel] ? 255 : 255 * fill;
  }
  return image;
}

/** The pixels of each class that lie within `wide` pixels of another class, or of the border. */
function edges(mask, width, height, wide) {
  const found = new Uint8Array(mask.length);
  for (let turn = 1; turn <= wide; turn++) {
    for (let y = 0, pixel = 0; y < height; y++) {
      for (let x = 0; x < width; x++, pixel++) {
        if (!mask[pixel] || found[pixel]) continue;
        const ends = (inside, other) => (turn === 1 ? !inside || mask[other] !== mask[pixel] : inside && found[other] === turn - 1 && mask[other] === mask[pixel]);
        if (ends(x > 0, pixel - 1) || ends(x < width - 1, pixel + 1) || ends(y > 0, pixel - width) || ends(y < height - 1, pixel + width)) found[pixel] = turn;
      }
    }
  }
  return found;
}
