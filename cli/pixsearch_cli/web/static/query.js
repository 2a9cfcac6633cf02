// The query in the address bar. Its parameters have the same names as in the API.

import { thumbnailAddress, uploadAddress } from "./api.js";

// [name, whether it is repeatable, the text of its chip], from the server.
const FILTERS = JSON.parse(document.querySelector("main").dataset.filters);
const ASKING = ["plus", "minus", "like", "unlike"];
export const LISTS = [...ASKING, ...FILTERS.filter(([, isList]) => isList).map(([name]) => name)];
const SINGLES = [...FILTERS.filter(([, isList]) => !isList).map(([name]) => name), "duplicates"];
const CHIPS = new Map(FILTERS.map(([name, , chip]) => [name, chip]));

/** Return the query in the address bar, without empty parts. */
export function current() {
  const asked = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (value) asked.append(name, value);
  }
  return asked;
}

/** Return whether two queries differ at most in the order of the photos. */
export function isSameButOrder(query, other) {
  return without(query, "sort", query.get("sort")).toString() === without(other, "sort", other.get("sort")).toString();
}

/** Return only the filters of a query. */
export function filtersOf(query) {
  return new URLSearchParams([...query].filter(([name]) => CHIPS.has(name)));
}

/** Return whether a query contains anything to search for, besides filters. */
export function asks(query) {
  return ["q", ...ASKING].some((name) => query.has(name));
}

/** Return the words that photos are re-ranked and explained with; empty for a query with only pictures. */
export function words(query) {
  return query.get("q") ?? withoutWeight(query.get("plus") ?? "");
}

/** Return all parts but the words in the search box, each with its name, its value and the text of its chip. */
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

/** Return the URL of the thumbnail of a picture in the query. */
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
