// The server's answers; what it refuses is an Error with a sentence for people.

/** The path that the server stands under: "/", or as a proxy has it. */
export const ROOT = new URL("..", import.meta.url).pathname;

export async function search(query, options, signal) {
  return get("search", query, options, signal);
}

/** How many photos that pass the filters there are of each day, and of each folder those without a date. */
export async function timeline(filters, signal) {
  return get("timeline", filters, {}, signal);
}

/** Photos of the timeline that pass the filters, from the one with an id on, or from the newest. */
export async function timelinePhotos(filters, start, count, signal) {
  return (await get("timeline/photos", filters, { k: count, ...(start ? { start } : {}) }, signal)).photos;
}

/** The ids of all photos of the timeline that pass the filters. */
export async function timelineIds(filters, signal) {
  return (await get("timeline/ids", filters, {}, signal)).ids;
}

/** Where the files of photos lie that the library has. */
export async function paths(ids) {
  const body = JSON.stringify({ ids });
  return answerOf(await ask(`${ROOT}api/paths`, { method: "POST", body, headers: { "Content-Type": "application/json" } })).paths;
}

/** Throws an error with the reason where no zip would be sent now. */
export async function zipIsFree() {
  const { response, answer } = await ask(`${ROOT}api/zip`);
  if (!response.ok) throw new Error(refusal(response, answer));
}

/** What photos can be filtered by: for each kind its values, and how many photos have each. */
export async function values() {
  return get("values", "", {});
}

async function get(path, query, options, signal) {
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(options)) parameters.set(name, value);
  return answerOf(await ask(`${ROOT}api/${path}?${parameters}`, { signal }));
}

export async function searchByPicture(file, options) {
  const form = new FormData();
  form.append("query", JSON.stringify(options));
  form.append("picture", file);
  return answerOf(await ask(`${ROOT}api/search`, { method: "POST", body: form }));
}

export async function photo(id, signal) {
  return answerOf(await ask(`${ROOT}api/photos/${id}`, { signal }));
}

/** How a photo was exposed, which is read from its file. */
export async function exposure(id, signal) {
  return answerOf(await ask(`${ROOT}api/photos/${id}/exposure`, { signal }));
}

export async function explain(id, words) {
  return answerOf(await ask(`${ROOT}api/photos/${id}/explain?${new URLSearchParams({ q: words })}`));
}

export function thumbnailAddress(id, size = "small") {
  return `${ROOT}api/photos/${id}/thumbnail?size=${size}`;
}

export function imageAddress(id) {
  return `${ROOT}api/photos/${id}/image`;
}

export function downloadAddress(id) {
  return `${imageAddress(id)}?download=true`;
}

export function uploadAddress(name) {
  return `${ROOT}api/uploads/${name}`;
}

/** Percent-encode a path. Bytes that are not text come from the server as lone surrogates (PEP 383). */
export function encodedPath(path) {
  return Array.from(path, (char) => {
    const unit = char.codePointAt(0);
    return unit >= 0xdc80 && unit <= 0xdcff ? `%${(unit - 0xdc00).toString(16).toUpperCase()}` : encodeURIComponent(char);
  }).join("");
}

/** Why the image at an address cannot be shown. */
export async function reason(address) {
  try {
    const { response, answer } = await ask(address);
    return response.ok ? "This picture cannot be shown." : refusal(response, answer);
  } catch (error) {
    return error.message;
  }
}

/** The answer as JSON; undefined where a server in front of ours has answered with something else. */
export async function ask(address, options) {
  try {
    const response = await fetch(address, options);
    const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
    return { response, answer: isJson ? await response.json() : undefined };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server is not responding. Is pixsearch serve still running?");
  }
}

export function answerOf({ response, answer }) {
  if (response.ok && answer) return answer;
  throw Object.assign(new Error(refusal(response, answer)), { status: response.status });
}

function refusal({ ok, status }, answer) {
  if (status === 401) return "Access token required. Reload the page.";
  if (answer?.detail) return sentence(answer.detail);
  if (ok) return "Another server responded instead of pixsearch. Reload the page.";
  if (status === 413) return "The picture is too large for the proxy in front of pixsearch.";
  if (status >= 502 && status <= 504) return "The proxy in front of pixsearch cannot reach it. Is pixsearch serve still running?";
  return `The proxy in front of pixsearch refused the request (${status}).`;
}

/** With a capital, unless it begins with a path or another name, and a full stop. */
function sentence(detail) {
  const capital = /^\p{L}+ /u.test(detail) ? detail[0].toUpperCase() : detail[0];
  return `${capital}${detail.slice(1)}${/[.?!]$/.test(detail) ? "" : "."}`;
}
