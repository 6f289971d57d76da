// Files in: chosen, dropped, or all of a folder. The slices of a DICOM series are one image.

import { at, say, when } from "./dom.js";
import { WORDS } from "./words.js";

const MOST_FILES = 5000;

/** @param app see app.js */
export function takeFiles(app) {
  const { accepts, kinds, series } = app.backend;

  /** @param {{file: File, path: string}[]} found; those of a folder are left out where no image has such a name */
  async function take(found) {
    const named = found.filter(({ file, path }) => !path || (!file.name.startsWith(".") && accepts.test(file.name)));
    const given = [];
    const groups = new Map();
    const masks = app.masksAmong?.(named) ?? [];
    for (const { file, path } of named.filter((one) => !masks.includes(one)).slice(0, MOST_FILES)) {
      const folder = path.slice(0, path.lastIndexOf("/") + 1);
      const of = await series?.(file, app.model); // undefined: not of DICOM; "": it does not say
      const key = of === undefined ? null : `${folder} ${of}`;
      const group = groups.get(key);
      if (group) group.files.push(file);
      else given.push({ name: file.name, folder, files: [file] });
      if (key && !group) groups.set(key, given.at(-1));
    }
    for (const one of given) if (one.files.length > 1 && one.folder) one.name = one.folder.split("/").at(-2);
    app.add(given);
    app.takeMasks?.(masks.map(({ file }) => file));
    if (!named.length) say("status", WORDS.noFiles);
    if (named.length > MOST_FILES) say("status", WORDS.tooMany(MOST_FILES));
  }

  const inOrder = (found) => found.sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true }));

  at("files").accept = kinds ?? "";
  for (const id of ["files", "folder"]) {
    when(id, "change", (event) => {
      take(inOrder([...event.target.files].map((file) => ({ file, path: file.webkitRelativePath }))));
      event.target.value = ""; // the same files can be chosen again
    });
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => document.body.classList.remove("over"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const found = [...event.dataTransfer.files].map((file) => ({ file, path: "" })).filter((_, index) => !items[index]?.isDirectory);
    for (const folder of items) if (folder?.isDirectory) await walk(folder, found);
    if (found.length) take(inOrder(found));
  });
}

async function walk(folder, found) {
  const reader = folder.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length || found.length > MOST_FILES) return;
    for (const entry of entries) {
      if (entry.isDirectory) await walk(entry, found);
      else found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: entry.fullPath });
    }
  }
}
