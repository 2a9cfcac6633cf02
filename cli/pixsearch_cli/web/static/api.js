// Requests to the server. A failed request throws an Error whose message is shown to the user.

/** The root path of the server: "/", or the path under which a proxy serves it. */
export const ROOT = new URL("..", import.meta.url).pathname;

export async function search(query, options, signal) {
  return get("search", query, options, signal);
}

/** Return the number of photos that pass the filters for each day, and for each folder with photos without a date. */
export async function timeline(filters, signal) {
  return get("timeline", filters, {}, signal);
}

/** Return photos in the timeline that pass the filters, beginning with the photo with the id `start` or the newest one. */
export async function timelinePhotos(filters, start, count, signal) {
  return (await get("timeline/photos", filters, { k: count, ...(start ? { start } : {}) }, signal)).photos;
}

/** Return the ids of all photos in the timeline that pass the filters. */
export async function timelineIds(filters, signal) {
  return (await get("timeline/ids", filters, {}, signal)).ids;
}

/** Return the paths of photos by their ids. */
export async function paths(ids) {
  const body = JSON.stringify({ ids });
  return answerOf(await ask(`${ROOT}api/paths`, { method: "POST", body, headers: { "Content-Type": "application/json" } })).paths;
}

/** Throw an error with the reason if the server cannot send a zip now. */
export async function zipIsFree() {
  const { response, answer } = await ask(`${ROOT}api/zip`);
  if (!response.ok) throw new Error(refusal(response, answer));
}

/** Return the values that photos can be filtered by, with the number of photos for each. */
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

/** Return the exposure of a photo, which the server reads from the file. */
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

/** Percent-encode a path. The server sends bytes that are not UTF-8 as lone surrogates (PEP 383). */
export function encodedPath(path) {
  return Array.from(path, (char) => {
    const unit = char.codePointAt(0);
    return unit >= 0xdc80 && unit <= 0xdcff ? `%${(unit - 0xdc00).toString(16).toUpperCase()}` : encodeURIComponent(char);
  }).join("");
}

/** Return the reason why the image at a URL cannot be shown. */
export async function reason(address) {
  try {
    const { response, answer } = await ask(address);
    return response.ok ? "This picture cannot be shown." : refusal(response, answer);
  } catch (error) {
    return error.message;
  }
}

/** Return a response with its JSON, which is undefined if a proxy responded with something else. */
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

/** Return a message as a sentence with a full stop, and with a capital letter unless it begins with a name. */
function sentence(detail) {
  const capital = /^\p{L}+ /u.test(detail) ? detail[0].toUpperCase() : detail[0];
  return `${capital}${detail.slice(1)}${/[.?!]$/.test(detail) ? "" : "."}`;
}
