// Files in: chosen, dropped, or all of a folder. The slices of a DICOM series are one image.

import { at } from "./dom.js";
import { WORDS } from "./words.js";

const MOST_FILES = 5000;

/** @param app see app.js */
export function takeFiles(app) {
  const { accepts, series } = app.backend;

  /** @param {{file: File, path: string}[]} found; those of a folder are left out where no image has such a name */
  function take(found, fromFolder) {
    const named = found.filter(({ file }) => !fromFolder || (!file.name.startsWith(".") && accepts.test(file.name)));
    const given = [];
    const folders = new Map();
    for (const { file, path } of named.slice(0, MOST_FILES)) {
      const folder = path.slice(0, path.lastIndexOf("/") + 1);
      if (!series?.(file, app.model) || !folder) given.push({ name: file.name, files: [file] });
      else if (folders.has(folder)) folders.get(folder).files.push(file);
      else {
        folders.set(folder, { name: folder.replace(/\/$/, "").split("/").pop() || file.name, files: [file] });
        given.push(folders.get(folder));
      }
    }
    for (const one of given) if (one.files.length === 1) one.name = one.files[0].name;
    app.add(given);
    if (!given.length && found.length) at("status").textContent = WORDS.noFiles;
    if (named.length > MOST_FILES) at("status").textContent = WORDS.tooMany(MOST_FILES);
  }

  at("files").accept = app.backend.kinds ?? "";
  at("files").addEventListener("change", (event) => {
    take([...event.target.files].map((file) => ({ file, path: "" })), false);
    event.target.value = ""; // the same files can be chosen again
  });
  at("folder").addEventListener("change", (event) => {
    const found = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath }));
    take(found.sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true })), true);
    event.target.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => document.body.classList.remove("over"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const files = [...event.dataTransfer.files];
    const folders = items.filter((item) => item?.isDirectory);
    const plain = files.filter((_, index) => !items[index]?.isDirectory).map((file) => ({ file, path: "" }));
    if (plain.length) take(plain, false);
    for (const folder of folders) {
      const found = [];
      await walk(folder, found);
      take(found.sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true })), true);
    }
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
