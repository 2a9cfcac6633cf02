// The years next to the timeline, to jump to, and a mark with the visible month.

const APART = 26; // the minimum distance in pixels between two years

export class Scrubber {
  /** `jump` is called with a vertical position in the layout. */
  constructor(element, jump) {
    this.element = element;
    this.jump = jump;
    this.years = element.querySelector("ol");
    this.mark = element.querySelector("p");
    element.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button") || event.button) return;
      element.setPointerCapture(event.pointerId);
      this.#jumpTo(event.clientY);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#jumpTo(event.clientY);
    });
  }

  /** Set whether to keep room for the years. */
  setShown(isShown) {
    this.element.hidden = !isShown;
  }

  /** Show the years of a layout, if there is room kept for them. */
  show(layout) {
    this.layout = layout;
    if (this.element.hidden) return;
    this.room = this.element.clientHeight - APART;
    const years = [];
    for (const { key, y } of layout.months) {
      const name = key === "undated" ? "No date" : key.slice(0, 4);
      if (years.at(-1)?.name !== name) years.push({ name, y });
    }
    const shown = spaced(years, layout.height, this.room);
    this.years.replaceChildren(...shown.map(({ name, y, top }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name === "No date" ? "None" : name;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", () => this.jump(y));
      const entry = document.createElement("li");
      entry.style.top = `${top}px`;
      entry.append(button);
      return entry;
    }));
  }

  /** Mark the month at a vertical position in the layout. */
  markAt(y) {
    if (this.element.hidden) return;
    this.mark.textContent = this.layout.monthAt(y)?.text ?? "";
    const share = Math.min(1, Math.max(0, y / this.layout.height));
    this.mark.style.transform = `translateY(${share * this.room}px)`;
  }

  #jumpTo(clientY) {
    const { top, height } = this.element.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (clientY - top) / (height - APART)));
    this.jump(share * this.layout.height);
  }
}

/** Return the years with their positions: close to their share of the height, but never too close to each other. Skip some if there are too many. */
function spaced(years, height, room) {
  const step = Math.ceil((years.length * APART) / (room + APART));
  const shown = years.filter((_, at) => at % step === 0 || at === years.length - 1).map((year) => ({ ...year }));
  shown.forEach((year, at) => {
    year.top = Math.max((year.y / height) * room, at ? shown[at - 1].top + APART : 0);
  });
  for (let at = shown.length - 1; at >= 0; at -= 1) {
    shown[at].top = Math.min(shown[at].top, at === shown.length - 1 ? room : shown[at + 1].top - APART);
  }
  return shown;
}
