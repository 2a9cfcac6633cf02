// Requests to the server that change the library.

import { answerOf, ask, ROOT, encodedPath } from "./api.js";

/** Return the folders that may be added, and the latest run. */
export async function indexState() {
  return send("", {});
}

/** Return the folders in a folder, or without a path the topmost folders that may be added. */
export async function folders(path) {
  return send(path === undefined ? "/folders" : `/folders?in=${encodedPath(path)}`, {});
}

/** Add a folder or rescan it. null rescans all folders. */
export async function startIndex(folder) {
  return post("", { folder });
}

export async function forget(folder) {
  return post("/forget", { folder });
}

/** Compare all photos to find near-duplicates. */
export async function startComparing() {
  return post("/duplicates", {});
}

export async function stopRun() {
  return send("", { method: "DELETE" });
}

async function post(path, content) {
  return send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
}

async function send(path, options) {
  return answerOf(await ask(`${ROOT}api/index${path}`, options));
}
