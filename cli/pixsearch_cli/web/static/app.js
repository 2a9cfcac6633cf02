// The photo page. It shows what the address bar names: the library by date, or the results of a search.

import { ROOT, search, searchByPicture, timeline, timelinePhotos } from "./api.js";
import { FilterPanel } from "./filters.js";
import { Grid } from "./grid.js";
import { showMessage, showCount, showFound } from "./messages.js";
import { OpenedPhoto } from "./opened.js";
import { asks, current, filtersOf, isSameButOrder, parts, pictureAddress, without, withPart, words } from "./query.js";
import { FIRST, Hits, find, merged } from "./results.js";
import { RubberBand } from "./rubber_band.js";
import { Scrubber } from "./scrubber.js";
import { Selection } from "./selection.js";
import { SelectionBar } from "./selection_bar.js";
import { Suggestions, remember } from "./suggestions.js";
import { Timeline, countsOf } from "./timeline.js";
import { Whereabouts } from "./whereabouts.js";

const SCRUBBED = 60; // the number of photos from which the years are shown

const main = document.querySelector("main");
const MOST_LIKE = Number(main.dataset.mostLike);
const MOST = Number(main.dataset.mostHits);
const NEWEST = Number(main.dataset.newest); // photos to show before the number of photos is known

const box = document.getElementById("q");
const better = document.getElementById("better");
const sort = document.getElementById("sort");
const hint = document.getElementById("hint");
const shortcuts = document.getElementById("shortcuts");
const fileInput = document.getElementById("file");
const list = document.getElementById("results");

const grid = new Grid(list, document.getElementById("headings"), {
  open: (number) => opened.open(number),
  laidOut: () => scrubber.show(grid.layout),
  moved: (top) => whereabouts.moved(top),
  shown: (tile, item) => selection.shown(tile, item),
  headed: (heading, wanted) => selection.headed(heading, wanted),
});
const selection = new Selection(grid, { changed: () => bar.draw(), failed: (message) => showMessage(message, true) });
const bar = new SelectionBar(document.getElementById("selection"), selection, { search: searchByPictures, picturesLeft });
new RubberBand(main, grid, selection);
const scrubber = new Scrubber(document.getElementById("scrubber"), (y) => whereabouts.scrollTo(y));
const opened = new OpenedPhoto(document.getElementById("viewer"), grid, {
  run: () => run().then(focusFirst),
  followHash,
  failed: sayUnlessAborted,
});
const whereabouts = new Whereabouts(grid, scrubber, () => opened.isOpen || list.ariaBusy === "true");
const suggestions = new Suggestions(box, document.getElementById("suggestions"), go);
const panel = new FilterPanel(document.getElementById("filter-panel"), document.getElementById("filters"), go);

let running = new AbortController();
let shownQuery;

history.scrollRestoration = "manual"; // the page has no height yet when the browser would scroll

/** Show what the address bar names. `known` is a first answer, if there already is one. */
async function run(known) {
  running.abort();
  running = new AbortController();
  const query = current();
  if (shownQuery !== undefined && !isSameButOrder(query, new URLSearchParams(shownQuery))) selection.clear();
  shownQuery = query.toString();
  fillIn(query);
  better.hidden = true;
  list.ariaBusy = "true";
  list.classList.add("stale");
  try {
    if (asks(query)) await showResults(query, running.signal, known);
    else await showTimeline(filtersOf(query), running.signal);
    whereabouts.restore();
    followHash();
  } catch (error) {
    if (error.name === "AbortError") return;
    showGrid(new Hits([]));
    showMessage(error.message, true);
  }
  list.ariaBusy = "false";
}

async function showResults(query, signal, known) {
  showMessage("Searching…");
  let loadMore;
  let rest = [];
  const show = (hits, steady, answer, progress) => {
    showGrid(new Hits(merged(hits, rest), steady, loadMore));
    showFound(hits, answer, { order: query.get("sort"), progress, searchFor: searchForInstead });
  };
  const looks = Boolean(words(query)) || query.has("minus");
  const mayBeMore = await find(query, { looks, known, signal, grid, show, betterIsThere: offerBetter });
  if (!mayBeMore) return;
  let loading;
  const loadAll = async () => {
    const all = await search(query, { k: MOST, rerank: false }, signal).catch(sayUnlessAborted);
    loading = undefined;
    if (!all) return;
    rest = all.hits;
    loadMore = undefined;
    showGrid(new Hits(merged(grid.source.hits, rest), grid.source.steady));
  };
  loadMore = () => (loading ??= loadAll());
  showGrid(new Hits(grid.source.hits, grid.source.steady, loadMore));
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

/** Show the photos that pass the filters by date: the newest at once, and all when the number for each day is known. */
async function showTimeline(filters, signal) {
  performance.mark("asked");
  const counting = timeline(filters, signal);
  counting.catch(() => {}); // it is awaited below
  const newest = await timelinePhotos(filters, undefined, NEWEST, signal);
  signal.throwIfAborted();
  const isLong = newest.length >= SCRUBBED;
  if (!whereabouts.isBelowTheTop) {
    showGrid(timelineOf(countsOf(newest, NEWEST), newest, filters, signal), isLong);
  }
  performance.measure("newest photos", "asked");
  const answer = await counting;
  signal.throwIfAborted();
  showGrid(timelineOf(answer, newest, filters, signal), isLong);
  sayTimeline(answer, filters);
  performance.measure("timeline", "asked");
}

/** Show the timeline again after the library has changed. The visible photos stay where they are. */
async function refreshTimeline(before, filters, signal) {
  const answer = await timeline(filters, signal);
  signal.throwIfAborted();
  const inSight = grid.layout.standAt(grid.sight()[0]);
  let source = timelineOf(answer, [], filters, signal);
  // If counts and photos disagree although nothing has changed, the library is damaged.
  if (!source.differsFrom(before)) source = timelineOf(answer, [], filters, signal, true);
  showGrid(source, !scrubber.element.hidden);
  sayTimeline(answer, filters);
  if (inSight) whereabouts.scrollTo(grid.layout.yOfStand(inSight));
}

function timelineOf(answer, newest, filters, signal, isFinal) {
  const actions = {
    arrived: () => grid.draw(),
    changed: (before) => refreshTimeline(before, filters, signal).catch(sayUnlessAborted),
    failed: (error) => showMessage(error.message, true),
  };
  return new Timeline(answer, newest, filters, signal, actions, isFinal);
}

function sayTimeline(answer, filters) {
  const isFiltered = filters.size > 0;
  hint.hidden = grid.source.count > 0 || isFiltered;
  if (hint.hidden) showCount(grid.source.count, isFiltered, answer.damaged);
  else showMessage("");
}

/** Show photos, with the years next to them if there are many. */
function showGrid(source, isLong = false) {
  hint.hidden = true;
  list.classList.remove("stale");
  scrubber.setShown(isLong);
  grid.show(source);
  opened.sourceChanged();
}

/** Follow the fragment of the address: open a photo, or scroll to one in the timeline. */
function followHash() {
  opened.followHash();
  whereabouts.reveal().catch(sayUnlessAborted);
}

function sayUnlessAborted(error) {
  if (error.name !== "AbortError") showMessage(error.message, true);
}

const header = document.querySelector("header");
new ResizeObserver(() => {
  grid.covered = header.offsetHeight;
  document.documentElement.style.setProperty("--header", `${grid.covered}px`);
  scrubber.show(grid.layout);
}).observe(header);
addEventListener("resize", () => scrubber.show(grid.layout));

// Searching

function go(query, known) {
  const address = query.toString();
  if (address !== current().toString()) history.pushState(null, "", address ? `${ROOT}?${address}` : ROOT);
  else history.replaceState(null, "", address ? `${ROOT}?${address}` : ROOT);
  if (asks(query)) remember(query);
  scrollTo({ top: 0, behavior: "instant" });
  return run(known);
}

/** Focus the first photo if the focused element is gone. */
function focusFirst() {
  if (document.activeElement === document.body && grid.source?.count) grid.focus(0);
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

/** Return how many more pictures the query may have as `like` or `unlike`. */
function picturesLeft(name) {
  return MOST_LIKE - current().getAll(name).length;
}

function searchByPictures(name, ids) {
  let query = current();
  for (const id of ids) query = withPart(query, name, id);
  go(query).then(focusFirst);
}

async function goByPicture(file) {
  showMessage("Searching…");
  try {
    const answer = await searchByPicture(file, { k: FIRST });
    if (answer.uploads.length) go(new URLSearchParams({ like: answer.uploads[0] }), answer);
    else showMessage("There are no photos in this library yet.", true);
  } catch (error) {
    showMessage(error.message, true);
  }
}

/** Show the query in the search box, the chips and the fields. */
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

// User input

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
  else if (!history.state && whereabouts.isDay) whereabouts.restore(); // the user has edited the address
  else {
    opened.followHash();
    if (!list.contains(document.activeElement)) whereabouts.reveal().catch(sayUnlessAborted); // otherwise a photo that was closed has the focus
  }
});

run();
