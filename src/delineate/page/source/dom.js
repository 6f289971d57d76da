// Small help with the document.

export const at = (id) => document.getElementById(id);

export const when = (id, event, act) => at(id).addEventListener(event, act);

export function say(id, words) {
  at(id).textContent = words;
}

/** A new element. */
export function element(tag, about, ...inside) {
  const made = Object.assign(document.createElement(tag), about);
  made.append(...inside);
  return made;
}

/** Give bytes to the person as a file. */
export function download(name, content, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
