// Selects the photos that a rectangle drawn with the mouse touches.

const BEGINS = 6; // pixels that the mouse moves before the rectangle is drawn
const EDGE = 48; // pixels at the edge of the window in which the page scrolls
const FASTEST = 24; // pixels per frame

export class RubberBand {
  /** The rectangle may begin anywhere in `room`, on a photo or between them. */
  constructor(room, grid, selection) {
    this.grid = grid;
    this.selection = selection;
    this.room = grid.list.parentElement;
    room.addEventListener("pointerdown", (event) => this.#press(event));
    addEventListener("pointermove", (event) => this.#move(event));
    addEventListener("pointerup", () => this.#end());
    addEventListener("pointercancel", () => this.#end());
    addEventListener("blur", () => this.#end());
  }

  #press(event) {
    if (event.pointerType !== "mouse" || event.button || !this.grid.source?.count) return;
    if (event.target.closest("a, input, select, textarea, label, .tick, #status, #selection")) return;
    if (event.target.closest("button") && !this.grid.list.contains(event.target)) return;
    this.pointer = { x: event.clientX, y: event.clientY };
    this.from = this.#inLayout(this.pointer);
  }

  #move(event) {
    if (!this.from) return;
    this.pointer = { x: event.clientX, y: event.clientY };
    if (!(event.buttons & 1)) this.#end();
    else if (!this.band) {
      const { x, y } = this.#inLayout(this.pointer);
      if (Math.hypot(x - this.from.x, y - this.from.y) > BEGINS) this.#begin();
    }
  }

  #begin() {
    this.band = document.createElement("div");
    this.band.id = "band";
    this.room.append(this.band);
    document.documentElement.classList.add("banding");
    getSelection().removeAllRanges();
    this.selection.keepAsBase();
    this.count = -1;
    this.#frame();
  }

  #frame() {
    if (!this.band) return;
    const { y } = this.pointer;
    const above = this.grid.covered + EDGE - y;
    const below = y - (innerHeight - EDGE);
    const speed = Math.max(0, above, below) / EDGE;
    if (speed) scrollBy({ top: (above > 0 ? -1 : 1) * Math.min(1, speed) * FASTEST, behavior: "instant" });
    this.#select();
    requestAnimationFrame(() => this.#frame());
  }

  #select() {
    const to = this.#inLayout(this.pointer);
    const left = Math.min(this.from.x, to.x);
    const right = Math.max(this.from.x, to.x);
    const top = Math.min(this.from.y, to.y);
    const bottom = Math.max(this.from.y, to.y);
    Object.assign(this.band.style, {
      left: `${left}px`,
      top: `${Math.max(0, top)}px`,
      width: `${right - left}px`,
      height: `${Math.max(0, Math.min(bottom, this.grid.layout.height) - Math.max(0, top))}px`,
    });
    const { layout } = this.grid;
    const touched = [];
    const [first, end] = layout.between(top, bottom);
    for (let number = first; number < end; number += 1) {
      const { x, y, width, height } = layout.place(number);
      if (x < right && x + width > left && y < bottom && y + height > top) touched.push(number);
    }
    const key = `${touched[0]} ${touched.at(-1)} ${touched.length}`;
    if (key === this.touched) return;
    this.touched = key;
    this.numbers = touched;
    this.selection.addToBase(touched.flatMap((number) => this.selection.knownIds(number, number + 1)));
  }

  async #end() {
    this.from = undefined;
    if (!this.band) return;
    this.band.remove();
    this.band = this.touched = undefined;
    document.documentElement.classList.remove("banding");
    this.selection.swallowsClick = true; // the browser may send a click now
    setTimeout(() => {
      this.selection.swallowsClick = false;
    });
    const numbers = this.numbers;
    if (!numbers.length) return;
    const first = numbers[0];
    const ids = await this.selection.idsOf(first, numbers.at(-1) + 1); // includes photos that scrolled past too fast to load
    if (ids) this.selection.addToBase(numbers.map((number) => ids[number - first]));
  }

  /** Convert a point in the window to a point in the layout. */
  #inLayout({ x, y }) {
    const { left, top } = this.grid.list.getBoundingClientRect();
    return { x: x - left, y: y - top };
  }
}
