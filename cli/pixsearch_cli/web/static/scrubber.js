// The years beside the timeline, where one jumps to, and the month that is in sight.

const APART = 26; // pixels between two years that are shown

export class Scrubber {
  /** `jump` is called with a height of the layout. */
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

  /** Keep room for the years, or none. */
  setShown(isShown) {
    this.element.hidden = !isShown;
  }

  /** Show the years of a layout, if there is room kept for them. */
  show(layout) {
    this.layout = layout;
    if (this.element.hidden) return;
    const room = this.element.clientHeight - APART;
    let last = -APART;
    const entries = [];
    const seen = new Set();
    for (const { key, y } of layout.months) {
      const year = key === "undated" ? "No date" : key.slice(0, 4);
      if (seen.has(year)) continue;
      seen.add(year);
      const top = (y / layout.height) * room;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = year === "No date" ? "None" : year;
      button.setAttribute("aria-label", year);
      button.addEventListener("click", () => this.jump(y));
      const entry = document.createElement("li");
      entry.style.top = `${top}px`;
      entry.hidden = top - last < APART;
      if (!entry.hidden) last = top;
      entry.append(button);
      entries.push(entry);
    }
    this.years.replaceChildren(...entries);
  }

  /** Mark the month at a height of the layout. */
  markAt(y) {
    if (this.element.hidden) return;
    this.mark.textContent = this.layout.monthAt(y)?.text ?? "";
    const share = Math.min(1, Math.max(0, y / this.layout.height));
    this.mark.style.transform = `translateY(${share * (this.element.clientHeight - APART)}px)`;
  }

  #jumpTo(clientY) {
    const { top, height } = this.element.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (clientY - top) / (height - APART)));
    this.jump(share * this.layout.height);
  }
}
