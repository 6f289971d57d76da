// The back end that runs in the browser. Another one has the same two methods:
//
//   start()                  resolves when it is ready
//   segment(entry, model)    → {width, height, depth, volume, image: {channels, data}, probabilities: Float32Array of outputs × pixels
//                            or null, mask: class indices or null, spacing: mm along each axis or null, remark, facts: null where
//                            nothing was predicted, uncertainty}
//   doubts(held)             → the uncertainty, where segment() leaves it out
//   write(entry, mask)       → {suffix, bytes}, or null where the page writes a PNG; it may be missing
//   accepts, kinds           names of images, as a regular expression and for a window of files

import { PlainError } from "./bytes.js";
import { readPicture } from "./files.js";
import { modelInput, remarkOn } from "./input.js";
import { entropies, mostProbable } from "./probable.js";
import { fromBase64, unpacked } from "./unpack.js";

export class WasmBackend {
  /** @param {object} model the page's facts of the model */
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.asked = 0;
    this.turn = Promise.resolve();
    this.accepts = /\.(png|jpe?g|tiff?|bmp|webp)$/i;
    this.kinds = ".png,.jpg,.jpeg,.tif,.tiff,.bmp,.webp,image/png,image/jpeg,image/tiff,image/bmp,image/webp";
  }

  async start() {
    if (!globalThis.DecompressionStream || !globalThis.OffscreenCanvas) {
      throw new PlainError("it is too old. Chrome 80, Firefox 113 and Safari 16.4 or newer ones can");
    }
    const [program, wasm, model] = await Promise.all(["worker", "wasm", "model"].map(embedded));
    const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
    this.worker = new Worker(address);
    this.worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.error === undefined) resolve(data);
      else reject(new Error(data.error));
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "its worker does not run"));
      this.waiting.clear();
    };
    await this.ask({ wasm: wasm.buffer, model }, [wasm.buffer, model.buffer]);
    URL.revokeObjectURL(address);
  }

  /** One picture after the other. */
  segment({ file }) {
    const answer = this.turn.then(async () => {
      const picture = await readPicture(file, this.model.maxPixels);
      const { width, height, channels, data } = picture;
      const { probabilities } = await this.run(picture);
      const mask = this.model.threshold === null ? mostProbable({ probabilities, width, height }, this.model) : null;
      return { width, height, depth: 1, volume: false, image: { channels, data }, probabilities, mask, spacing: null, remark: remarkOn(picture, this.model), facts: {} };
    });
    this.turn = answer.catch(() => {});
    return answer;
  }

  /** What a server sends with its masks. */
  doubts({ probabilities }) {
    return entropies(probabilities, this.model);
  }

  async run(picture) {
    const input = modelInput(picture, this.model);
    if (!this.worker) await this.start();
    try {
      const { probabilities } = await this.ask({ input }, [input.data.buffer]);
      return { width: input.width, height: input.height, probabilities };
    } catch (error) {
      this.worker.terminate(); // what ran out of memory does not run again: the next picture gets a new worker
      this.worker = null;
      const memory = /alloc|memory|out of bounds|abort/i.test(error.message);
      throw new PlainError(memory ? `(${input.width}×${input.height} pixels) needs more memory than a browser gives` : `cannot be segmented: ${error.message}`);
    }
  }

  ask(what, transfer) {
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...what }, transfer);
    });
  }
}

/** What the page carries in a script element that is none. */
export const embedded = (name) => unpacked(fromBase64(document.getElementById(`data-${name}`).textContent.trim()), "gzip");
