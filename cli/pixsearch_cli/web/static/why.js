// Shows where in a photo each word of the query is found, with a button for each word and a canvas over the photo.

import { explain } from "./api.js";
import { smallButton } from "./small_button.js";

const DARKEST = 0.78;

export class Why {
  /** `section` contains the buttons, and `canvas` covers the photo. */
  constructor(section, canvas) {
    this.section = section;
    this.canvas = canvas;
    this.wanted = undefined;
  }

  /** Show the buttons for a photo and the words of the query, which may be empty. */
  async show(id, words) {
    const group = this.section.querySelector("div");
    const wanted = (this.wanted = {});
    group.replaceChildren();
    this.canvas.hidden = true;
    this.section.hidden = !words;
    if (!words) return;
    group.textContent = "Searching…";
    let why;
    try {
      why = await explain(id, words);
    } catch (error) {
      if (this.wanted === wanted) group.textContent = error.message;
      return;
    }
    if (this.wanted !== wanted) return;
    this.section.hidden = why.words.length === 0;
    group.replaceChildren(
      ...why.words.map((word, index) => {
        const button = smallButton(word, () => {
          const on = button.getAttribute("aria-pressed") !== "true";
          for (const other of group.children) other.setAttribute("aria-pressed", "false");
          button.setAttribute("aria-pressed", String(on));
          this.canvas.hidden = !on;
          if (on) light(this.canvas, why.regions[index]);
        });
        button.setAttribute("aria-pressed", "false");
        return button;
      }),
    );
  }
}

/** Darken the photo except for a region, given as rows of values from 0 (dark) to 1. The browser smooths them. */
function light(canvas, rows) {
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const pixels = new ImageData(canvas.width, canvas.height);
  rows.flat().forEach((lit, cell) => {
    pixels.data[4 * cell + 3] = 255 * DARKEST * (1 - lit);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
