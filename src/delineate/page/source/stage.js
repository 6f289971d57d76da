// The image with its mask, at any zoom: what the pointer, the wheel and the keys do to it.

const MOST_ZOOM = 40;

/**
 * @param {HTMLElement} view what is seen; it holds `stage` with canvases one upon the other, and `ring` over them
 * @param {object} on tool() → name; start(point), move(point), end(): of a stroke; turn(steps): slices; size(): of the brush in pixels
 */
export class Stage {
  constructor(view, stage, ring, on) {
    Object.assign(this, { view, stage, ring, on, zoom: 1, left: 0, top: 0, width: 1, height: 1, cursor: null, pointers: new Map() });
    view.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    view.addEventListener("pointerdown", (event) => this.down(event));
    view.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, (event) => this.up(event));
    view.addEventListener("pointerleave", () => this.mark(null));
    view.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.place()).observe(view);
  }

  /** Take another image; the zoom stays where it has the same size. */
  open(width, height) {
    if (width === this.width && height === this.height) return;
    Object.assign(this, { width, height, cursor: [width / 2, height / 2] });
    this.view.style.aspectRatio = `${width} / ${height}`;
    this.view.style.maxWidth = `min(100%, calc(70vh * ${width / height}))`;
    this.fit();
  }

  fit() {
    Object.assign(this, { zoom: 1, left: 0, top: 0 });
    this.place();
  }

  /** Zoom by a factor, with a point of the view (as a share of it) staying where it is. */
  by(factor, [x, y] = [0.5, 0.5]) {
    const zoom = Math.max(1, Math.min(MOST_ZOOM, this.zoom * factor));
    this.left = x - ((x - this.left) * zoom) / this.zoom;
    this.top = y - ((y - this.top) * zoom) / this.zoom;
    this.zoom = zoom;
    this.place();
  }

  pan(right, down) {
    this.left += right;
    this.top += down;
    this.place();
  }

  place() {
    this.left = Math.min(0, Math.max(1 - this.zoom, this.left));
    this.top = Math.min(0, Math.max(1 - this.zoom, this.top));
    const { clientWidth, clientHeight } = this.view;
    this.stage.style.transform = `translate(${this.left * clientWidth}px, ${this.top * clientHeight}px) scale(${this.zoom})`;
    this.stage.classList.toggle("coarse", (clientWidth * this.zoom) / this.width > 1.5);
    this.view.classList.toggle("zoomed", this.zoom > 1);
    if (!this.ring.hidden) this.mark(this.cursor);
  }

  share({ clientX, clientY }) {
    const box = this.view.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  }

  /** A point of the screen → of the image, in pixels. */
  point(event) {
    const [x, y] = this.share(event);
    return [((x - this.left) / this.zoom) * this.width, ((y - this.top) / this.zoom) * this.height];
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey || !this.on.turn(0)) {
      event.preventDefault();
      this.by(Math.exp(-Math.max(-1, Math.min(1, event.deltaY / 200))), this.share(event));
    } else if (this.on.turn(Math.sign(event.deltaY))) event.preventDefault();
  }

  down(event) {
    if (event.button > 1) return;
    this.view.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.share(event));
    const pans = event.button === 1 || this.on.tool() === "move" || this.pointers.size > 1;
    if (pans && this.drawing) this.finish();
    this.drawing = !pans;
    if (this.drawing) this.on.start(this.point(event));
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.mark(this.point(event));
    const now = this.share(event);
    this.pointers.set(event.pointerId, now);
    if (this.drawing) {
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.on.move(this.point(one));
      this.mark(this.point(event));
    } else if (this.pointers.size === 2) {
      const [other] = [...this.pointers].find(([id]) => id !== event.pointerId).slice(1);
      const far = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      this.by(far(now) / (far(before) || 1), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else this.pan(now[0] - before[0], now[1] - before[1]);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.drawing) this.finish();
  }

  finish() {
    this.drawing = false;
    this.on.end();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow && this.on.tool() === "move") this.pan(-arrow[0] / 10, -arrow[1] / 10);
    else if (arrow) {
      const far = event.shiftKey ? 10 : 1;
      this.cursor = [Math.max(0.5, Math.min(this.width - 0.5, this.cursor[0] + far * arrow[0])), Math.max(0.5, Math.min(this.height - 0.5, this.cursor[1] + far * arrow[1]))];
      this.mark(this.cursor);
    } else if (event.key === " " && this.on.tool() !== "move") {
      this.on.start(this.cursor);
      this.on.end();
    } else if (event.key === "+" || event.key === "=") this.by(1.5);
    else if (event.key === "-") this.by(1 / 1.5);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  /** Show where the brush is, by a ring over the image; null: nowhere. */
  mark(point) {
    const tool = this.on.tool();
    this.ring.hidden = !point || tool === "move";
    if (this.ring.hidden) return;
    this.cursor = point;
    const scale = (this.view.clientWidth * this.zoom) / this.width;
    const side = `${scale * (tool === "fill" ? 2 : Math.max(1, this.on.size()))}px`;
    Object.assign(this.ring.style, { width: side, height: side });
    const [x, y] = [this.left * this.view.clientWidth + scale * point[0], this.top * this.view.clientHeight + scale * point[1]];
    this.ring.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
  }
}
