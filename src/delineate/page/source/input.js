// A decoded picture → the model's input, as `delineate` gives pictures to exported files: gray as three equal channels, 8 bits
// scaled to 16 where the model takes 16. What a model was not trained on is refused.

import { PlainError } from "./bytes.js";

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
const BITS_OF = { uint8: "8 bits", uint16: "16 bits", float32: "floats" };

/** A remark where a picture is of another kind than those that the model was trained on. */
export function remarkOn({ channels, data }, { numbers, gray }) {
  if (data instanceof Uint8Array && numbers === "uint16") return "8 bits given to a model trained on 16: white stays white";
  if (gray && channels === 3) return "in color, given to a model trained on gray pictures: it is turned gray";
  return "";
}

/** @returns {{width: number, height: number, numbers: string, data}} data: height×width×3 numbers of the model's type */
export function modelInput(picture, { numbers, ownValues }) {
  const { width, height, channels, data } = picture;
  const given = Object.keys(ARRAYS).find((name) => data instanceof ARRAYS[name]);
  const widened = given === "uint8" && numbers === "uint16";
  if (given !== numbers && !widened && numbers !== "float32") {
    throw new PlainError(`has ${BITS_OF[given]} per channel, and the model was trained on pictures of ${BITS_OF[numbers]}`);
  }
  const factor = widened && !ownValues ? 257 : 1;
  const result = new ARRAYS[numbers](width * height * 3);
  if (channels === 3 && factor === 1) result.set(data);
  else for (let at = 0; at < result.length; at++) result[at] = data[channels === 3 ? at : Math.floor(at / 3)] * factor;
  return { width, height, numbers, data: result };
}
