// The position on the page. The address contains the visible day or photo, and the history the scroll position.

import { showMessage } from "./messages.js";
import { Timeline } from "./timeline.js";

const RESTS_MS = 250; // until the address is updated after scrolling
const DAY = /^#(\d{4}-\d\d-\d\d|undated)$/;
const REVEALED = /^#timeline-(\d+)$/; // a photo in the timeline

export class Whereabouts {
  /** The address is not changed while `isElsewhere()` returns true. */
  constructor(grid, scrubber, isElsewhere) {
    this.grid = grid;
    this.scrubber = scrubber;
    this.isElsewhere = isElsewhere;
    this.isRevealing = false; // true while the photo to reveal is loading
  }

  /** True if the address contains a day. */
  get isDay() {
    return DAY.test(location.hash);
  }

  /** True if the history or the address contains a position below the top of the timeline. */
  get isBelowTheTop() {
    return Boolean(history.state?.y) || this.isDay || REVEALED.test(location.hash);
  }

  /** Handle that the page was drawn with this position of the layout at its upper edge. */
  moved(top) {
    this.scrubber.markAt(top);
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.#note(), RESTS_MS);
  }

  /** Scroll to a vertical position in the layout, below the header. */
  scrollTo(y) {
    const [top] = this.grid.sight();
    scrollBy({ top: y - top, behavior: "instant" });
  }

  /** Scroll to the position in the history or in the address. */
  restore() {
    const y = history.state?.y;
    const day = location.hash.match(DAY)?.[1];
    if (y !== undefined) scrollTo({ top: y, behavior: "instant" });
    else if (day && this.#isTimeline) this.scrollTo(this.grid.layout.yOfDay(day));
  }

  /** Scroll to the photo in the timeline that the address names, if any, and focus it. */
  async reveal() {
    const { source } = this.grid;
    const id = this.#revealedId;
    if (!id) return;
    let number = source.numberOfId(id);
    if (number < 0) {
      this.isRevealing = true;
      number = await source.find(id).finally(() => (this.isRevealing = false));
    }
    if (this.grid.source !== source || this.#revealedId !== id) return;
    if (number < 0) {
      showMessage("This photo is not in the timeline.", true);
      return;
    }
    const { y, height } = this.grid.layout.place(number);
    const [top, bottom] = this.grid.sight();
    if (y < top || y + height > bottom) this.scrollTo(y - (bottom - top - height) / 2);
    this.grid.focus(number);
    const tile = document.activeElement;
    tile.classList.add("revealed"); // browsers do not show the focus after a click
    tile.addEventListener("blur", () => tile.classList.remove("revealed"), { once: true });
  }

  get #isTimeline() {
    return this.grid.source instanceof Timeline;
  }

  /** The id of the photo in the timeline that the address names; 0 for none. */
  get #revealedId() {
    return this.#isTimeline ? Number(location.hash.match(REVEALED)?.[1] ?? 0) : 0;
  }

  /** Store the position in the address and the history, for reloading and going back. */
  #note() {
    if (this.isRevealing || this.isElsewhere()) return;
    history.replaceState({ ...history.state, y: scrollY }, "", location.pathname + location.search + this.#hash());
  }

  #hash() {
    if (!this.#isTimeline) return "";
    const { layout, source } = this.grid;
    const [top, bottom] = this.grid.sight();
    const number = this.#revealedId ? source.numberOfId(this.#revealedId) : -1;
    if (number >= 0) {
      const { y, height } = layout.place(number);
      if (y + height > top && y < bottom) return location.hash;
    }
    const stand = scrollY > 0 && layout.standAt(top + 2); // browsers round scroll positions
    return stand ? `#${stand.day ?? "undated"}` : "";
  }
}
