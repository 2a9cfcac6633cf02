// Gestures on a picture with fingers or the mouse: drag, pinch, double tap. Distances are in CSS pixels.

const TAP_MS = 300; // between two taps
const TAP_PX = 10; // that a finger may move during a tap
const BOTH_TAPS_PX = 40; // between two taps

export class Gestures {
  /**
   * `actions.dragged(move, total, isTouch)` is called for each move of a single pointer, with the distance since the previous move and
   * since the start, as `{ x, y }`; `actions.released(total, isTouch)` at the end, with zeros after a tap, a pinch or a cancellation.
   * `actions.pinched(factor, middle, move)` is called for two pointers, `actions.tappedTwice(point)` for a double tap or click.
   */
  constructor(element, actions) {
    this.actions = actions;
    this.pointers = new Map();
    this.lastTap = undefined;
    element.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      element.setPointerCapture(event.pointerId);
      this.#press(event);
    });
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#lift(event, false));
    element.addEventListener("pointercancel", (event) => this.#lift(event, true));
  }

  #press(event) {
    this.isPinch = this.pointers.size > 0;
    this.total = { x: 0, y: 0 };
    this.pointers.set(event.pointerId, point(event));
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const [, other] = [...this.pointers].find(([id]) => id !== event.pointerId) ?? [];
    const now = point(event);
    this.pointers.set(event.pointerId, now);
    const move = minus(now, before);
    if (other) {
      const factor = Math.max(1, distance(now, other)) / Math.max(1, distance(before, other));
      this.actions.pinched(factor, middle(now, other), minus(middle(now, other), middle(before, other)));
    } else {
      this.total = { x: this.total.x + move.x, y: this.total.y + move.y };
      this.actions.dragged(move, this.total, event.pointerType !== "mouse");
    }
  }

  #lift(event, isCancelled) {
    if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
    const isTouch = event.pointerType !== "mouse";
    const isTap = !this.isPinch && !isCancelled && Math.hypot(this.total.x, this.total.y) < TAP_PX;
    this.actions.released(this.isPinch || isCancelled || isTap ? { x: 0, y: 0 } : this.total, isTouch);
    if (!isTap) this.lastTap = undefined;
    else this.#tap(point(event), event.timeStamp);
  }

  #tap(at, time) {
    const before = this.lastTap;
    if (before && time - before.time < TAP_MS && distance(at, before.at) < BOTH_TAPS_PX) {
      this.lastTap = undefined;
      this.actions.tappedTwice(at);
    } else this.lastTap = { at, time };
  }
}

function point({ clientX, clientY }) {
  return { x: clientX, y: clientY };
}

function minus(one, other) {
  return { x: one.x - other.x, y: one.y - other.y };
}

function middle(one, other) {
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
