// One photo, large: what is known of it, and where in it each word of the query is looked for.

import { imageAddress, photo, reason, thumbnailAddress } from "./api.js";
import { percent, spoken } from "./grid.js";
import { smallButton } from "./small_button.js";
import { Why } from "./why.js";

export class Viewer {
  /** `actions.go(query parts)` searches on, `actions.step(-1 or 1)` goes to another photo, `actions.closed()` is told. */
  constructor(dialog, actions) {
    this.dialog = dialog;
    this.actions = actions;
    this.image = dialog.querySelector("img");
    this.canvas = dialog.querySelector("canvas");
    this.why = new Why(dialog.querySelector(".why"), this.canvas);
    this.shown = undefined;
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.querySelector(".previous").addEventListener("click", () => actions.step(-1));
    dialog.querySelector(".next").addEventListener("click", () => actions.step(1));
    dialog.addEventListener("close", () => {
      this.shown = undefined;
      this.image.removeAttribute("src");
      actions.closed();
    });
    dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) actions.step(step);
    });
    this.image.addEventListener("error", () => this.#tellBroken());
    addEventListener("resize", () => this.#fit());
  }

  /** Show a hit, or a photo of the timeline, of which the rest is asked for. */
  show(hit, words) {
    this.shown = hit;
    this.dialog.querySelector("h2").textContent = hit.path.split("/").pop();
    this.dialog.querySelector(".broken").hidden = true;
    this.image.hidden = false;
    this.canvas.hidden = true;
    this.image.alt = spoken(hit);
    this.image.src = thumbnailAddress(hit.id, "large");
    this.#tellActions(hit);
    this.#tellDetails(hit);
    if (!this.dialog.open) this.dialog.showModal();
    this.#fit();
    this.why.show(hit.id, words);
  }

  /** Say what is wrong in place of the photo. */
  fail(message) {
    this.image.hidden = true;
    this.canvas.hidden = true;
    const broken = this.dialog.querySelector(".broken");
    broken.textContent = message;
    broken.hidden = false;
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  /** The picture as large as there is room; before it has arrived, too. */
  #fit() {
    if (!this.shown) return;
    const room = this.dialog.querySelector(".picture");
    const shape = this.shown.width / this.shown.height;
    const width = Math.min(room.clientWidth - 16, (room.clientHeight - 16) * shape);
    this.image.style.width = `${width}px`;
    this.image.style.height = `${width / shape}px`;
  }

  async #tellBroken() {
    const hit = this.shown;
    if (!hit) return;
    const why = await reason(this.image.src);
    if (this.shown === hit) this.fail(why);
  }

  async #tellDetails(hit) {
    const list = this.dialog.querySelector("dl");
    if (hit.keywords) {
      this.#tellFacts(list, { similar: [], ...hit });
      return;
    }
    list.replaceChildren();
    try {
      const whole = await photo(hit.id);
      if (this.shown === hit) this.#tellFacts(list, { ...whole, similar: [] });
    } catch (error) {
      if (this.shown === hit) list.textContent = error.message;
    }
  }

  #tellFacts(list, hit) {
    const fact = (name, ...values) => {
      const term = document.createElement("dt");
      term.textContent = name;
      const value = document.createElement("dd");
      value.append(...values);
      list.append(term, value);
    };
    list.replaceChildren();
    if (hit.score != null) fact("Match", `${hit.certainty} · rank ${hit.rank} (${percent(hit.score)})`);
    else if (hit.match != null) fact("Match", `rank ${hit.rank} (${hit.match.toFixed(2)})`);
    if (hit.similarity != null) fact("Similarity", `${hit.similarity.toFixed(3)} · rank ${hit.similarity_rank}`);
    if (hit.says?.length) {
      if (hit.probability != null) fact("Shows it", percent(hit.probability));
      fact("Says", hit.says.map((one) => `"${one.word}" (${one.source})`).join(", "));
    }
    if (hit.title) fact("Title", hit.title);
    if (hit.caption) fact("Caption", hit.caption);
    if (hit.taken_at) fact("Taken", hit.taken_at.slice(0, 16).replace("T", " "));
    if (hit.camera) {
      fact("Camera", `${hit.camera} `, smallButton("Show only these", () => this.actions.go({ camera: hit.camera })));
    }
    if (hit.latitude !== null && hit.longitude !== null) {
      const place = document.createElement("a");
      place.href = `geo:${hit.latitude},${hit.longitude}`;
      place.textContent = `${degrees(hit.latitude, "N", "S")} ${degrees(hit.longitude, "E", "W")}`;
      fact("Place", ...(hit.place ? [`${hit.place}, `] : []), place);
    }
    if (hit.location) fact("Location", hit.location);
    if (hit.people.length) fact("People", hit.people.join(", "));
    fact("Size", `${hit.width} × ${hit.height}`);
    if (hit.keywords.length) {
      fact("Keywords", ...hit.keywords.flatMap((word) => [smallButton(word, () => this.actions.go({ keyword: word })), " "]));
    }
    if (hit.writing?.length) {
      const lines = document.createElement("span");
      lines.className = "writing";
      lines.textContent = hit.writing.join("\n");
      fact("Text in it", lines);
    }
    const folder = hit.path.slice(0, hit.path.lastIndexOf("/")) || "/";
    fact("Folder", `${folder} `, smallButton("Show only these", () => this.actions.go({ folder })));
    fact("Path", code(hit.path), " ", copyButton("Copy path", hit.path), " ", copyButton("Copy file link", fileAddress(hit.path)));
    if (hit.copies.length) fact("Copies", ...hit.copies.flatMap((path) => [code(path), " "]));
    if (hit.similar.length) fact("Similar photos", ...hit.similar.flatMap((path) => [code(path), " "]));
  }

  #tellActions(hit) {
    const id = String(hit.id);
    const original = document.createElement("a");
    original.href = imageAddress(id);
    original.target = "_blank";
    original.rel = "noopener";
    original.textContent = "Original";
    this.dialog.querySelector(".actions").replaceChildren(
      smallButton("Find similar", () => this.actions.go({ like: id }, true)),
      smallButton("More of this", () => this.actions.go({ like: id })),
      smallButton("Less of this", () => this.actions.go({ unlike: id })),
      original,
    );
  }
}

function copyButton(text, value) {
  const button = smallButton(text, async () => {
    try {
      await navigator.clipboard.writeText(value);
      button.textContent = "Copied";
    } catch {
      prompt("Copy from here:", value); // over plain HTTP a browser has no clipboard for pages
    }
  });
  return button;
}

function code(text) {
  const element = document.createElement("code");
  element.textContent = text;
  return element;
}

function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
}

/** As a file manager takes it. Bytes that are no text come from the server as lone surrogates (PEP 383). */
export function fileAddress(path) {
  if (path.includes("://")) return path;
  return "file://" + Array.from(path, (char) => {
    const unit = char.codePointAt(0);
    if (unit >= 0xdc80 && unit <= 0xdcff) return `%${(unit - 0xdc00).toString(16).toUpperCase()}`;
    return char === "/" ? char : encodeURIComponent(char);
  }).join("");
}
