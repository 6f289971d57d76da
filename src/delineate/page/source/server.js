// The back end that is a server: `delineate serve`, at the page's own address.

import { PlainError } from "./bytes.js";
import { at } from "./dom.js";
import { WORDS } from "./words.js";
import { unzipped, zipped } from "./zip.js";

export class ServerBackend {
  constructor() {
    this.key = null; // in memory alone
    this.accepts = /(^[^.]+|\.(png|jpe?g|tiff?|bmp|webp|gif|jp2|avif|npy|pgm|ppm|nii|nii\.gz|mha|nrrd|dcm|ima|zip))$/i;
    this.extra = {}; // of the query, as the person has chosen
  }

  async start() {
    while ((await fetch("readyz")).status === 503) await new Promise((done) => setTimeout(done, 500));
  }

  /** Whether a file of a folder is one of the slices of a series. */
  series(file, model) {
    return model.volumes && /(^[^.]+|\.(dcm|ima)|\.\d+)$/i.test(file.name);
  }

  /** One request. Asks for a key where the server wants one, waits where it is full; throws what is wrong in the server's words. */
  async ask(address, options = {}) {
    for (;;) {
      const headers = this.key ? { authorization: `Bearer ${this.key}` } : {};
      const answer = await fetch(address, { ...options, headers });
      if (answer.ok) return answer;
      const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
      if (answer.status === 401) await this.askKey(this.key !== null);
      else if ([429, 503].includes(answer.status)) await new Promise((done) => setTimeout(done, 1000 * (problem.retry_after ?? 2)));
      else throw new PlainError(`cannot be segmented: ${problem.detail}`);
    }
  }

  /** Several requests at a time wait for one answer. */
  askKey(wrong) {
    this.asking ??= new Promise((done) => {
      const [dialog, input] = [at("key-dialog"), at("key")];
      at("key-fault").textContent = wrong ? WORDS.wrongKey : "";
      dialog.showModal();
      dialog.addEventListener(
        "close",
        () => {
          this.key = input.value.trim();
          input.value = "";
          this.asking = null;
          done();
        },
        { once: true },
      );
    });
    return this.asking;
  }

  async models() {
    return (await (await this.ask("v1/models")).json()).models;
  }

  /** What the page knows of a model. */
  async model(name) {
    const { masks, info, ...about } = await (await this.ask(`v1/models/${name}`)).json();
    const rgb = (color) => [1, 3, 5].map((from) => parseInt((color ?? "#000000").slice(from, from + 2), 16));
    const classes = info.classes.map((one) => ({ index: one.index, name: one.name, rgb: rgb(one.color) }));
    return { ...about, ...masks, classes, postprocessing: masks?.rules ?? null, threshold: masks?.threshold ?? null };
  }

  async card(name) {
    return (await this.ask(`v1/models/${name}/card`)).text();
  }

  async segment(entry, model) {
    const query = new URLSearchParams({ output: "view", uncertainty: true, ...this.extra });
    if (model.threshold !== null && (!model.volumes || model.outputs === 1)) query.set("probabilities", true);
    const answer = await this.ask(`v1/models/${model.name}:segment?${query}`, { method: "POST", body: await bodyOf(entry.files) });
    return viewOf(await answer.arrayBuffer(), model);
  }
}

/** What is sent of an image: its file, or its slices as one archive. */
export async function bodyOf(files) {
  if (files.length === 1) return files[0];
  const packed = await Promise.all(files.map(async (file, index) => ({ name: `${index}.dcm`, bytes: new Uint8Array(await file.arrayBuffer()) })));
  return new Blob([zipped(packed)]);
}

const NUMBERS = { u1: Uint8Array, f4: Float32Array };

/** A `.npy` file → {shape, data}. */
function arrayOf(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
  const head = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  const [, kind] = /'descr': '.(\w\d)'/.exec(head);
  const shape = /'shape': \(([^)]*)\)/.exec(head)[1].split(",").filter((one) => one.trim()).map(Number);
  const from = bytes.byteOffset + 10 + length;
  return { shape, data: new NUMBERS[kind](bytes.buffer.slice(from, bytes.byteOffset + bytes.length)) };
}

/** What the server shows of an image → what the page holds of it. */
function viewOf(buffer, model) {
  const files = unzipped(buffer);
  const { view, notes, images } = JSON.parse(new TextDecoder().decode(files["result.json"]));
  const read = (name) => (files[`${name}.npy`] ? arrayOf(files[`${name}.npy`]) : null);
  const [image, mask] = [read("image"), read("mask")];
  const [depth, height, width] = mask.shape;
  const [{ doubt, drift, remark, seen }] = images;
  const facts = { seen, confidence: doubt?.confidence, expected_dice: doubt?.expected_dice, expected_error: doubt?.expected_error, outside: drift?.outside ? drift.reason : null };
  const volume = view.slice_spacing !== null || depth > 1 || model.volumes;
  const spacing = view.spacing && (volume ? [...view.spacing, view.slice_spacing] : view.spacing);
  const held = { image: { channels: image.shape.length > 3 ? 3 : 1, data: image.data }, mask: mask.data };
  for (const name of ["probabilities", "uncertainty"]) held[name] = read(name)?.data ?? null;
  return { width, height, depth, volume, spacing, remark: [remark, ...notes].filter(Boolean).join("; "), facts, ...held };
}
