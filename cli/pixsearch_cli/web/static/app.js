// The page: what the address bar asks for is shown. What can be seen never moves by itself.

import { ROOT, photo, search, searchByPicture } from "./api.js";
import { Grid, keyOf } from "./grid.js";
import { LISTS, asks, current, parts, pictureAddress, without, withPart, words } from "./query.js";
import { Viewer } from "./viewer.js";

const FIRST = 60;
const LOOKED_AT = 32;
const PATIENCE_MS = 300; // before photos are shown in the order of their similarity

const main = document.querySelector("main");
const MOST = Number(main.dataset.mostHits);

const box = document.getElementById("q");
const message = document.getElementById("message");
const better = document.getElementById("better");
const narrowing = document.getElementById("narrowing");
const fileInput = document.getElementById("file");
const grid = new Grid(document.getElementById("results"), document.getElementById("less-likely"), openNumber, loadMore);
const viewer = new Viewer(document.getElementById("viewer"), { go: goFromPhoto, step, closed });

let asking = new AbortController();
let shownQuery;
let more;
let goingOn = false;
let viewed = 0;

// Asking

/** Show what the address bar asks for. `known` is a first answer that is there already. */
async function run(known) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const query = current();
  shownQuery = query.toString();
  more = undefined;
  tellQuery(query);
  document.getElementById("hint").hidden = asks(query);
  if (!asks(query)) {
    grid.show([]);
    tell(parts(query).length ? "Say what to look for." : "");
    return;
  }
  grid.list.ariaBusy = "true";
  better.hidden = true;
  performance.mark("asked");
  tell("Looking…");
  try {
    const looks = words(query) || query.has("minus");
    const careful = looks ? search(query, { k: LOOKED_AT }, signal) : undefined;
    let first = known;
    let isShown = false;
    if (!careful || !(await isThereWithin(careful, PATIENCE_MS))) {
      first ??= await search(query, { k: FIRST, rerank: false }, signal);
      signal.throwIfAborted();
      isShown = !careful || !(await isThereWithin(careful, 0));
      if (isShown) {
        show(first.hits);
        measure("first answer");
      }
    }
    const answer = careful ? await careful : first;
    signal.throwIfAborted();
    const hits = careful && first ? merged(answer.hits, first.hits) : answer.hits;
    const tellAll = () => {
      tellFound(hits, answer.damaged);
      tellRemarks(answer);
      tellNear(answer.near);
    };
    if (isShown && careful) showBelow(hits, tellAll);
    else {
      show(hits);
      tellAll();
    }
    measure("full answer");
    grid.list.ariaBusy = "false";
    const shown = first ?? answer;
    more = shown.hits.length >= (first ? FIRST : LOOKED_AT) ? { query, signal } : undefined;
    openFromHash();
  } catch (error) {
    if (error.name === "AbortError") return;
    grid.show([]);
    grid.list.ariaBusy = "false";
    tell(error.message, true);
  }
}

/** Whether a request is answered, or has failed, within so many milliseconds. */
async function isThereWithin(request, milliseconds) {
  const late = Symbol("late");
  const waited = new Promise((resolve) => setTimeout(resolve, milliseconds, late));
  return (await Promise.race([request.catch(() => undefined), waited])) !== late;
}

/** Let a better order apply to what is not in sight; a button shows all of it. */
function showBelow(hits, tellAll) {
  const seen = grid.hits.slice(0, grid.countToEndOfSight());
  const known = new Set(seen.map(keyOf));
  if (seen.every((hit, number) => hits[number] && keyOf(hit) === keyOf(hits[number]))) {
    show(hits, seen.length);
    tellAll();
    return;
  }
  show([...seen, ...hits.filter((hit) => !known.has(keyOf(hit)))], seen.length);
  tell("These photos were found first.");
  better.hidden = false;
  better.onclick = () => {
    better.hidden = true;
    scrollTo({ top: 0, behavior: "instant" });
    show(hits);
    tellAll();
    grid.focus(0);
  };
}

/** The re-ranked photos, then those that were not looked at closely. */
function merged(best, others) {
  const known = new Set(best.map(keyOf));
  return [...best, ...others.filter((hit) => !known.has(keyOf(hit)))];
}

async function loadMore() {
  if (!more) return;
  const { query, signal } = more;
  more = undefined;
  try {
    const all = await search(query, { k: MOST, rerank: false }, signal);
    signal.throwIfAborted();
    show(merged(grid.hits, all.hits), grid.steady);
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, true);
  }
}

function go(query, known) {
  const address = query.toString();
  history.pushState(null, "", address ? `${ROOT}?${address}` : ROOT);
  scrollTo({ top: 0, behavior: "instant" });
  run(known);
}

async function goByPicture(file) {
  tell("Looking…");
  try {
    const answer = await searchByPicture(file, { k: FIRST });
    if (answer.uploads.length) go(new URLSearchParams({ like: answer.uploads[0] }), answer);
    else tell("There are no photos in this library yet.", true);
  } catch (error) {
    tell(error.message, true);
  }
}

function measure(name) {
  performance.measure(name, "asked");
}

// Showing

function show(hits, steady = 0) {
  grid.show(hits, steady);
  suggest("cameras", hits.map((hit) => hit.camera));
  suggest("keywords", hits.flatMap((hit) => hit.keywords));
}

function tell(text, plain = false) {
  message.textContent = text;
  message.classList.toggle("plain", plain);
}

function tellFound(hits, damaged) {
  const leftOut = damaged ? ` Left out: ${damaged} damaged of the library. Run pixsearch repair.` : "";
  if (!hits.length) tell(`Nothing in this library matches.${leftOut}`, true);
  else if (hits[0].likely === false) tell(`No photo here is likely to show it.${leftOut}`, true);
  else tell(`The best matches first.${leftOut}`, Boolean(damaged));
}

function tellRemarks({ unknown_words, suggestions, language, negations }) {
  for (const { text, asked, less } of negations) {
    const left = new Intl.ListFormat("en").format(less.map((words) => `“${words}”`));
    const way = less.length ? `as ${asked ? `“${asked}”` : "the rest"} less ${left}` : "as it stands";
    message.textContent += ` “${text}” is asked ${way}.`;
  }
  if (language) {
    message.textContent += ` The query looks like ${language}; this model was taught English.`;
  } else if (unknown_words.length) {
    const named = unknown_words.map((word) =>
      word in suggestions ? `“${word}” (did you mean “${suggestions[word]}”?)` : `“${word}”`,
    );
    const listed = new Intl.ListFormat("en", { type: "disjunction" }).format(named);
    message.textContent += ` The model was never taught ${listed}.`;
  }
}

function tellNear(town) {
  if (town) message.textContent += ` Near ${town}.`;
}

function tellQuery(query) {
  box.value = query.get("q") ?? "";
  document.title = box.value ? `${box.value} - pixsearch` : "pixsearch";
  document.getElementById("chips").replaceChildren(...parts(query).map((part) => chip(query, part)));
  for (const element of singles()) {
    if (element.type === "checkbox") element.checked = query.get(element.name) === element.value;
    else element.value = query.get(element.name) ?? "";
  }
}

function chip(query, { name, value, label }) {
  const item = document.createElement("li");
  item.append(label);
  if (name === "like" || name === "unlike") {
    const picture = document.createElement("img");
    picture.alt = "a picture";
    picture.src = pictureAddress(value);
    item.append(picture);
  }
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "×";
  remove.setAttribute("aria-label", `Remove ${label}`);
  remove.addEventListener("click", () => {
    go(without(current(), name, value));
    box.focus();
  });
  item.append(remove);
  return item;
}

function suggest(id, values) {
  const options = [...new Set(values.filter(Boolean))].sort().slice(0, 50).map((value) => {
    const option = document.createElement("option");
    option.value = value;
    return option;
  });
  document.getElementById(id).replaceChildren(...options);
}

// One photo, which the address bar names behind a #

function openNumber(number) {
  const hash = `#photo-${grid.hits[number].id}`;
  history.pushState({ opened: true }, "", location.pathname + location.search + hash);
  viewed = number;
  viewer.show(grid.hits[number], words(current()));
}

async function openFromHash() {
  const id = Number(location.hash.match(/^#photo-(\d+)$/)?.[1]);
  if (!id) {
    viewer.close();
    return;
  }
  if (viewer.shown?.id === id) return;
  const number = grid.hits.findIndex((hit) => hit.id === id);
  viewed = Math.max(number, 0);
  try {
    viewer.show(grid.hits[number] ?? { similar: [], ...(await photo(id)) }, words(current()));
  } catch (error) {
    tell(error.message, true);
  }
}

function step(by) {
  const number = viewed + by;
  if (!grid.hits[number]) return;
  viewed = number;
  history.replaceState(history.state, "", location.pathname + location.search + `#photo-${grid.hits[number].id}`);
  viewer.show(grid.hits[number], words(current()));
}

function closed() {
  if (location.hash) {
    if (history.state?.opened) history.back();
    else history.replaceState(null, "", location.pathname + location.search);
  }
  if (!goingOn) grid.focus(viewed);
  goingOn = false;
}

function goFromPhoto(added, alone = false) {
  let query = alone ? new URLSearchParams() : current();
  for (const [name, value] of Object.entries(added)) query = withPart(query, name, value);
  if (history.state?.opened) history.replaceState(null, "", `${ROOT}?${query}`); // the photo's own entry
  else history.pushState(null, "", `${ROOT}?${query}`);
  goingOn = true;
  viewer.close();
  scrollTo({ top: 0, behavior: "instant" });
  run();
}

// What the user does

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  go(withPart(current(), "q", box.value.trim()));
});

const narrowButton = document.getElementById("narrow");
narrowButton.addEventListener("click", () => {
  setNarrowing(narrowing.hidden);
  if (!narrowing.hidden) narrowing.elements.plus.focus();
});

/** The fields of the form whose parts of the query may be given once. */
function singles() {
  return [...narrowing.elements].filter(({ name }) => name && !LISTS.includes(name));
}

function setNarrowing(open) {
  narrowing.hidden = !open;
  narrowButton.setAttribute("aria-expanded", String(open));
}

narrowing.addEventListener("submit", (event) => {
  event.preventDefault();
  let query = current();
  const given = new FormData(narrowing);
  for (const element of [...narrowing.elements].filter(({ name }) => LISTS.includes(name))) {
    const value = element.value.trim();
    if (value) query = withPart(query, element.name, value);
    element.value = "";
  }
  for (const { name } of singles()) query = withPart(query, name, (given.get(name) ?? "").trim());
  setNarrowing(false);
  narrowButton.focus();
  go(query);
});

document.getElementById("by-picture").addEventListener("click", () => fileInput.click());
fileInput.addEventListener("change", () => {
  if (fileInput.files.length) goByPicture(fileInput.files[0]);
  fileInput.value = "";
});

const dropSign = document.getElementById("drop");
addEventListener("dragover", (event) => {
  event.preventDefault();
  dropSign.hidden = !event.dataTransfer.types.includes("Files");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) dropSign.hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  dropSign.hidden = true;
  if (event.dataTransfer.files.length) goByPicture(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) {
    event.preventDefault();
    goByPicture(event.clipboardData.files[0]);
  }
});

addEventListener("keydown", (event) => {
  if (viewer.dialog.open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !event.target.closest("input, select")) {
    event.preventDefault();
    box.focus();
    box.select();
  } else if (event.key === "ArrowDown" && event.target === box) {
    event.preventDefault();
    grid.focus(0);
  }
});

addEventListener("popstate", () => {
  if (current().toString() !== shownQuery) run();
  else openFromHash();
});

run();
