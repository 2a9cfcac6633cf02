// The server's answers; what it refuses is an Error with its own words.

export async function search(query, options, signal) {
  const asked = new URLSearchParams(query);
  for (const [name, value] of Object.entries(options)) asked.set(name, value);
  return answerOf(await fetch(`/api/search?${asked}`, { signal }));
}

export async function searchByPicture(file, options) {
  const form = new FormData();
  form.append("query", JSON.stringify(options));
  form.append("picture", file);
  return answerOf(await fetch("/api/search", { method: "POST", body: form }));
}

export async function photo(id) {
  return answerOf(await fetch(`/api/photos/${id}`));
}

export async function explain(id, words) {
  return answerOf(await fetch(`/api/photos/${id}/explain?${new URLSearchParams({ q: words })}`));
}

/** Why an address of a picture gives none. */
export async function reason(address) {
  try {
    await answerOf(await fetch(address));
    return "cannot be shown";
  } catch (error) {
    return error.message;
  }
}

async function answerOf(response) {
  const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
  const answer = isJson ? await response.json() : {};
  if (!response.ok) throw new Error(answer.detail ?? response.statusText);
  return answer;
}
