// The query as the address bar holds it, under the names that the API has for its parts.

import { thumbnailAddress, uploadAddress } from "./api.js";

// [name, whether it may be given more than once, how a chip says it], from the server.
const FILTERS = JSON.parse(document.querySelector("main").dataset.filters);
const ASKING = ["plus", "minus", "like", "unlike"];
export const LISTS = [...ASKING, ...FILTERS.filter(([, isList]) => isList).map(([name]) => name)];
const SINGLES = [...FILTERS.filter(([, isList]) => !isList).map(([name]) => name), "duplicates"];
const CHIPS = new Map(FILTERS.map(([name, , chip]) => [name, chip]));

/** What the address bar asks for; empty parts are left out. */
export function current() {
  const asked = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (value) asked.append(name, value);
  }
  return asked;
}

/** Whether two queries find the same photos, in whichever order. */
export function isSameButOrder(query, other) {
  return without(query, "sort", query.get("sort")).toString() === without(other, "sort", other.get("sort")).toString();
}

/** The filters of a query alone. */
export function filtersOf(query) {
  return new URLSearchParams([...query].filter(([name]) => CHIPS.has(name)));
}

/** Whether there is anything to look for. */
export function asks(query) {
  return ["q", ...ASKING].some((name) => query.has(name));
}

/** The words that a photo is re-ranked and explained by; empty where it is looked for by pictures alone. */
export function words(query) {
  return query.get("q") ?? withoutWeight(query.get("plus") ?? "");
}

/** Every part but the words in the search box: its name, its value, and how a chip says it. */
export function parts(query) {
  const found = [];
  for (const name of [...LISTS, ...SINGLES]) {
    for (const value of query.getAll(name)) found.push({ name, value, label: label(name, value) });
  }
  return found;
}

export function without(query, name, value) {
  const left = new URLSearchParams();
  for (const [other, its] of query) {
    if (other !== name || its !== value) left.append(other, its);
  }
  return left;
}

export function withPart(query, name, value) {
  const more = without(query, name, value);
  if (LISTS.includes(name)) more.append(name, value);
  else if (value) more.set(name, value);
  else more.delete(name);
  return more;
}

/** The address of the thumbnail of a picture in the query. */
export function pictureAddress(value) {
  const id = withoutWeight(value);
  return id.length === 64 ? uploadAddress(id) : thumbnailAddress(id);
}

function withoutWeight(value) {
  return value.replace(/^(\d+\.?\d*|\.\d+):/, "");
}

function label(name, value) {
  switch (name) {
    case "plus": return `+ ${value}`;
    case "minus": return `− ${value}`;
    case "like": return "like";
    case "unlike": return "not like";
    case "duplicates": return value === "show" ? "showing duplicates" : "grouping duplicates";
    default: return CHIPS.get(name).replace("{}", value);
  }
}
