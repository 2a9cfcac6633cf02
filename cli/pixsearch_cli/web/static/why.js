// Where in a photo each word of the query is looked for: a button for each word, and a canvas over the photo.

import { explain } from "./api.js";
import { smallButton } from "./small_button.js";

const DARKEST = 0.78;

export class Why {
  /** `section` holds the buttons, `canvas` lies over the photo. */
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
    group.replaceChildren(
      ...why.words.map((word, place) => {
        const button = smallButton(word, () => {
          const on = button.getAttribute("aria-pressed") !== "true";
          for (const other of group.children) other.setAttribute("aria-pressed", "false");
          button.setAttribute("aria-pressed", String(on));
          this.canvas.hidden = !on;
          if (on) drawAttention(this.canvas, why.attention[place]);
        });
        button.setAttribute("aria-pressed", "false");
        return button;
      }),
    );
  }
}

/** Dark where a word does not look, clear where it does; a cell of the grid is a pixel, which the browser smooths. */
function drawAttention(canvas, rows) {
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const all = rows.flat();
  const lowest = Math.min(...all);
  const spread = Math.max(Math.max(...all) - lowest, 1e-9);
  const pixels = new ImageData(canvas.width, canvas.height);
  all.forEach((attention, cell) => {
    pixels.data[4 * cell + 3] = 255 * DARKEST * (1 - (attention - lowest) / spread);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
