// The open photo: its fragment in the address, its number among the photos on the page, and the steps to its neighbours.

import { ROOT, photo } from "./api.js";
import { current, withPart, words } from "./query.js";
import { Viewer } from "./viewer.js";

const PHOTO = /^#photo-(\d+)$/;
const RESTS_MS = 100; // until a step changes the address: browsers limit how often a page may do so

export class OpenedPhoto {
  /**
   * `grid` shows the photos on the page. `actions.run()` loads the page for the address, `actions.followHash()` follows only its
   * fragment, and `actions.failed(error)` shows an error.
   */
  constructor(dialog, grid, actions) {
    this.grid = grid;
    this.actions = actions;
    this.number = -1; // in the grid's source
    this.isLeaving = false; // for another search
    this.viewer = new Viewer(dialog, {
      go: (parts, alone) => this.#goFromPhoto(parts, alone),
      showInTimeline: (id) => this.#showInTimeline(id),
      step: (by) => this.#step(by),
      arrived: () => this.#preload(),
      closed: () => this.#closed(),
    });
  }

  /** True if a photo is open, or will be once the photos have loaded. */
  get isOpen() {
    return this.viewer.dialog.open || PHOTO.test(location.hash);
  }

  /** Open a photo of the grid by its number. */
  async open(number) {
    try {
      const item = await this.grid.source.load(number);
      if (!item) return;
      history.pushState({ opened: true, y: scrollY }, "", addressOf(item));
      this.#show(item, number);
    } catch (error) {
      this.actions.failed(error);
    }
  }

  /** Open the photo that the address bar names, or close the one that is open. */
  async followHash() {
    const id = Number(location.hash.match(PHOTO)?.[1]);
    const { source } = this.grid;
    if (!id) this.viewer.close();
    if (!id || this.viewer.shown?.id === id) return;
    try {
      const number = source.numberOfId(id);
      this.#show(source.item(number) ?? (await photo(id)), number);
      if (number < 0) await this.sourceChanged();
    } catch (error) {
      this.actions.failed(error);
    }
  }

  /** Find the open photo among the photos that the grid shows now. */
  async sourceChanged() {
    const { shown } = this.viewer;
    if (!shown) return;
    const { source } = this.grid;
    // Copies that are shown one by one have the same id.
    let number = source.item(this.number)?.id === shown.id ? this.number : source.numberOfId(shown.id);
    if (number < 0 && source.find) number = await source.find(shown.id).catch(() => -1); // the photo may not have loaded yet
    if (this.viewer.shown !== shown || this.grid.source !== source) return;
    this.number = number;
    this.viewer.setPosition(this.#position());
    this.#preload();
  }

  #show(item, number) {
    this.number = number;
    this.viewer.show(item, words(current()), this.#position());
  }

  #position() {
    const { count, loadMore } = this.grid.source;
    return { number: this.number < 0 ? undefined : this.number, count, mayBeMore: Boolean(loadMore) };
  }

  /** Show the previous or the next photo, and return whether there is one. */
  async #step(by) {
    const { shown } = this.viewer;
    const number = this.number + by;
    if (this.number < 0 || number < 0) return false;
    if (number >= this.grid.source.count) await this.grid.source.loadMore?.();
    const { source } = this.grid;
    if (this.viewer.shown !== shown || number >= source.count) return false;
    const item = await source.load(number);
    if (this.viewer.shown !== shown) return false;
    if (!item?.path) {
      if (item) this.number = number;
      const why = item ? "The record of this photo is damaged: run pixsearch repair." : "This photo cannot be loaded right now. Try again.";
      this.viewer.showMissing(why, this.#position());
      return true;
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => history.replaceState(history.state, "", addressOf(item)), RESTS_MS);
    this.#show(item, number);
    return true;
  }

  /** Load the pictures of the next and the previous photo. */
  async #preload() {
    const { shown, picture } = this.viewer;
    const { source } = this.grid;
    if (this.number < 0 || !shown) return;
    const beside = [this.number + 1, this.number - 1].filter((number) => number >= 0 && number < source.count);
    const items = await Promise.all(beside.map((number) => source.load(number).catch(() => undefined)));
    if (this.viewer.shown === shown) picture.preload(items.filter((item) => item?.path).map(({ id }) => id));
  }

  #closed() {
    clearTimeout(this.resting);
    if (PHOTO.test(location.hash)) {
      if (history.state?.opened) history.back();
      else history.replaceState(null, "", location.pathname + location.search);
    }
    if (!this.isLeaving && this.number >= 0) this.grid.focus(this.number);
    this.isLeaving = false;
  }

  #goFromPhoto(added, alone = false) {
    let query = alone ? new URLSearchParams() : current();
    for (const [name, value] of Object.entries(added)) query = withPart(query, name, value);
    if (history.state?.opened) history.replaceState(null, "", `${ROOT}?${query}`); // replace the history entry of the photo
    else history.pushState(null, "", `${ROOT}?${query}`);
    this.#leave();
    scrollTo({ top: 0, behavior: "instant" });
    this.actions.run();
  }

  /** Show the photo in the timeline of all photos. Back returns to the open photo. */
  #showInTimeline(id) {
    const isThere = !current().toString();
    history.pushState(null, "", `${ROOT}#timeline-${id}`);
    this.#leave();
    if (isThere) this.actions.followHash();
    else this.actions.run();
  }

  #leave() {
    clearTimeout(this.resting);
    this.isLeaving = true;
    this.viewer.close();
  }
}

function addressOf({ id }) {
  return `${location.pathname}${location.search}#photo-${id}`;
}
