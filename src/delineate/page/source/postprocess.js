// Components taken away and holes filled, as `delineate calibrate` chose them: the same rules as `delineate predict`.
//
// A component is what touches, be it at a corner (8 neighbors). A hole is what a structure encloses on all sides (4 neighbors):
// it does not reach the border and holds no other structure.

/** Numbers the components of `inside` from 1, in the order of their first pixels; returns labels and sizes. */
export function components(inside, width, height, corners) {
  const labels = new Int32Array(inside.length);
  const sizes = [0];
  const stack = [];
  for (let first = 0; first < inside.length; first++) {
    if (!inside[first] || labels[first]) continue;
    const label = sizes.length;
    sizes.push(0);
    labels[first] = label;
    stack.push(first);
    while (stack.length) {
      const pixel = stack.pop();
      sizes[label]++;
      const x = pixel % width;
      const y = (pixel - x) / width;
      for (let down = y ? -1 : 0; down <= (y < height - 1 ? 1 : 0); down++) {
        for (let right = x ? -1 : 0; right <= (x < width - 1 ? 1 : 0); right++) {
          const other = pixel + down * width + right;
          if ((corners || !down || !right) && inside[other] && !labels[other]) {
            labels[other] = label;
            stack.push(other);
          }
        }
      }
    }
  }
  return { labels, sizes };
}

const member = (mask, classes) => mask.map((value) => (classes.includes(value) ? 1 : 0));

/** @param {object[]} rules each {classes, paints, beneath, around, largest, minSize, fillHoles}, outer structures first */
export function postprocessed(mask, width, height, rules) {
  const again = rules.some((rule) => rule.paints === null);
  // A region without a class of its own ends where those inside it do, so it may have come apart: until nothing changes.
  while (takeAway(mask, width, height, rules) && again);
  for (const rule of rules) if (rule.fillHoles && rule.paints !== null) fill(mask, width, height, rule);
  return mask;
}

function takeAway(mask, width, height, rules) {
  let changed = false;
  for (const rule of rules) {
    if (!rule.largest && !rule.minSize) continue;
    const { labels, sizes } = components(member(mask, rule.classes), width, height, true);
    const most = Math.max(...sizes.slice(1), 0);
    const kept = sizes.indexOf(most, 1);
    const goes = sizes.map((size, label) => label > 0 && (size < rule.minSize || (rule.largest && label !== kept)));
    for (let pixel = 0; pixel < mask.length; pixel++) {
      if (goes[labels[pixel]]) {
        mask[pixel] = rule.beneath;
        changed = true;
      }
    }
  }
  return changed;
}

function fill(mask, width, height, rule) {
  const { labels, sizes } = components(member(mask, rule.classes).map((value) => 1 - value), width, height, false);
  const open = new Uint8Array(sizes.length);
  open[0] = 1;
  for (let x = 0; x < width; x++) open[labels[x]] = open[labels[labels.length - 1 - x]] = 1;
  for (let y = 0; y < height; y++) open[labels[y * width]] = open[labels[y * width + width - 1]] = 1;
  for (let pixel = 0; pixel < mask.length; pixel++) {
    if (labels[pixel] && !rule.around.includes(mask[pixel])) open[labels[pixel]] = 1;
  }
  for (let pixel = 0; pixel < mask.length; pixel++) if (!open[labels[pixel]]) mask[pixel] = rule.paints;
}
