// The bar below the photos with the actions for selected photos.

import { ROOT, paths, zipIsFree } from "./api.js";
import { copy } from "./copying.js";
import { formatNumber, plural } from "./numbers.js";

const MOST = 100000; // photos in one request, the server's limit

export class SelectionBar {
  /** `search(name, ids)` adds pictures to the query as `like` or `unlike`; `picturesLeft(name)` returns how many may be added. */
  constructor(element, selection, { search, picturesLeft }) {
    this.element = element;
    this.selection = selection;
    this.picturesLeft = picturesLeft;
    this.spoken = document.getElementById("selected"); // screen readers ignore changes in elements that were hidden
    this.buttons = [...element.querySelectorAll("button")];
    const act = (name, work) => element.querySelector(`[data-act=${name}]`).addEventListener("click", work);
    act("download", () => this.#download());
    act("copy", () => this.#copy());
    for (const name of ["like", "unlike"]) {
      act(name, () => {
        const why = this.#whyNoSearch(name);
        if (why) this.showMessage(why);
        else search(name, [...selection.ids].map(String));
      });
    }
    act("clear", () => selection.clear());
    element.addEventListener("keydown", (event) => this.#walk(event));
    selection.grid.coveredBelow = () => (selection.size ? innerHeight - element.getBoundingClientRect().top : 0);
  }

  /** Show how many photos are selected. */
  draw() {
    const { size } = this.selection;
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = size === 0;
    document.documentElement.classList.toggle("selecting", size > 0);
    this.element.querySelector(".count").textContent = size ? `${formatNumber(size)} selected` : "";
    this.showMessage("");
    this.spoken.textContent = `${formatNumber(size)} selected`;
    for (const name of ["like", "unlike"]) {
      const why = this.#whyNoSearch(name);
      const button = this.element.querySelector(`[data-act=${name}]`);
      button.setAttribute("aria-disabled", String(Boolean(why)));
      button.title = why;
    }
    if (hadFocus && !size) this.selection.grid.focus(this.selection.grid.current);
  }

  showMessage(text) {
    this.element.querySelector(".note").textContent = text;
    this.spoken.textContent = text;
  }

  #whyNoSearch(name) {
    const left = this.picturesLeft(name);
    return this.selection.size > left ? `This search has room for ${left} more picture${left === 1 ? "" : "s"}: select fewer.` : "";
  }

  async #download() {
    const ids = [...this.selection.ids];
    if (ids.length > MOST) {
      this.showMessage(`A download can contain up to ${formatNumber(MOST)} photos: select fewer.`);
      return;
    }
    try {
      await zipIsFree();
    } catch (error) {
      this.showMessage(error.message);
      return;
    }
    const form = document.createElement("form");
    form.method = "post";
    form.action = `${ROOT}api/zip`;
    form.hidden = true;
    const field = document.createElement("input");
    field.name = "ids";
    field.value = ids.join(" ");
    form.append(field);
    document.body.append(form);
    form.submit(); // the browser saves the response to a file, and the page stays
    form.remove();
    this.showMessage("Downloading.");
  }

  async #copy() {
    const ids = [...this.selection.ids];
    this.showMessage("Fetching the paths…");
    try {
      const found = [];
      for (let at = 0; at < ids.length; at += MOST) found.push(...(await paths(ids.slice(at, at + MOST))));
      const isCopied = await copy(found.join("\n"));
      this.showMessage(isCopied ? `${plural(found.length, "path")} copied.` : "");
    } catch (error) {
      this.showMessage(error.message);
    }
  }

  /** Move the focus between the buttons with the arrow keys, as in every toolbar. */
  #walk(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const at = this.buttons.indexOf(document.activeElement);
    this.buttons[(at + step + this.buttons.length) % this.buttons.length].focus();
    event.preventDefault();
  }
}
