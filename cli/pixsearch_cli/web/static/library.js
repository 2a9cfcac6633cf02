// The library page, on which folders can be added, rescanned and forgotten.

import { folders, forget, indexState, startComparing, startIndex, stopRun } from "./index_api.js";
import { formatNumber, plural } from "./numbers.js";

const POLL_MS = 1000;
const BEGUN = { index: "Indexing", forget: "Forgetting", duplicates: "Comparing" };
const DONE = { index: "Indexed", forget: "Forgot", duplicates: "Compared" };

const panel = document.getElementById("changes");
const message = panel.querySelector("[role=status]");
const bar = panel.querySelector("progress");
const stopButton = panel.querySelector(".stop");
const kinds = panel.querySelector("ul");
const chooser = document.getElementById("chooser");
const forgetting = document.getElementById("forgetting");

// The latest run

/** Show a run. If it is in progress, follow it to its end and then reload the page. */
function showRun(run) {
  const isAtWork = Boolean(run) && !run.ended;
  for (const button of document.querySelectorAll(".changes")) button.ariaDisabled = String(isAtWork); // unlike disabled buttons, they keep the focus
  bar.hidden = !isAtWork;
  stopButton.hidden = !isAtWork || run.action === "forget";
  kinds.replaceChildren();
  if (!run) return;
  message.textContent = isAtWork ? progressText(run) : outcomeText(run);
  message.classList.toggle("error", Boolean(run.error));
  if (!isAtWork) {
    kinds.replaceChildren(...Object.entries(run.failures).map(([kind, count]) => item(`${files(count)}: ${kind}`)));
    return;
  }
  const { done, total } = run.progress ?? {};
  if (total) Object.assign(bar, { max: total, value: done });
  else bar.removeAttribute("value");
  setTimeout(follow, POLL_MS);
}

async function follow() {
  try {
    const { run } = await indexState();
    if (run && !run.ended) showRun(run);
    else reload();
  } catch (error) {
    message.textContent = error.message;
    if (!error.status || error.status >= 500) setTimeout(follow, 5 * POLL_MS);
  }
}

/** Reload the page and keep the focus where it is. */
function reload() {
  if (document.activeElement !== document.body) sessionStorage.setItem("focused", nameOf(document.activeElement));
  location.reload();
}

function focusAsBefore() {
  const name = sessionStorage.getItem("focused");
  sessionStorage.removeItem("focused");
  if (name === null) return;
  const buttons = [...document.querySelectorAll("main button")];
  (buttons.find((button) => nameOf(button) === name && button.checkVisibility()) ?? document.getElementById("add")).focus();
}

function nameOf(element) {
  return element.ariaLabel ?? element.textContent.trim();
}

function progressText({ action, folders: paths, progress }) {
  const begun = `${BEGUN[action]} ${named(paths)}`;
  if (!progress) return `${begun}…`;
  const total = progress.total === null ? "" : ` of ${formatNumber(progress.total)}`;
  const note = progress.note ? `, ${progress.note}` : "";
  const task = action === "index" && progress.task === "indexing" ? "" : `${progress.task} `;
  return `${begun}: ${task}${formatNumber(progress.done)}${total}${note}`;
}

function outcomeText({ action, folders: paths, stopped, error, summary }) {
  if (error) return `${BEGUN[action]} ${named(paths)} failed: ${error}`;
  if (stopped) return `${BEGUN[action]} ${named(paths)} was stopped. ${action === "index" ? "The photos that were indexed are kept." : ""}`;
  return `${DONE[action]} ${named(paths)}: ${summary}.`;
}

function named(paths) {
  if (!paths.length) return "the photos";
  return paths.length === 1 ? `\u2068${readable(paths[0])}\u2069` : `${formatNumber(paths.length)} folders`;
}

function files(count) {
  return plural(count, "file");
}

/** Start an action, and show its progress or the reason why the server refused it. */
async function start(action) {
  if (document.querySelector(".changes[aria-disabled=true]") && action !== stopRun) return;
  try {
    showRun((await action()).run);
    panel.scrollIntoView({ block: "nearest" });
  } catch (error) {
    message.textContent = error.message;
    message.classList.add("error");
    if (error.status === 409) setTimeout(follow, POLL_MS); // another page has started a run
  }
}

// The folder chooser

async function openFolder(path) {
  const names = chooser.querySelector("ul");
  const note = chooser.querySelector("[role=status]");
  const choose = chooser.querySelector(".main");
  try {
    const listing = await folders(path);
    const up = listing.parent !== null || listing.path !== null;
    chooser.querySelector(".path").textContent = listing.path === null ? "Choose a folder:" : readable(listing.path);
    names.replaceChildren(
      ...(up ? [folderButton("Up one level", listing.parent ?? undefined, "up")] : []),
      ...listing.folders.map((one) => folderButton(readable(one.name), one.path, one.indexed ? "indexed" : "")),
    );
    note.textContent = listing.more
      ? `Only the first ${formatNumber(listing.folders.length)} folders are shown.`
      : listing.folders.length ? "" : "This folder has no subfolders.";
    choose.hidden = listing.path === null;
    choose.dataset.path = JSON.stringify(listing.path);
    (names.querySelector("button") ?? choose).focus();
  } catch (error) {
    note.textContent = error.message;
  }
}

function folderButton(name, path, kind) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  if (kind === "indexed") button.append(" ", Object.assign(document.createElement("span"), { textContent: "in the library" }));
  button.className = kind;
  button.addEventListener("click", () => openFolder(path));
  return item(button);
}

function item(content) {
  const element = document.createElement("li");
  element.append(content);
  return element;
}

/** Return a path with a replacement character for each byte that is not UTF-8. */
function readable(path) {
  return path.toWellFormed?.() ?? path;
}

// User input

document.getElementById("add").addEventListener("click", ({ target }) => {
  if (target.ariaDisabled === "true") return;
  chooser.querySelector("ul").replaceChildren();
  chooser.querySelector(".main").hidden = true;
  chooser.showModal();
  openFolder();
});
chooser.querySelector(".main").addEventListener("click", (event) => {
  chooser.close();
  start(() => startIndex(JSON.parse(event.target.dataset.path)));
});
stopButton.addEventListener("click", () => start(stopRun));
document.getElementById("update")?.addEventListener("click", () => start(() => startIndex(null)));
document.getElementById("compare")?.addEventListener("click", () => start(startComparing));
for (const row of document.querySelectorAll("[data-folder]")) {
  const path = JSON.parse(row.dataset.folder);
  row.querySelector(".update").addEventListener("click", () => start(() => startIndex(path)));
  row.querySelector(".forget").addEventListener("click", ({ target }) => {
    if (target.ariaDisabled === "true") return;
    forgetting.querySelector(".path").textContent = readable(path);
    forgetting.querySelector(".main").dataset.path = row.dataset.folder;
    forgetting.showModal();
  });
}
forgetting.querySelector(".main").addEventListener("click", (event) => {
  forgetting.close();
  start(() => forget(JSON.parse(event.target.dataset.path)));
});
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

showRun(null); // enables the buttons, which have their listeners only now
focusAsBefore();
indexState().then(({ run }) => showRun(run), (error) => { message.textContent = error.message; });
