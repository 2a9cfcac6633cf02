// The message above the photos: how many there are, what a search found, and how its words were interpreted.

import { plural } from "./numbers.js";

const line = document.getElementById("message");
const OR = new Intl.ListFormat("en", { type: "disjunction" });
const AND = new Intl.ListFormat("en");
const ORDERS = { newest: "The 64 best matches, newest first.", oldest: "The 64 best matches, oldest first." };

/** Replace the message. Pass `strongly` if it is more important than the photos. */
export function showMessage(text, strongly = false) {
  const sentence = document.createElement("span");
  sentence.textContent = text;
  sentence.classList.toggle("strong", strongly);
  line.replaceChildren(sentence);
}

export function showCount(count, isFiltered, damaged) {
  const photos = plural(count, "photo");
  if (isFiltered && !count) showMessage(`No photos match these filters.${damageOf(damaged)}`, true);
  else showMessage(`${photos}${isFiltered ? (count === 1 ? " matches" : " match") : ""}.${damageOf(damaged)}`, Boolean(damaged));
}

/**
 * Show what a search found and in which order, or its `progress`, and how its words were interpreted. `searchFor` is called with
 * a suggested word if the user picks it. The notes are on a line below, so that no photo moves when the full answer arrives.
 */
export function showFound(hits, answer, { order, progress, searchFor }) {
  const damage = damageOf(answer.damaged);
  if (progress) showMessage(`${progress}${damage}`, Boolean(answer.damaged));
  else if (!hits.length) showMessage(`No photos match.${damage}`, true);
  else if (hits[0].likely === false) showMessage(`No strong matches. Closest photos first.${damage}`, true);
  else showMessage(`${ORDERS[order] ?? "Best matches first."}${damage}`, Boolean(answer.damaged));
  const notes = document.createElement("span");
  line.append(notes);
  for (const { text, asked, less } of answer.negations) {
    const left = AND.format(less.map(quoted));
    const way = less.length ? `${asked ? quoted(asked) : "the rest"} without ${left}` : "is searched for as written";
    notes.append(less.length ? ` Searched for ${way}.` : ` ${quoted(text)} ${way}.`);
  }
  if (answer.language) notes.append(` This looks like ${answer.language}; the model understands English.`);
  else if (answer.unknown_words.length) {
    notes.append(` The model does not know ${OR.format(answer.unknown_words.map(quoted))}.`);
    for (const word of answer.unknown_words.filter((one) => one in answer.suggestions)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "link";
      button.textContent = answer.suggestions[word];
      button.addEventListener("click", () => searchFor(word, answer.suggestions[word]));
      notes.append(" Did you mean ", button, "?");
    }
  }
  const unread = hits.filter((hit) => hit.match_error).length;
  if (unread) notes.append(` ${plural(unread, "photo")} could not be read for re-ranking.`);
  if (answer.near) notes.append(` Near ${answer.near}.`);
}

function damageOf(damaged) {
  return damaged ? ` ${plural(damaged, "damaged record")} left out: run pixsearch repair.` : "";
}

function quoted(text) {
  return `“${text}”`;
}
