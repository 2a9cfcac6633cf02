// Zooming and panning: the scale of a picture in its container, and its visible part.

const STEP = 1.5; // factor for a key or a button
const TAP_STEP = 2.5; // factor for a double tap
const MAX_SCALE = 8; // for a photo with few pixels
const MAX_PIXEL = 4; // CSS pixels per pixel of a photo with many pixels
const MAX_FIT = 3; // maximum factor to enlarge a small picture to fit
const SQUARE_PIXEL = 8; // CSS pixels per pixel from which pixels are drawn as squares
const MARGIN = 16; // CSS pixels around a picture that is shown whole, both sides together

export class Zoom {
  /** `frame` is centred in `room`; `changed()` is called when its scale or its size has changed. */
  constructor(room, frame, changed) {
    this.room = room;
    this.frame = frame;
    this.changed = changed;
    this.#rest();
    new ResizeObserver(() => this.#fit()).observe(room);
  }

  get isZoomed() {
    return this.scale > 1;
  }

  get canGrow() {
    return this.scale < this.most;
  }

  /** The width of the picture in device pixels. */
  get width() {
    return this.base.width * this.scale * devicePixelRatio;
  }

  /** Show a new picture whole. `size` is the size of the photo, even if a thumbnail is shown. */
  show(size) {
    this.size = size;
    this.#rest();
    this.#fit();
  }

  /** Reset, with no picture to zoom into. */
  clear() {
    this.size = undefined;
    this.#rest();
    this.#draw(true);
    this.changed();
  }

  /** Scale by a factor about a point of the window, by default the centre of the room. */
  zoomBy(factor, at = this.#middle(), isSudden = false) {
    if (!this.size) return;
    const before = this.scale;
    this.scale = Math.min(this.most, Math.max(1, before * factor));
    const middle = this.#middle();
    const grown = this.scale / before;
    this.x = at.x - middle.x - (at.x - middle.x - this.x) * grown;
    this.y = at.y - middle.y - (at.y - middle.y - this.y) * grown;
    this.#draw(isSudden);
    if (this.scale !== before) this.changed();
  }

  grow() {
    this.zoomBy(STEP);
  }

  shrink() {
    this.zoomBy(1 / STEP);
  }

  /** Show the picture whole again. */
  reset() {
    this.zoomBy(1 / this.scale);
  }

  /** Zoom in about a point of the window until the picture fills the room; if it is zoomed in, show it whole. */
  toggle(at) {
    if (this.isZoomed || !this.size) return this.reset();
    const { width, height } = this.#roomSize();
    this.zoomBy(Math.max(TAP_STEP, width / this.base.width, height / this.base.height), at);
  }

  /** Move the picture. */
  pan({ x, y }, isSudden = true) {
    this.x += x;
    this.y += y;
    this.#draw(isSudden);
  }

  /** Move a picture that is shown whole with a finger; `{ x: 0, y: 0 }` moves it back. */
  follow({ x, y }) {
    this.frame.classList.toggle("eased", !x && !y);
    this.frame.style.transform = x || y ? `translate(${x}px, ${y}px)` : "";
  }

  #rest() {
    Object.assign(this, { scale: 1, x: 0, y: 0, most: 1, base: { width: 0, height: 0 } });
  }

  #fit() {
    if (!this.size) return;
    const room = this.#roomSize();
    const shape = this.size.width / this.size.height;
    const width = Math.min(room.width - MARGIN, (room.height - MARGIN) * shape, this.size.width * MAX_FIT);
    this.base = { width: Math.max(1, width), height: Math.max(1, width / shape) };
    const filling = Math.max(room.width / this.base.width, room.height / this.base.height);
    this.most = Math.max(MAX_SCALE, filling, (MAX_PIXEL * this.size.width) / this.base.width);
    this.frame.style.width = `${this.base.width}px`;
    this.frame.style.height = `${this.base.height}px`;
    this.scale = Math.min(this.scale, this.most);
    this.#draw(true);
    this.changed();
  }

  #draw(isSudden) {
    const { width, height } = this.#roomSize();
    this.x = within(this.x, (this.base.width * this.scale - width) / 2);
    this.y = within(this.y, (this.base.height * this.scale - height) / 2);
    this.frame.classList.toggle("eased", !isSudden);
    this.frame.classList.toggle("pixelated", (this.base.width * this.scale) / this.size?.width > SQUARE_PIXEL);
    this.frame.style.transform = this.isZoomed ? `translate(${this.x}px, ${this.y}px) scale(${this.scale})` : "";
    this.room.classList.toggle("zoomed", this.isZoomed);
  }

  #roomSize() {
    return { width: this.room.clientWidth, height: this.room.clientHeight };
  }

  #middle() {
    const { left, top, width, height } = this.room.getBoundingClientRect();
    return { x: left + width / 2, y: top + height / 2 };
  }
}

function within(value, most) {
  const limit = Math.max(0, most);
  return Math.min(limit, Math.max(-limit, value));
}
