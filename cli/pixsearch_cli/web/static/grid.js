// A grid of photos. The document only contains the visible photos and some around them, so that 100,000 photos take no
// more memory than a screenful.

import { reason, thumbnailAddress } from "./api.js";
import { GAP } from "./rows.js";

const AROUND = 0.5; // the part of the window's height that is drawn above and below it

// The elements that are cloned for each tile, which is faster than creating them.
const TILE = document.createElement("li");
const BUTTON = document.createElement("button");
BUTTON.type = "button";
TILE.append(BUTTON);
const IMAGE = document.createElement("img");
IMAGE.alt = "";
IMAGE.draggable = false;
IMAGE.decoding = "async";

export class Grid {
  /**
   * `list` is the element for the photos, `headings` the one for the headings between them. `open` is called with the
   * number of a photo that was clicked, `laidOut` after each layout, `moved` after each drawing with the topmost visible
   * position, `shown` with a tile and its photo when the photo is new in it, and `headed` with a heading and its data.
   *
   * The grid shows a source, which has `count`; `item(number)`, undefined until it has loaded; `key(number)`, which stays
   * the same when the order changes; `numberOf(key)`; `layOut(width)`, which returns an object with `height`,
   * `place(number)`, `between(top, bottom)` and `headings(top, bottom)`; and `need(first, end)`, which is called with the
   * range of visible photos.
   */
  constructor(list, headings, { open, laidOut, moved, shown, headed }) {
    this.list = list;
    this.current = 0;
    this.source = undefined;
    this.layout = undefined;
    this.covered = 0; // pixels of the window behind the header
    this.coveredBelow = () => 0; // returns the pixels behind the bar at its lower edge
    this.headings = headings;
    this.drawnHeadings = new Map();
    this.tiles = new Map();
    this.laidOut = laidOut;
    this.moved = moved;
    this.shown = shown;
    this.headed = headed;
    addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    addEventListener("resize", () => this.#drawSoon());
    new ResizeObserver(() => this.layOut()).observe(list);
    list.addEventListener("keydown", (event) => this.#walk(event));
    list.addEventListener("click", (event) => {
      const tile = event.target.closest("li");
      if (tile?.item?.path) open(Number(tile.dataset.number));
    });
    list.addEventListener("error", (event) => sayWhyNone(event.target), true); // this event does not bubble
    list.addEventListener("focusin", (event) => {
      const tile = event.target.closest("li");
      if (tile) this.#setCurrent(Number(tile.dataset.number));
    });
  }

  show(source) {
    const focused = this.list.contains(document.activeElement) ? this.source.key(this.current) : undefined;
    this.source = source;
    this.current = Math.max(0, focused === undefined ? 0 : source.numberOf(focused));
    this.layOut();
  }

  /** Lay out the photos for the current width. The photo at the upper edge of the window stays there. */
  layOut() {
    const width = this.list.clientWidth;
    if (!width || !this.source || (this.laidOutSource === this.source && this.width === width)) return;
    const before = this.laidOutSource === this.source ? this.#atUpperEdge() : undefined;
    this.layout = this.source.layOut(width);
    this.laidOutSource = this.source;
    this.width = width;
    this.list.style.height = `${this.layout.height}px`;
    if (before) scrollBy({ top: this.layout.place(before.number).y - before.y, behavior: "instant" });
    this.laidOut();
    this.draw();
  }

  /** Return the first visible photo and its position, if the page is scrolled. */
  #atUpperEdge() {
    const [top, bottom] = this.sight();
    const [number, end] = this.layout.between(top, bottom);
    return scrollY > 0 && number < end ? { number, y: this.layout.place(number).y } : undefined;
  }

  /** Return the top and the bottom of the visible part of the layout, below the header. */
  sight() {
    const top = -this.list.getBoundingClientRect().top;
    return [top + this.covered, top + innerHeight];
  }

  /** Return the number of photos above the lower edge of the window, in whole rows. */
  countToEndOfSight() {
    if (!this.layout) return 0;
    return this.layout.between(0, this.sight()[1])[1];
  }

  focus(number) {
    if (!this.source?.count) return;
    this.#setCurrent(Math.min(Math.max(number, 0), this.source.count - 1));
    const place = this.layout.place(this.current);
    const [top, end] = this.sight();
    const bottom = end - this.coveredBelow();
    if (place.y < top) scrollBy({ top: place.y - top - GAP, behavior: "instant" });
    else if (place.y + place.height > bottom) scrollBy({ top: place.y + place.height - bottom + GAP, behavior: "instant" });
    this.draw();
    this.tiles.get(this.source.key(this.current))?.firstChild.focus({ preventScroll: true });
  }

  /** Draw the visible photos, including those that have arrived since. */
  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    if (!this.layout) return;
    const [top, bottom] = this.sight(); // read this before writing, which would force a new layout
    const from = top - AROUND * innerHeight;
    const to = bottom + AROUND * innerHeight;
    const [first, end] = this.layout.between(from, to);
    const numbers = new Set();
    for (let number = first; number < end; number += 1) numbers.add(number);
    if (this.current < this.source.count && this.list.contains(document.activeElement)) numbers.add(this.current); // the current photo has the focus
    this.source.need(first, end);
    this.#drawTiles([...numbers].sort((one, other) => one - other));
    this.#drawHeadings(this.layout.headings(from, to));
    this.moved(top);
  }

  #drawSoon() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  #drawTiles(numbers) {
    const seen = new Set();
    let previous = null;
    for (const number of numbers) {
      const key = this.source.key(number);
      const item = this.source.item(number);
      seen.add(key);
      let tile = this.tiles.get(key);
      if (!tile) {
        tile = TILE.cloneNode(true);
        this.tiles.set(key, tile);
      }
      this.#put(tile, number, item);
      previous = putBehind(previous, tile, this.list);
    }
    for (const [key, tile] of this.tiles) {
      if (!seen.has(key)) {
        stopLoading(tile);
        tile.remove();
        this.tiles.delete(key);
      }
    }
  }

  #drawHeadings(wanted) {
    const seen = new Set();
    let previous = null;
    for (const one of wanted) {
      const { key, level, text, x, y, width } = one;
      seen.add(key);
      let heading = this.drawnHeadings.get(key);
      if (!heading) {
        heading = document.createElement(`h${level}`);
        heading.id = `at-${key}`;
        heading.textContent = text;
        heading.title = text;
        this.drawnHeadings.set(key, heading);
      }
      previous = putBehind(previous, heading, this.headings);
      if (heading.drawnIn === this.layout) continue;
      heading.drawnIn = this.layout;
      this.headed(heading, one);
      heading.style.width = width ? `${width}px` : "";
      heading.style.transform = `translate(${x}px, ${y}px)`;
    }
    for (const [key, heading] of this.drawnHeadings) {
      if (!seen.has(key)) {
        heading.remove();
        this.drawnHeadings.delete(key);
      }
    }
  }

  #setCurrent(number) {
    this.current = number;
    for (const tile of this.tiles.values()) {
      tile.firstChild.tabIndex = Number(tile.dataset.number) === number ? 0 : -1;
    }
  }

  #put(tile, number, item) {
    if (tile.drawnIn === this.layout && tile.drawnAt === number && tile.item === item) return;
    if (!tile.drawnIn || tile.item?.id !== item?.id || tile.item?.path !== item?.path) fill(tile.firstChild, item);
    Object.assign(tile, { drawnIn: this.layout, drawnAt: number, item });
    const place = this.layout.place(number);
    tile.dataset.number = number;
    tile.style.width = `${place.width}px`;
    tile.style.height = `${place.height}px`;
    tile.style.transform = `translate(${place.x}px, ${place.y}px)`;
    tile.setAttribute("aria-setsize", this.source.count);
    tile.setAttribute("aria-posinset", number + 1);
    tile.firstChild.tabIndex = number === this.current ? 0 : -1;
    this.shown(tile, item);
    if (!item?.path) return;
    const others = item.copies.length + (item.similar?.length ?? 0);
    const badge = part(tile, "badge", others > 0);
    if (badge) {
      badge.textContent = `+${others}`;
      badge.title = likewise(item);
    }
    const bar = part(tile, "bar", item.score != null);
    if (bar) {
      bar.style.width = `${100 * item.score}%`;
      bar.classList.toggle("strong", item.certainty === "strong");
    }
  }

  #walk(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    let to;
    if (event.key in steps) to = this.current + steps[event.key];
    else if (event.key === "ArrowDown") to = this.#inRow(1);
    else if (event.key === "ArrowUp") to = this.#inRow(-1);
    else return;
    event.preventDefault();
    this.focus(to);
  }

  /** Return the number of the photo above or below the current one. */
  #inRow(direction) {
    const { count } = this.source;
    const place = (number) => (number >= 0 && number < count ? this.layout.place(number) : undefined);
    const here = place(this.current);
    const middle = here.x + here.width / 2;
    let number = this.current;
    while (place(number)?.y === here.y) number += direction;
    const row = place(number)?.y;
    if (row === undefined) return this.current;
    let best = number;
    for (; place(number)?.y === row; number += direction) {
      const { x, width } = place(number);
      if (x <= middle && middle <= x + width + GAP) best = number;
    }
    return best;
  }
}

/** Keep the elements in the order of the photos, for screen readers. */
function putBehind(previous, element, parent) {
  const next = previous ? previous.nextSibling : parent.firstChild;
  if (next !== element) parent.insertBefore(element, next);
  return element;
}

/** Stop loading the thumbnail of a tile that is no longer visible, so that others do not wait for it. */
function stopLoading(tile) {
  const image = tile.querySelector("img");
  if (image && !image.complete) image.removeAttribute("src"); // Chromium never frees a complete image that loses its source
}

/** Show a photo in the button of a tile, or a label if it is still loading or its record is damaged. */
function fill(button, item) {
  if (!item?.path) {
    button.replaceChildren();
    button.title = "";
    button.setAttribute("aria-label", item ? "Damaged record" : "Loading");
    return;
  }
  const image = IMAGE.cloneNode();
  image.src = thumbnailAddress(item.id);
  button.title = item.path;
  button.replaceChildren(image);
}

/** Return the part of a tile with a class. Create it if it is wanted and missing, and remove it if it is not wanted. */
function part(tile, className, isWanted) {
  let found = tile.querySelector(`.${className}`);
  if (!isWanted) {
    found?.remove();
    return undefined;
  }
  if (!found) {
    found = document.createElement("span");
    found.className = className;
    tile.firstChild.append(found);
  }
  return found;
}

async function sayWhyNone(image) {
  const why = document.createElement("span");
  why.className = "why-none";
  why.textContent = await reason(image.src);
  image.replaceWith(why);
}

export function spoken(item) {
  const name = item.title || item.caption || item.path.split("/").pop();
  const others = item.copies.length + (item.similar?.length ?? 0);
  const match = item.certainty ? `, ${item.certainty} match` : "";
  const taken = item.certainty || !item.taken_at ? "" : `, ${item.taken_at.slice(0, 10)}`;
  return `${name}${match}${taken}${others ? `, ${likewise(item)}` : ""}`;
}

/** Return the number of photos that a photo stands for, as "2 copies" or "2 near-duplicates". */
function likewise({ copies, similar = [] }) {
  const count = copies.length + similar.length;
  const [one, many] = similar.length ? ["near-duplicate", "near-duplicates"] : ["copy", "copies"];
  return `${count} ${count === 1 ? one : many}`;
}

export function percent(probability) {
  const hundredths = 100 * probability;
  return `${hundredths >= 9.95 ? Math.round(hundredths) : hundredths.toFixed(1)} %`;
}
