// The viewer for a single photo: its picture, the facts about it, and the buttons, keys and gestures.

import { downloadAddress, exposure, imageAddress, photo, reason } from "./api.js";
import { addFact, fileName, showFacts } from "./facts.js";
import { Gestures } from "./gestures.js";
import { spoken } from "./grid.js";
import { FullScreen, InfoPanel } from "./panels.js";
import { Picture } from "./picture.js";
import { Slideshow } from "./slideshow.js";
import { smallButton } from "./small_button.js";
import { Why } from "./why.js";
import { Zoom } from "./zoom.js";
import { formatNumber } from "./numbers.js";

const SWIPE_PX = 50;
const PAN_PX = 80; // for an arrow key

export class Viewer {
  /**
   * `actions.step(-1 or 1)` shows a neighbour and resolves to whether there was one; `actions.go(query parts, alone)` starts a search;
   * `actions.showInTimeline(id)` shows a photo in the timeline; `actions.arrived()` is called when the picture is shown, and
   * `actions.closed()` when the viewer is closed.
   */
  constructor(dialog, actions) {
    const find = (selector) => dialog.querySelector(selector);
    this.dialog = dialog;
    this.actions = actions;
    this.shown = undefined;
    this.fetching = new AbortController();
    this.list = find("dl");
    this.why = new Why(find(".why"), find("canvas"));
    this.picture = new Picture(find(".frame"), {
      arrived: (size, isWhole) => this.#arrived(size, isWhole),
      failed: (address) => this.#failWithReason(address),
    });
    this.zoom = new Zoom(find(".room"), find(".frame"), () => this.#zoomed());
    this.slideshow = new Slideshow(find(".play"), () => actions.step(1));
    this.info = new InfoPanel(find(".facts"), find(".info"));
    this.fullScreen = new FullScreen(find(".stage"), find(".full-screen"));
    this.buttons = { previous: find(".previous"), next: find(".next"), shrink: find(".shrink"), grow: find(".grow") };
    find(".close").addEventListener("click", () => dialog.close());
    this.buttons.previous.addEventListener("click", () => this.#step(-1));
    this.buttons.next.addEventListener("click", () => this.#step(1));
    this.buttons.shrink.addEventListener("click", () => this.#zoomByHand(() => this.zoom.shrink()));
    this.buttons.grow.addEventListener("click", () => this.#zoomByHand(() => this.zoom.grow()));
    dialog.addEventListener("close", () => this.#close());
    dialog.addEventListener("keydown", (event) => this.#press(event));
    this.#listenToGestures(find(".room"));
  }

  /** Show a hit or a photo in the timeline, and fetch its other facts. `position` is passed to `setPosition`. */
  show(hit, words, position) {
    this.shown = hit;
    this.format = hit.format;
    this.dialog.querySelector("h2").textContent = fileName(hit.path);
    this.#setBroken("");
    this.setPosition(position);
    this.dialog.querySelector(".announcement").textContent = [spoken(hit), this.#spokenPosition(position)].filter(Boolean).join(", ");
    this.picture.show(hit, spoken(hit));
    this.#showActions(hit);
    this.#showDetails(hit);
    if (!this.dialog.open) this.dialog.showModal();
    this.#keepFocus();
    this.why.show(hit.id, words);
  }

  /** Show a message in place of a photo without any data. */
  showMissing(message, position) {
    this.dialog.querySelector("h2").textContent = "";
    this.dialog.querySelector(".actions").replaceChildren();
    this.list.replaceChildren();
    this.fetching.abort();
    this.why.show(undefined, "");
    this.fail(message);
    this.setPosition(position);
    this.#keepFocus();
  }

  /** Keep the focus in the viewer if the focused element is gone. */
  #keepFocus() {
    if (!this.dialog.contains(document.activeElement)) this.dialog.querySelector(".room").focus({ preventScroll: true });
  }

  /**
   * Show which photo of how many this is, and enable the buttons to those before and after it. `number` is undefined if it is not
   * known; `mayBeMore` is true while a search has not fetched all of its hits.
   */
  setPosition({ number, count, mayBeMore }) {
    const isKnown = number !== undefined;
    const text = isKnown ? `${formatNumber(number + 1)} of ${formatNumber(count)}${mayBeMore ? "+" : ""}` : "";
    this.dialog.querySelector(".position").textContent = text;
    setDisabled(this.buttons.previous, !isKnown || number === 0);
    setDisabled(this.buttons.next, !isKnown || (number === count - 1 && !mayBeMore));
  }

  /** Show a message in place of the photo. */
  fail(message) {
    this.#setBroken(message);
    this.#empty();
    this.slideshow.shown();
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #close() {
    this.shown = undefined;
    this.fetching.abort();
    this.slideshow.stop();
    this.fullScreen.leave();
    this.#empty();
    this.picture.clear();
    this.actions.closed();
  }

  #empty() {
    this.fitted = undefined; // the photo that the zoom is set up for
    this.zoom.clear();
    this.picture.empty();
  }

  #setBroken(message) {
    const broken = this.dialog.querySelector(".broken");
    broken.textContent = message;
    broken.hidden = !message;
    this.dialog.querySelector(".frame").hidden = Boolean(message);
  }

  #spokenPosition({ number, count, mayBeMore }) {
    if (number === undefined) return "";
    return `photo ${formatNumber(number + 1)} of ${formatNumber(count)}${mayBeMore ? " or more" : ""}`;
  }

  /** Fit a picture that has loaded into the frame: the small thumbnail, the large one or the original. */
  #arrived(image, isLarge) {
    const shape = image.naturalWidth / image.naturalHeight; // differs from the photo's if the file is truncated
    if (this.fitted !== this.shown) this.zoom.show({ width: this.shown.width, height: this.shown.width / shape });
    this.fitted = this.shown;
    if (!isLarge) return;
    this.actions.arrived();
    this.slideshow.shown();
  }

  async #failWithReason(address) {
    const hit = this.shown;
    const why = await reason(address);
    if (this.shown !== hit) return;
    this.fail(why);
    this.actions.arrived();
  }

  #showActions({ id, path }) {
    const link = (text, attributes) => Object.assign(document.createElement("a"), { textContent: text, ...attributes });
    this.dialog.querySelector(".actions").replaceChildren(
      link("Download", { href: downloadAddress(id), download: fileName(path), className: "download" }),
      link("Original", { href: imageAddress(id), target: "_blank", rel: "noopener" }),
      smallButton("Show in the timeline", () => this.actions.showInTimeline(id)),
      smallButton("Find similar", () => this.actions.go({ like: String(id) }, true)),
      smallButton("More of this", () => this.actions.go({ like: String(id) })),
      smallButton("Less of this", () => this.actions.go({ unlike: String(id) })),
    );
  }

  async #showDetails(hit) {
    this.fetching.abort();
    this.fetching = new AbortController();
    const { signal } = this.fetching;
    const show = (known) => {
      const addExposure = showFacts(this.list, known, (parts) => this.actions.go(parts));
      if (this.dialog.open) this.#keepFocus();
      return addExposure;
    };
    let showExposure = show(hit);
    const exposed = exposure(hit.id, signal).catch(() => ({})); // if the file is missing, the picture shows that
    try {
      const whole = await photo(hit.id, signal);
      if (this.shown !== hit) return;
      this.format = whole.format;
      showExposure = show({ ...whole, ...hit });
      this.#refine();
    } catch (error) {
      if (error.name === "AbortError" || this.shown !== hit) return;
      addFact(this.list, "Problem", error.message);
    }
    const found = await exposed;
    if (this.shown === hit) showExposure(found);
  }

  #zoomed() {
    setDisabled(this.buttons.shrink, !this.zoom.isZoomed);
    setDisabled(this.buttons.grow, !this.zoom.canGrow);
    this.#refine();
  }

  #refine() {
    if (this.zoom.isZoomed) this.picture.refine(this.zoom.width, this.format);
  }

  #zoomByHand(act) {
    this.slideshow.stop();
    act();
  }

  #step(by) {
    this.slideshow.stop();
    const button = by < 0 ? this.buttons.previous : this.buttons.next;
    if (!isDisabled(button)) this.actions.step(by);
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow) {
      const [x, y] = arrow;
      if (this.zoom.isZoomed) this.#zoomByHand(() => this.zoom.pan({ x: -x * PAN_PX, y: -y * PAN_PX }, false));
      else if (x) this.#step(x);
      else return; // these keys scroll the facts
    } else if (event.key === "+" || event.key === "=") this.#zoomByHand(() => this.zoom.grow());
    else if (event.key === "-") this.#zoomByHand(() => this.zoom.shrink());
    else if (event.key === "0") this.#zoomByHand(() => this.zoom.reset());
    else if (event.key === "i") this.info.toggle();
    else if (event.key === "s") this.slideshow.toggle();
    else if (event.key === "F") this.fullScreen.toggle();
    else return;
    event.preventDefault();
  }

  #listenToGestures(room) {
    room.addEventListener("wheel", (event) => {
      event.preventDefault();
      // A pinch on a touchpad arrives as wheel events with Ctrl, in small steps.
      const way = event.deltaY * (event.deltaMode ? 16 : 1) * (event.ctrlKey ? 5 : 1);
      this.#zoomByHand(() => this.zoom.zoomBy(Math.exp(-way / 500), { x: event.clientX, y: event.clientY }, true));
    }, { passive: false });
    new Gestures(room, {
      pinched: (factor, middle, move) => this.#zoomByHand(() => {
        this.zoom.pan(move);
        this.zoom.zoomBy(factor, middle, true);
      }),
      tappedTwice: (at) => this.#zoomByHand(() => this.zoom.toggle(at)),
      dragged: (move, { x, y }, isTouch) => {
        if (this.zoom.isZoomed) this.#zoomByHand(() => this.zoom.pan(move));
        else if (isTouch) this.zoom.follow(isSideways(x, y) ? { x, y: 0 } : { x: 0, y: Math.max(0, y) });
      },
      released: ({ x, y }, isTouch) => {
        if (this.zoom.isZoomed || !isTouch) return;
        this.zoom.follow({ x: 0, y: 0 });
        if (!isSideways(x, y)) {
          if (y > SWIPE_PX) this.close();
        } else if (Math.abs(x) > SWIPE_PX) this.#step(x < 0 ? 1 : -1);
      },
    });
  }
}

function isSideways(x, y) {
  return Math.abs(x) > Math.abs(y);
}

/** Disable or enable a button. Unlike with the attribute `disabled`, it keeps the focus. */
function setDisabled(button, isDisabled) {
  button.setAttribute("aria-disabled", String(isDisabled));
}

function isDisabled(button) {
  return button.getAttribute("aria-disabled") === "true";
}
