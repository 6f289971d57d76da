// The back end that is a server: `delineate serve`, at the page's own address.

import { PlainError, joined, utf8 } from "./bytes.js";
import { at, say } from "./dom.js";
import { TOLD } from "./server-words.js";
import { unzipped, zipped } from "./zip.js";

export class ServerBackend {
  constructor() {
    this.key = null; // in memory alone
    this.accepts = /(^[^.]+|\.(png|jpe?g|tiff?|bmp|webp|gif|jp2|avif|npy|pgm|ppm|nii|nii\.gz|mha|nrrd|dcm|ima|zip))$/i;
    this.extra = {}; // of the query, as the person has chosen
    this.examples = null; // those that images are segmented by
  }

  /** How images are segmented now: answers to another way are thrown away. */
  get way() {
    return `${this.examples} ${this.extra.tta}`;
  }

  async start() {
    while ((await fetch("readyz")).status === 503) await new Promise((done) => setTimeout(done, 500));
  }

  /** The series that a DICOM file is a slice of: its UID, "" where that cannot be seen; undefined for other files. */
  async series(file, model) {
    if (!model.volumes) return undefined;
    const head = new TextDecoder("latin1").decode(await file.slice(0, 65536).arrayBuffer());
    if (head.slice(128, 132) !== "DICM" && !/\.(dcm|ima)$/i.test(file.name)) return undefined;
    return /\x20\0\x0e\0[^]{4}([\d.]+)/.exec(head)?.[1] ?? "";
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
      else throw new PlainError(problem.detail.replace(/^image\.\w+ /, "")); // the server does not know its name
    }
  }

  post(address, body) {
    return this.ask(address, { method: "POST", body });
  }

  /** Several requests at a time wait for one answer. */
  askKey(wrong) {
    this.asking ??= new Promise((done) => {
      const [dialog, input] = [at("key-dialog"), at("key")];
      say("key-fault", wrong ? TOLD.wrongKey : "");
      dialog.showModal();
      dialog.onclose = () => {
        this.key = input.value.trim();
        input.value = "";
        this.asking = null;
        done();
      };
    });
    return this.asking;
  }

  /** {models, collects, samples} */
  async about() {
    return (await this.ask("v1/models")).json();
  }

  /** What the page knows of a model. */
  async model(name) {
    const { masks, info, ...about } = await (await this.ask(`v1/models/${name}`)).json();
    const rgb = (color) => [1, 3, 5].map((from) => parseInt((color ?? "#000000").slice(from, from + 2), 16));
    const classes = info.classes.map((one) => ({ index: one.index, name: one.name, rgb: rgb(one.color) }));
    if (about.kind !== "fewshot") return { ...about, ...masks, classes, postprocessing: masks.rules };
    const shown = [{ index: 0, name: "background", rgb: [0, 0, 0] }, { index: 1, name: TOLD.structure, rgb: [230, 159, 0] }];
    return { ...about, classes: shown, outputs: 1, threshold: info.output.threshold, painted: [[0, 1]], postprocessing: [], values: [0, 255], palette: null, labels: "0=background, 255=structure" };
  }

  async card(name) {
    return (await this.ask(`v1/models/${name}/card`)).text();
  }

  async sample(number) {
    const answer = await this.ask(`v1/samples/${number}`);
    return new File([await answer.blob()], answer.headers.get("x-name"));
  }

  async segment(entry, model) {
    const body = await bodyOf(entry.files);
    if (model.kind === "fewshot" && !this.examples) return this.look(body, model);
    const query = new URLSearchParams({ output: "view", uncertainty: true, ...this.extra });
    if (model.threshold !== null && (!model.volumes || model.outputs === 1)) query.set("probabilities", true);
    const address = this.examples ? `v1/fewshot/supports/${this.examples}:segment` : `v1/models/${model.name}:segment`;
    if (!model.volumes || this.examples) return viewOf(await (await this.post(`${address}?${query}`, body)).arrayBuffer(), model);
    query.set("model", model.name);
    const { id } = await (await this.post(`v1/jobs?${query}`, body)).json();
    for (let pause = 200; ; pause = Math.min(2000, 1.5 * pause)) {
      await new Promise((done) => setTimeout(done, pause));
      const { state, progress } = await (await this.ask(`v1/jobs/${id}`)).json();
      if (state !== "running") break;
      entry.report?.(progress);
    }
    const view = viewOf(await (await this.ask(`v1/jobs/${id}/result`)).arrayBuffer(), model);
    await this.ask(`v1/jobs/${id}`, { method: "DELETE" });
    return view;
  }

  /** A picture alone, to be drawn on. */
  async look(body, model) {
    const files = unzipped(await (await this.post(`v1/models/${model.name}:view`, body)).arrayBuffer());
    const { shape, data } = arrayOf(files["image.npy"]);
    const [, height, width] = shape;
    return { width, height, depth: 1, volume: false, spacing: null, remark: "", facts: null, image: { channels: 3, data }, mask: new Uint8Array(width * height), probabilities: null, uncertainty: null };
  }

  /** Send examples: {file, mask: a PNG} each. Then images can be segmented as they show. */
  async show(examples, model) {
    const body = formOf(examples);
    body.append("labels", `0=background,255=${TOLD.structure}`);
    const { id } = await (await this.post(`v1/fewshot/supports?model=${model.name}`, body)).json();
    await this.forget();
    this.examples = id;
  }

  async forget() {
    if (this.examples) await this.ask(`v1/fewshot/supports/${this.examples}`, { method: "DELETE" }).catch(() => {});
    this.examples = null;
  }

  /** A mask in the format that the person has chosen; null: the page writes a PNG. */
  async write(entry, mask, model, format = at("format").value) {
    if (!format && !entry.volume) return null;
    const body = formOf([{ file: await bodyOf(entry.files), mask: npyOf(mask, [entry.depth, entry.height, entry.width]) }]);
    const answer = await this.post(`v1/models/${model.name}:write?output=${format || "auto"}`, body);
    const [, suffix] = /filename="mask([^"]*)"/.exec(answer.headers.get("content-disposition"));
    return { suffix, bytes: new Uint8Array(await answer.arrayBuffer()) };
  }

  /** Give a mended mask to the server, which keeps it to train on. */
  async correct(entry, mask, model) {
    await this.post(`v1/corrections?model=${model.name}`, formOf([{ file: await bodyOf(entry.files), mask }]));
  }
}

/** Images with their masks, as they are sent. */
function formOf(pairs) {
  const form = new FormData();
  for (const { file, mask } of pairs) {
    form.append("image", file, "image");
    form.append("mask", new Blob([mask]), "mask");
  }
  return form;
}

/** What is sent of an image: its file, or its slices as one archive. */
async function bodyOf(files) {
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

/** Bytes in a shape → a `.npy` file. */
function npyOf(data, shape) {
  const head = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const padded = head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11) + "\n";
  return joined([new Uint8Array([0x93, 78, 85, 77, 80, 89, 1, 0, padded.length & 255, padded.length >> 8]), utf8(padded), data]);
}

/** What the server shows of an image → what the page holds of it. */
function viewOf(buffer, model) {
  const files = unzipped(buffer);
  const { view, notes, images } = JSON.parse(new TextDecoder().decode(files["result.json"]));
  const read = (name) => (files[`${name}.npy`] ? arrayOf(files[`${name}.npy`]) : null);
  const [image, mask] = [read("image"), read("mask")];
  const [depth, height, width] = mask.shape;
  const [{ doubt, drift, remark, seen }] = images;
  const facts = { seen, ...doubt, outside: drift?.outside ? drift.reason : null };
  const volume = view.slice_spacing !== null || depth > 1 || model.volumes;
  const spacing = view.spacing && (volume ? [...view.spacing, view.slice_spacing] : view.spacing);
  const held = { image: { channels: image.shape.length > 3 ? 3 : 1, data: image.data }, mask: mask.data };
  for (const name of ["probabilities", "uncertainty"]) held[name] = read(name)?.data ?? null;
  return { width, height, depth, volume, spacing, remark: [remark, ...notes].filter(Boolean).join("; "), facts, ...held };
}
