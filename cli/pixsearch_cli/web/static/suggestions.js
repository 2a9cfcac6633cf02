// The suggestions below the search box: recent searches, and values in the library that begin like the typed words.
// Recent searches are only stored in this browser.

import { values } from "./api.js";
import { parts, withPart, words } from "./query.js";
import { formatNumber } from "./numbers.js";

const SHOWN = 8;
const OF_A_KIND = 3;
const LONGEST = 3; // the number of typed words that may be the beginning of one value
const RECENT_KEY = "pixsearch-recent";
const RECENT = 8;

/** A combobox (WAI-ARIA) made of a search box and a list. */
export class Suggestions {
  /** `go` is called with the chosen query. */
  constructor(box, list, go) {
    this.box = box;
    this.list = list;
    this.go = go;
    this.chosen = -1;
    this.values = undefined;
    this.typed = 0; // the number of changes, to drop suggestions for an earlier text
    box.addEventListener("focus", () => (this.values = undefined)); // the library may have changed
    box.addEventListener("input", () => this.#suggest());
    box.addEventListener("click", () => this.#suggest());
    box.addEventListener("keydown", (event) => this.#walk(event));
    box.addEventListener("blur", () => this.close());
    list.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose([...this.list.children].indexOf(option));
    });
  }

  get isOpen() {
    return !this.list.hidden;
  }

  close() {
    this.typed += 1;
    this.list.hidden = true;
    this.chosen = -1;
    this.box.setAttribute("aria-expanded", "false");
    this.box.removeAttribute("aria-activedescendant");
  }

  async #suggest() {
    const text = this.box.value;
    this.typed += 1;
    const { typed } = this;
    if (text.trim()) this.values ??= await values().catch(() => undefined);
    if (this.typed !== typed || document.activeElement !== this.box) return;
    this.#show([...recentBeginning(text), ...(text.trim() ? beginning(text, this.values ?? {}) : [])].slice(0, SHOWN));
  }

  #show(suggestions) {
    this.suggestions = suggestions;
    this.chosen = -1;
    this.box.removeAttribute("aria-activedescendant");
    this.list.replaceChildren(...suggestions.map(optionOf));
    this.list.hidden = !suggestions.length;
    this.box.setAttribute("aria-expanded", String(this.isOpen));
  }

  #walk(event) {
    if (!this.isOpen) return;
    const count = this.suggestions.length;
    if (event.key === "ArrowDown") this.#mark((this.chosen + 2) % (count + 1) - 1);
    else if (event.key === "ArrowUp") this.#mark((this.chosen + count + 1) % (count + 1) - 1);
    else if (event.key === "Enter" && this.chosen >= 0) this.#choose(this.chosen);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #mark(number) {
    this.chosen = number;
    [...this.list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === number)));
    if (number < 0) this.box.removeAttribute("aria-activedescendant");
    else this.box.setAttribute("aria-activedescendant", this.list.children[number].id);
  }

  #choose(number) {
    const { act } = this.suggestions[number];
    this.close();
    if (act) {
      act();
      this.#suggest();
    } else this.go(this.suggestions[number].query);
  }
}

/** Remember a query that was searched for. */
export function remember(query) {
  const text = query.toString();
  keep([text, ...recent().filter((other) => other !== text)].slice(0, RECENT));
}

function recent() {
  try {
    const kept = JSON.parse(localStorage.getItem(RECENT_KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string") : [];
  } catch {
    return []; // the browser does not permit storage, or a different page wrote the value
  }
}

function keep(searches) {
  try {
    localStorage.setItem(RECENT_KEY, JSON.stringify(searches));
  } catch {
    // Recent searches are not kept.
  }
}

function recentBeginning(text) {
  const wanted = folded(text.trim());
  const found = recent()
    .map((kept) => new URLSearchParams(kept))
    .map((query) => ({ kind: "recent", text: described(query), query }))
    .filter((one) => one.text && folded(one.text).startsWith(wanted) && one.text !== text)
    .slice(0, wanted ? OF_A_KIND : SHOWN - 1);
  if (found.length && !wanted) found.push({ kind: "", text: "Clear recent searches", act: () => keep([]) });
  return found;
}

function described(query) {
  return [words(query), ...parts(query).map(({ label }) => label)].filter(Boolean).join(" · ");
}

/** Return the values in the library that begin with the last words of a text, trying as many words as possible first. */
function beginning(text, valuesOfKinds) {
  const given = text.trim().split(/\s+/);
  for (let length = Math.min(LONGEST, given.length); length > 0; length -= 1) {
    const rest = given.slice(0, -length).join(" ");
    const wanted = plain(given.slice(-length).join(" "));
    if (!wanted) continue;
    const found = Object.entries(valuesOfKinds).flatMap(([kind, ofKind]) =>
      ofKind.filter((one) => beginsAWord(shownOf(kind, one.value), wanted)).slice(0, OF_A_KIND).map((one) => ({ kind, ...one })),
    );
    if (!found.length) continue;
    found.sort((one, other) => other.count - one.count);
    return found.map(({ kind, value, count }) => ({ kind, count, text: shownOf(kind, value), query: queryOf(kind, value, rest) }));
  }
  return [];
}

function queryOf(kind, value, rest) {
  let query = withPart(new URLSearchParams(location.search), "q", rest);
  if (kind === "year") {
    query = withPart(query, "after", value);
    return value === "9999" ? query : withPart(query, "before", String(Number(value) + 1).padStart(4, "0"));
  }
  return withPart(query, kind, value);
}

function shownOf(kind, value) {
  return kind === "folder" ? value.split("/").pop() || value : value;
}

function beginsAWord(value, wanted) {
  return ` ${plain(value)}`.includes(` ${wanted}`);
}

/** Return the words of a text, without case, accents and punctuation. */
function plain(text) {
  return folded(text).replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

/** Return a text without case and accents. */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}+/gu, "").toLowerCase();
}

function optionOf({ kind, text, count }, number) {
  const option = document.createElement("li");
  option.id = `suggestion-${number}`;
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  const value = document.createElement("span");
  value.className = "chip";
  value.textContent = text;
  const about = document.createElement("span");
  about.className = "about";
  about.textContent = count ? `${kind} · ${formatNumber(count)}` : kind;
  option.append(value, about);
  return option;
}
