// The selected photos. They are kept by id, so that they stay selected when the order changes or the page scrolls.

import { spoken } from "./grid.js";

const LONG_PRESS_MS = 450;
const STILL = 10; // pixels that a finger may move during a long press

const CHECK = document.createElement("input");
CHECK.type = "checkbox";
CHECK.className = "tick";
CHECK.tabIndex = -1; // Space on the photo does the same

const DAY_CHECK = document.createElement("button");
DAY_CHECK.type = "button";
DAY_CHECK.className = "tick";
DAY_CHECK.tabIndex = -1; // "d" on one of its photos does the same
DAY_CHECK.setAttribute("role", "checkbox");

export class Selection {
  /** `changed()` is called after each change, and `failed(message)` if photos cannot be selected. */
  constructor(grid, { changed, failed }) {
    this.grid = grid;
    this.ids = new Set();
    this.base = new Set(); // the ids that were selected before the current range
    this.anchor = undefined; // the id at the start of the range
    this.head = undefined; // the id at the latest end of the range
    this.actions = { changed, failed };
    const { list, headings } = grid;
    list.addEventListener("click", (event) => this.#click(event), true); // before the grid opens the photo
    list.addEventListener("keydown", (event) => this.#key(event), true); // before the grid moves the focus
    list.addEventListener("keydown", (event) => this.#walked(event)); // after it
    headings.addEventListener("click", (event) => {
      const heading = event.target.closest(".tick")?.parentElement;
      if (heading) this.#toggleRange(heading.wanted.first, heading.wanted.end);
    });
    document.addEventListener("keydown", (event) => this.#keyAnywhere(event));
    this.#followTouch(list);
  }

  get size() {
    return this.ids.size;
  }

  has(id) {
    return this.ids.has(id);
  }

  clear() {
    this.anchor = this.head = undefined;
    this.#set(new Set());
  }

  /** Show whether the photo in a tile is selected. */
  shown(tile, item) {
    const isPhoto = Boolean(item?.path);
    if (!tile.check) {
      tile.check = CHECK.cloneNode();
      tile.append(tile.check);
    }
    tile.check.hidden = !isPhoto;
    if (!isPhoto) {
      tile.classList.remove("selected");
      return;
    }
    const isSelected = this.ids.has(item.id);
    const name = spoken(item);
    tile.check.checked = isSelected;
    tile.check.setAttribute("aria-label", `Select ${name}`);
    tile.firstChild.setAttribute("aria-label", isSelected ? `${name}, selected` : name);
    tile.classList.toggle("selected", isSelected);
  }

  /** Add a check mark to the heading of a day, or of a folder with photos without a date. */
  headed(heading, wanted) {
    heading.wanted = wanted;
    if (wanted.end === undefined) return;
    if (!heading.check) {
      heading.check = DAY_CHECK.cloneNode();
      heading.check.setAttribute("aria-label", `Select ${wanted.text}`);
      heading.setAttribute("aria-label", wanted.text);
      heading.append(heading.check);
    }
    this.#markHeading(heading);
  }

  /** Return the ids of a range of photos. Fetch them if they are not known, and return undefined if that fails. */
  async idsOf(first, end) {
    const { source } = this.grid;
    const known = this.knownIds(first, end);
    if (known.length === end - first) return known;
    try {
      const ids = await source.ids();
      return source === this.grid.source ? ids.slice(first, end) : undefined;
    } catch (error) {
      if (error.name !== "AbortError") this.actions.failed(error.message);
      return undefined;
    }
  }

  /** Return the ids in a range of photos that are known already. */
  knownIds(first, end) {
    const known = [];
    for (let number = first; number < end; number += 1) {
      const id = this.grid.source.idAt(number);
      if (id !== undefined) known.push(id);
    }
    return known;
  }

  /** Keep the current selection as the one that `addToBase` adds photos to. */
  keepAsBase() {
    this.base = new Set(this.ids);
  }

  addToBase(ids) {
    this.#set(new Set([...this.base, ...ids]));
  }

  async selectAll() {
    if (!this.grid.source) return;
    const ids = await this.idsOf(0, this.grid.source.count);
    if (ids) this.#set(new Set([...this.ids, ...ids]));
  }

  #set(ids) {
    this.ids = ids;
    for (const tile of this.grid.tiles.values()) this.shown(tile, tile.item);
    for (const heading of this.grid.drawnHeadings.values()) if (heading.check) this.#markHeading(heading);
    this.actions.changed();
  }

  #toggle(number) {
    const id = this.grid.source.idAt(number);
    if (id === undefined) return;
    const ids = new Set(this.ids);
    if (!ids.delete(id)) ids.add(id);
    this.anchor = this.head = id;
    this.base = ids;
    this.#set(new Set(ids));
  }

  /** Select a range of photos, or deselect it if all of it is selected. */
  async #toggleRange(first, end) {
    const ids = await this.idsOf(first, end);
    if (!ids) return;
    const all = new Set(this.ids);
    const areAll = ids.every((id) => all.has(id));
    for (const id of ids) areAll ? all.delete(id) : all.add(id);
    this.#set(all);
  }

  /** Select the photos from the anchor to a photo, instead of the previous range from the anchor. */
  async #extendTo(number) {
    const { source } = this.grid;
    const id = source.idAt(number);
    if (id === undefined) return;
    let from = source.numberOfId(this.anchor);
    if (from < 0) { // the photo may not have loaded
      if (!(await this.idsOf(0, source.count))) return;
      from = source.numberOfId(this.anchor);
    }
    if (from < 0) {
      this.#toggle(number);
      return;
    }
    const ids = await this.idsOf(Math.min(from, number), Math.max(from, number) + 1);
    if (!ids) return;
    this.head = id;
    this.addToBase(ids);
  }

  #click(event) {
    if (this.swallowsClick) {
      this.swallowsClick = false;
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    const tile = event.target.closest("li");
    if (!tile?.item?.path) return;
    const isCheck = event.target === tile.check;
    const number = Number(tile.dataset.number);
    const tapsSelect = this.isTouch && this.size > 0;
    if (event.shiftKey && this.anchor !== undefined) this.#extendTo(number);
    else if (isCheck || event.shiftKey || event.ctrlKey || event.metaKey || tapsSelect) this.#toggle(number);
    else return;
    event.stopImmediatePropagation();
    if (isCheck) {
      this.shown(tile, tile.item);
      tile.firstChild.focus({ preventScroll: true }); // keys should act on the photo
    }
  }

  #key(event) {
    this.isTouch = false;
    const { grid } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " || (event.key === "x" && !event.shiftKey)) this.#toggle(grid.current);
    else if (event.key === "d" && !event.shiftKey) {
      const day = grid.layout.dayOf?.(grid.current);
      if (day) this.#toggleRange(day.first, day.end);
    } else {
      if (event.shiftKey && STEPS.includes(event.key)) this.#beginAt(grid.current);
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** Begin a range at the focused photo, unless the current range ends there and is continued. */
  #beginAt(number) {
    const id = this.grid.source.idAt(number);
    if (id === undefined || (this.head === id && this.ids.has(this.anchor))) return;
    this.anchor = this.head = id;
    this.base = new Set([...this.ids, id]);
  }

  #walked(event) {
    if (event.shiftKey && STEPS.includes(event.key) && this.anchor !== undefined) this.#extendTo(this.grid.current);
  }

  #keyAnywhere(event) {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const typed = event.target.closest?.("input:not(.tick), select, textarea");
    if (event.key === "a" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
      if (typed && (typed.id !== "q" || typed.value)) return; // Ctrl+A selects the text in the field
      event.preventDefault();
      this.selectAll();
    } else if (event.key === "Escape" && !typed?.value && this.size) {
      event.preventDefault();
      this.clear();
    }
  }

  #markHeading(heading) {
    const { first, end } = heading.wanted;
    let selected = 0;
    for (let number = first; number < end; number += 1) if (this.ids.has(this.grid.source.idAt(number))) selected += 1;
    heading.check.setAttribute("aria-checked", selected === end - first ? "true" : selected ? "mixed" : "false");
  }

  /** Select a photo with a long press, and remember whether the latest press was a touch. */
  #followTouch(list) {
    let pressing;
    let from;
    const stop = () => clearTimeout(pressing);
    list.addEventListener("pointerdown", (event) => {
      this.isTouch = event.pointerType === "touch";
      this.swallowsClick = false;
      stop();
      const tile = event.target.closest("li");
      if (!this.isTouch || !event.isPrimary || !tile?.item?.path) return;
      from = { x: event.clientX, y: event.clientY };
      pressing = setTimeout(() => {
        this.swallowsClick = true;
        this.#toggle(Number(tile.dataset.number));
      }, LONG_PRESS_MS);
    });
    list.addEventListener("pointermove", ({ clientX, clientY }) => {
      if (from && Math.hypot(clientX - from.x, clientY - from.y) > STILL) stop();
    });
    list.addEventListener("pointerup", stop);
    list.addEventListener("pointercancel", stop); // the page scrolls
    list.addEventListener("contextmenu", (event) => {
      if (this.isTouch) event.preventDefault();
    });
  }
}

const STEPS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
