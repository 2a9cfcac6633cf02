// The query as the address bar holds it, under the names that the API has for its parts.

const LISTS = ["plus", "minus", "like", "unlike", "folder", "keyword"];
const SINGLES = ["name", "after", "before", "camera", "orientation", "min_megapixels", "max_megapixels", "has_place", "near", "duplicates"];
const ASKING = ["q", "plus", "minus", "like", "unlike"];

/** What the address bar asks for; empty parts are left out. */
export function current() {
  const asked = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (value) asked.append(name, value);
  }
  return asked;
}

/** Whether there is anything to look for. */
export function asks(query) {
  return ASKING.some((name) => query.has(name));
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
  return id.length === 64 ? `/api/uploads/${id}` : `/api/photos/${id}/thumbnail`;
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
    case "folder": return `in ${value}`;
    case "after": return `from ${value}`;
    case "before": return `before ${value}`;
    case "has_place": return "says where";
    case "duplicates": return value === "show" ? "duplicates too" : "duplicates folded";
    case "min_megapixels": return `from ${value} megapixels`;
    case "max_megapixels": return `up to ${value} megapixels`;
    default: return `${name} ${value}`;
  }
}
