// A decoded picture: {width, height, channels, data}, channels 1 or 3, data Uint8Array, Uint16Array or Float32Array, row by row.

/** A slice of what an entry shows. */
export function sliceOf({ width, height, held: { image } }, slice) {
  const size = width * height * image.channels;
  return { width, height, channels: image.channels, data: image.data.subarray(slice * size, (slice + 1) * size) };
}

/** RGBA of 8 bits for the screen; other numbers than bytes between their 0.5th and 99.5th percentile. */
export function shown({ width, height, channels, data }) {
  const rgba = new Uint8ClampedArray(width * height * 4);
  let low = 0;
  let scale = 1;
  if (!(data instanceof Uint8Array)) {
    const step = Math.max(1, Math.floor(data.length / 200000)); // enough of them for two percentiles
    const sample = data.filter((_, at) => at % step === 0).sort();
    low = sample[Math.floor(0.005 * (sample.length - 1))];
    scale = 255 / (sample[Math.ceil(0.995 * (sample.length - 1))] - low || 1);
  }
  for (let pixel = 0, from = 0, to = 0; pixel < width * height; pixel++, from += channels, to += 4) {
    for (let channel = 0; channel < 3; channel++) {
      rgba[to + channel] = (data[channels === 1 ? from : from + channel] - low) * scale;
    }
    rgba[to + 3] = 255;
  }
  return new ImageData(rgba, width, height);
}
