// The page: what the address bar asks for is shown, the library by date or what a search finds.

import { ROOT, photo, search, searchByPicture, timeline, timelinePhotos } from "./api.js";
import { FilterPanel } from "./filters.js";
import { Grid } from "./grid.js";
import { say, sayCount, sayFound } from "./messages.js";
import { asks, current, filtersOf, parts, pictureAddress, without, withPart, words } from "./query.js";
import { FIRST, Hits, find, merged } from "./results.js";
import { Scrubber } from "./scrubber.js";
import { Suggestions, remember } from "./suggestions.js";
import { Timeline, countsOf } from "./timeline.js";
import { Viewer } from "./viewer.js";

const SCRUBBED = 60; // photos, from which on there are years to jump to
const RESTS_MS = 250; // before the address bar says where one is
const STAND = /^#(\d{4}-\d\d-\d\d|undated)$/;
const PHOTO = /^#photo-(\d+)$/;

const main = document.querySelector("main");
const MOST = Number(main.dataset.mostHits);
const NEWEST = Number(main.dataset.newest); // photos that are shown before it is known how many there are

const box = document.getElementById("q");
const better = document.getElementById("better");
const sort = document.getElementById("sort");
const hint = document.getElementById("hint");
const shortcuts = document.getElementById("shortcuts");
const fileInput = document.getElementById("file");
const list = document.getElementById("results");

const grid = new Grid(list, document.getElementById("headings"), {
  open: openNumber,
  laidOut: () => scrubber.show(grid.layout),
  moved,
});
const scrubber = new Scrubber(document.getElementById("scrubber"), (y) => scrollToLayout(y));
const viewer = new Viewer(document.getElementById("viewer"), { go: goFromPhoto, step, closed });
const suggestions = new Suggestions(box, document.getElementById("suggestions"), go);
const panel = new FilterPanel(document.getElementById("filter-panel"), document.getElementById("filters"), go);

let running = new AbortController();
let shownQuery;
let viewed = 0;
let isLeaving = false; // the viewer, for another search

history.scrollRestoration = "manual"; // the page has no height yet when the browser would scroll

/** Show what the address bar asks for. `known` is a first answer that is there already. */
async function run(known) {
  running.abort();
  running = new AbortController();
  const query = current();
  shownQuery = query.toString();
  fillIn(query);
  better.hidden = true;
  list.ariaBusy = "true";
  list.classList.add("stale");
  try {
    if (asks(query)) await showResults(query, running.signal, known);
    else await showTimeline(filtersOf(query), running.signal);
    scrollToWhereOneWas();
    openFromHash();
  } catch (error) {
    if (error.name === "AbortError") return;
    showGrid(new Hits([]));
    say(error.message, true);
  }
  list.ariaBusy = "false";
}

async function showResults(query, signal, known) {
  say("Searching…");
  let loadMore;
  let rest = [];
  const show = (hits, steady, answer, progress) => {
    showGrid(new Hits(merged(hits, rest), steady, () => loadMore?.()));
    sayFound(hits, answer, { order: query.get("sort"), progress, searchFor: searchForInstead });
  };
  const looks = Boolean(words(query)) || query.has("minus");
  const mayBeMore = await find(query, { looks, known, signal, grid, show, betterIsThere: offerBetter });
  if (!mayBeMore) return;
  const loadAll = async () => {
    loadMore = undefined;
    const all = await search(query, { k: MOST, rerank: false }, signal).catch(sayUnlessAborted);
    if (!all) loadMore = loadAll;
    else {
      rest = all.hits;
      showGrid(new Hits(merged(grid.source.hits, rest), grid.source.steady));
    }
  };
  loadMore = loadAll;
  grid.draw();
}

function offerBetter(showBetter) {
  better.hidden = false;
  better.onclick = () => {
    better.hidden = true;
    scrollTo({ top: 0, behavior: "instant" });
    showBetter();
    grid.focus(0);
  };
}

/** Show the photos that pass by date: the newest at once, all when it is known how many there are of each day. */
async function showTimeline(filters, signal) {
  performance.mark("asked");
  const counting = timeline(filters, signal);
  counting.catch(() => {}); // it is awaited below
  const newest = await timelinePhotos(filters, undefined, NEWEST, signal);
  signal.throwIfAborted();
  const isLong = newest.length >= SCRUBBED;
  if (!whereOneWas().y && !whereOneWas().day) {
    showGrid(timelineOf(countsOf(newest, NEWEST), newest, filters, signal), isLong);
  }
  performance.measure("newest photos", "asked");
  const answer = await counting;
  signal.throwIfAborted();
  showGrid(timelineOf(answer, newest, filters, signal), isLong);
  sayTimeline(answer, filters);
  performance.measure("timeline", "asked");
}

/** Show the timeline of a library that has changed; what is in sight stays where it is. */
async function refreshTimeline(before, filters, signal) {
  const answer = await timeline(filters, signal);
  signal.throwIfAborted();
  const inSight = grid.layout.standAt(grid.sight()[0]);
  let source = timelineOf(answer, [], filters, signal);
  // Counts and photos that disagree without a change are those of a damaged library.
  if (!source.differsFrom(before)) source = timelineOf(answer, [], filters, signal, true);
  showGrid(source, !scrubber.element.hidden);
  sayTimeline(answer, filters);
  if (inSight) scrollToLayout(grid.layout.yOfStand(inSight));
}

function timelineOf(answer, newest, filters, signal, isFinal) {
  const actions = {
    arrived: () => grid.draw(),
    changed: (before) => refreshTimeline(before, filters, signal).catch(sayUnlessAborted),
    failed: (error) => say(error.message, true),
  };
  return new Timeline(answer, newest, filters, signal, actions, isFinal);
}

function sayTimeline(answer, filters) {
  const isFiltered = filters.size > 0;
  hint.hidden = grid.source.count > 0 || isFiltered;
  if (hint.hidden) sayCount(grid.source.count, isFiltered, answer.damaged);
  else say("");
}

/** Show photos, with the years beside them where there are many. */
function showGrid(source, isLong = false) {
  hint.hidden = true;
  list.classList.remove("stale");
  scrubber.setShown(isLong);
  grid.show(source);
}

function sayUnlessAborted(error) {
  if (error.name !== "AbortError") say(error.message, true);
}

// Where one is

/** Bring a height of the layout below the header. */
function scrollToLayout(y) {
  const [top] = grid.sight();
  scrollBy({ top: y - top, behavior: "instant" });
}

function moved(top) {
  scrubber.markAt(top);
  clearTimeout(moved.resting);
  moved.resting = setTimeout(sayWhere, RESTS_MS);
}

/** Let the address bar say which day is in sight, and the history how far down the page is: for reload and back. */
function sayWhere() {
  if (viewer.dialog.open || PHOTO.test(location.hash) || list.ariaBusy === "true") return;
  const isTimeline = grid.source instanceof Timeline && scrollY > 0;
  const stand = isTimeline && grid.layout.standAt(grid.sight()[0] + 2); // browsers round where they scroll to
  const hash = stand ? `#${stand.day ?? "undated"}` : "";
  history.replaceState({ ...history.state, y: scrollY }, "", location.pathname + location.search + hash);
}

/** How far down the history says that one was, and at which day the address bar does. */
function whereOneWas() {
  return { y: history.state?.y, day: location.hash.match(STAND)?.[1] };
}

function scrollToWhereOneWas() {
  const { y, day } = whereOneWas();
  if (y !== undefined) scrollTo({ top: y, behavior: "instant" });
  else if (day && grid.source instanceof Timeline) scrollToLayout(grid.layout.yOfDay(day));
}

const header = document.querySelector("header");
new ResizeObserver(() => {
  grid.covered = header.offsetHeight;
  document.documentElement.style.setProperty("--header", `${grid.covered}px`);
  scrubber.show(grid.layout);
}).observe(header);
addEventListener("resize", () => scrubber.show(grid.layout));

// Asking

function go(query, known) {
  const address = query.toString();
  if (address !== current().toString()) history.pushState(null, "", address ? `${ROOT}?${address}` : ROOT);
  else history.replaceState(null, "", address ? `${ROOT}?${address}` : ROOT);
  if (asks(query)) remember(query);
  scrollTo({ top: 0, behavior: "instant" });
  run(known);
}

function searchForInstead(word, other) {
  const query = current();
  for (const name of ["q", "plus"]) {
    const text = query.get(name) ?? "";
    const at = text.toLowerCase().indexOf(word.toLowerCase());
    if (at >= 0) query.set(name, text.slice(0, at) + other + text.slice(at + word.length));
  }
  go(query);
}

async function goByPicture(file) {
  say("Searching…");
  try {
    const answer = await searchByPicture(file, { k: FIRST });
    if (answer.uploads.length) go(new URLSearchParams({ like: answer.uploads[0] }), answer);
    else say("There are no photos in this library yet.", true);
  } catch (error) {
    say(error.message, true);
  }
}

/** Let box, chips and fields say what the query is. */
function fillIn(query) {
  box.value = query.get("q") ?? "";
  document.title = box.value ? `${box.value} - pixsearch` : "pixsearch";
  document.getElementById("chips").replaceChildren(...parts(query).map((part) => chip(part)));
  panel.fill(query);
  sort.closest("label").hidden = !asks(query);
  sort.value = query.get("sort") ?? "relevance";
}

function chip({ name, value, label }) {
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

// One photo, which the address bar names behind a #

async function openNumber(number) {
  const item = await grid.source.load(number).catch(sayUnlessAborted);
  if (!item) return;
  history.pushState({ opened: true, y: scrollY }, "", `${location.pathname}${location.search}#photo-${item.id}`);
  viewed = number;
  viewer.show(item, words(current()));
}

async function openFromHash() {
  const id = Number(location.hash.match(PHOTO)?.[1]);
  if (!id) {
    viewer.close();
    return;
  }
  if (viewer.shown?.id === id) return;
  viewed = grid.source.numberOfId(id);
  try {
    viewer.show(grid.source.item(viewed) ?? (await photo(id)), words(current()));
    if (viewed < 0 && grid.source instanceof Timeline) viewed = await grid.source.find(id).catch(() => -1);
  } catch (error) {
    say(error.message, true);
  }
}

async function step(by) {
  const { source } = grid;
  const { shown } = viewer;
  const at = source.numberOfId(shown.id);
  const from = at < 0 ? viewed : at;
  const number = from + by;
  if (from < 0 || number < 0 || number >= source.count) return;
  const item = await source.load(number);
  if (viewer.shown !== shown) return;
  if (!item) {
    viewer.fail("This photo cannot be loaded now. Try again.");
    return;
  }
  viewed = number;
  history.replaceState(history.state, "", `${location.pathname}${location.search}#photo-${item.id}`);
  viewer.show(item, words(current()));
}

function closed() {
  if (PHOTO.test(location.hash)) {
    if (history.state?.opened) history.back();
    else history.replaceState(null, "", location.pathname + location.search);
  }
  if (!isLeaving && viewed >= 0) grid.focus(viewed);
  isLeaving = false;
}

function goFromPhoto(added, alone = false) {
  let query = alone ? new URLSearchParams() : current();
  for (const [name, value] of Object.entries(added)) query = withPart(query, name, value);
  if (history.state?.opened) history.replaceState(null, "", `${ROOT}?${query}`); // the photo's own entry
  else history.pushState(null, "", `${ROOT}?${query}`);
  isLeaving = true;
  viewer.close();
  scrollTo({ top: 0, behavior: "instant" });
  run();
}

// What the user does

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  suggestions.close();
  go(withPart(current(), "q", box.value.trim()));
});

sort.addEventListener("change", () => go(withPart(current(), "sort", sort.value === "relevance" ? "" : sort.value)));

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

document.getElementById("help").addEventListener("click", () => shortcuts.showModal());
shortcuts.querySelector("button").addEventListener("click", () => shortcuts.close());

addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const types = event.target.closest("input, select, textarea");
  if (event.key === "ArrowDown" && event.target === box) {
    event.preventDefault();
    grid.focus(0);
  } else if (types) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    box.focus();
    box.select();
  } else if (event.key === "f") {
    event.preventDefault();
    panel.open();
  } else if (event.key === "?") {
    shortcuts.showModal();
  }
});

addEventListener("popstate", () => {
  if (current().toString() !== shownQuery) run();
  else if (!history.state && STAND.test(location.hash)) scrollToWhereOneWas(); // somebody has edited the address
  else openFromHash();
});

run();
