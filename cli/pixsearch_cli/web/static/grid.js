// Photos in rows of one height and the full width. Only what is in sight, and a little around it, is in the document, so
// that a thousand photos take no more memory than a screenful.

import { reason, thumbnailAddress } from "./api.js";

const GAP = 6;
const WIDEST = 4;
const NARROWEST = 0.4;
const HEADING = 40; // pixels, of the one above what is less likely

export class Grid {
  /**
   * `heading` stands above the photos that are less likely. `open` is called with the number of the photo that was chosen,
   * `nearEnd` when the end of the list comes in sight.
   */
  constructor(list, heading, open, nearEnd) {
    this.list = list;
    this.heading = heading;
    this.open = open;
    this.nearEnd = nearEnd;
    this.hits = [];
    this.steady = 0;
    this.places = [];
    this.tiles = new Map();
    this.current = 0;
    addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    new ResizeObserver(() => this.#layOut()).observe(list);
    list.addEventListener("keydown", (event) => this.#walk(event));
    list.addEventListener("focusin", (event) => {
      const tile = event.target.closest("li");
      if (tile) this.#setCurrent(Number(tile.dataset.number));
    });
  }

  /** Show these hits; the first `steady` of them stay where they are. */
  show(hits, steady = 0) {
    this.steady = steady;
    const focused = this.list.contains(document.activeElement) ? this.hits[this.current] : undefined;
    this.hits = hits;
    this.keys = hits.map(keyOf);
    this.current = Math.max(0, focused ? hits.findIndex((hit) => hit.path === focused.path) : 0);
    this.#layOut();
  }

  /** How many photos stand above the lower edge of the window, each row as a whole. */
  countToEndOfSight() {
    const edge = innerHeight - this.list.getBoundingClientRect().top;
    const last = this.places.findLast((place) => place.y < edge);
    return last ? this.places.findLastIndex((place) => place.y === last.y) + 1 : 0;
  }

  focus(number) {
    if (!this.hits.length) return;
    this.#setCurrent(Math.min(Math.max(number, 0), this.hits.length - 1));
    const place = this.places[this.current];
    const top = this.list.getBoundingClientRect().top + place.y;
    const covered = document.querySelector("header").offsetHeight;
    if (top < covered) scrollBy({ top: top - covered - GAP, behavior: "instant" });
    else if (top + place.height > innerHeight) scrollBy({ top: top + place.height - innerHeight + GAP, behavior: "instant" });
    this.#draw();
    this.tiles.get(this.keys[this.current])?.firstChild.focus({ preventScroll: true });
  }

  #setCurrent(number) {
    this.current = number;
    for (const tile of this.tiles.values()) {
      tile.firstChild.tabIndex = Number(tile.dataset.number) === number ? 0 : -1;
    }
  }

  #layOut() {
    const width = this.list.clientWidth;
    if (!width) return;
    const wanted = Math.min(220, Math.max(110, width / 4));
    this.places = [];
    let row = [];
    let shapes = 0;
    let y = 0;
    const closeRow = (height) => {
      let x = 0;
      for (const [number, shape] of row) {
        this.places[number] = { x, y, width: shape * height, height };
        x += shape * height + GAP;
      }
      y += height + GAP;
      row = [];
      shapes = 0;
    };
    const lessLikely = this.hits.findIndex((hit, number) => number >= this.steady && hit.likely === false);
    this.heading.hidden = lessLikely < 0;
    const rowHeight = () => Math.min(wanted, (width - GAP * (row.length - 1)) / shapes);
    this.hits.forEach((hit, number) => {
      if (row.length && (number === this.steady || number === lessLikely)) closeRow(rowHeight());
      if (number === lessLikely) {
        this.heading.style.transform = `translateY(${y}px)`;
        y += HEADING;
      }
      const shape = Math.min(WIDEST, Math.max(NARROWEST, hit.width / hit.height));
      row.push([number, shape]);
      shapes += shape;
      const height = (width - GAP * (row.length - 1)) / shapes;
      if (height <= wanted) closeRow(height);
    });
    if (row.length) closeRow(rowHeight());
    this.list.style.height = `${y}px`;
    this.#draw();
  }

  #drawSoon() {
    this.frame ??= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const from = -this.list.getBoundingClientRect().top - innerHeight;
    const to = from + 3 * innerHeight;
    const seen = new Set();
    this.places.forEach((place, number) => {
      if (place.y + place.height < from || place.y > to) return;
      const key = this.keys[number];
      seen.add(key);
      let tile = this.tiles.get(key);
      if (!tile) {
        tile = this.#makeTile(this.hits[number]);
        this.tiles.set(key, tile);
      }
      this.#put(tile, number, place);
    });
    for (const [key, tile] of this.tiles) {
      if (!seen.has(key)) {
        tile.remove();
        this.tiles.delete(key);
      }
    }
    // The order of the document is that of the photos, for those who hear it.
    const inOrder = [...this.tiles.values()].sort((one, other) => one.dataset.number - other.dataset.number);
    inOrder.forEach((tile, place) => {
      if (this.list.children[place] !== tile) this.list.insertBefore(tile, this.list.children[place] ?? null);
    });
    if (this.hits.length && to - innerHeight / 2 > this.list.clientHeight) this.nearEnd();
  }

  #put(tile, number, place) {
    const hit = this.hits[number];
    tile.dataset.number = number;
    tile.style.width = `${place.width}px`;
    tile.style.height = `${place.height}px`;
    tile.style.transform = `translate(${place.x}px, ${place.y}px)`;
    tile.setAttribute("aria-setsize", this.hits.length);
    tile.setAttribute("aria-posinset", number + 1);
    tile.firstChild.tabIndex = number === this.current ? 0 : -1;
    tile.firstChild.setAttribute("aria-label", spoken(hit));
    const others = hit.copies.length + hit.similar.length;
    const badge = tile.querySelector(".badge");
    badge.hidden = !others;
    badge.textContent = `+${others}`;
    badge.title = `${others} more that look the same`;
    const bar = tile.querySelector(".bar");
    bar.hidden = hit.score == null;
    bar.style.width = `${100 * hit.score}%`;
    bar.classList.toggle("strong", hit.certainty === "strong");
  }

  #makeTile(hit) {
    const tile = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.title = hit.path;
    button.addEventListener("click", () => this.open(Number(tile.dataset.number)));
    const image = document.createElement("img");
    image.alt = "";
    image.draggable = false;
    image.addEventListener("error", async () => {
      const why = document.createElement("span");
      why.className = "why-none";
      why.textContent = await reason(image.src);
      image.replaceWith(why);
    });
    image.src = thumbnailAddress(hit.id);
    const badge = document.createElement("span");
    badge.className = "badge";
    const bar = document.createElement("span");
    bar.className = "bar";
    button.append(image, badge, bar);
    tile.append(button);
    return tile;
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

  /** The photo above or below the current one. */
  #inRow(direction) {
    const here = this.places[this.current];
    const middle = here.x + here.width / 2;
    let number = this.current;
    while (this.places[number]?.y === here.y) number += direction;
    const row = this.places[number]?.y;
    if (row === undefined) return this.current;
    let best = number;
    for (; this.places[number]?.y === row; number += direction) {
      const place = this.places[number];
      if (place.x <= middle && middle <= place.x + place.width + GAP) best = number;
    }
    return best;
  }
}

/** What names a hit through re-orderings: the picture, and which of its photos where each is shown. */
export function keyOf(hit) {
  return `${hit.id} ${hit.path}`;
}

export function spoken(hit) {
  const name = hit.title || hit.caption || hit.path.split("/").pop();
  const others = hit.copies.length + hit.similar.length;
  const match = hit.certainty ? `, ${hit.certainty} match` : "";
  return `${name}${match}${others ? `, and ${others} more that look the same` : ""}`;
}

export function percent(probability) {
  const hundredths = 100 * probability;
  return `${hundredths >= 9.95 ? Math.round(hundredths) : hundredths.toFixed(1)} %`;
}
