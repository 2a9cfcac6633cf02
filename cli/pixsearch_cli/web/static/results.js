// A search. If the full answer takes long, it first shows the results by similarity. Visible photos never move.

import { search } from "./api.js";
import { Rows } from "./rows.js";

export const FIRST = 60;
const RERANKED = 32;
const SORTED = 64; // the number of best photos that the server orders by date
const PATIENCE_MS = 300; // until photos are shown in the order of their similarity

/** The hits of a search as a source for a Grid. `loadMore()` is called when the end becomes visible, if there may be more. */
export class Hits {
  constructor(hits, steady = 0, loadMore = undefined) {
    this.hits = hits;
    this.steady = steady;
    this.loadMore = loadMore;
    this.keys = hits.map(keyOf);
  }

  get count() {
    return this.hits.length;
  }

  item(number) {
    return this.hits[number];
  }

  key(number) {
    return this.keys[number];
  }

  numberOf(key) {
    return this.keys.indexOf(key);
  }

  numberOfId(id) {
    return this.hits.findIndex((hit) => hit.id === id);
  }

  idAt(number) {
    return this.hits[number]?.id;
  }

  async ids() {
    return this.hits.map(({ id }) => id);
  }

  layOut(width) {
    return new Rows(this.hits, this.steady, width);
  }

  need(first, end) {
    if (this.count && end === this.count) this.loadMore?.();
  }

  async load(number) {
    return this.hits[number];
  }
}

/**
 * Search, and call `show(hits, steady, answer, progress)` with the results; `progress` is a message while the order is not
 * final. If a better order would move visible photos, `betterIsThere` is called with a function that shows it. `known` is a
 * first answer, if there already is one. Return whether there may be more hits.
 */
export async function find(query, { looks, known, signal, grid, show, betterIsThere }) {
  performance.mark("asked");
  if (query.has("sort")) {
    const answer = await search(query, { k: SORTED }, signal);
    signal.throwIfAborted();
    show(answer.hits, 0, answer);
    return false;
  }
  const careful = looks ? search(query, { k: RERANKED }, signal) : undefined;
  let first = known;
  let isShown = false;
  if (!careful || !(await isThereWithin(careful, PATIENCE_MS))) {
    first ??= await search(query, { k: FIRST, rerank: false }, signal);
    signal.throwIfAborted();
    isShown = careful && !(await isThereWithin(careful, 0));
    if (isShown) {
      show(first.hits, 0, first, "Searching…");
      performance.measure("first answer", "asked");
    }
  }
  const answer = careful ? await careful : first;
  signal.throwIfAborted();
  const hits = careful && first ? merged(answer.hits, first.hits) : answer.hits;
  const seen = isShown ? grid.source.hits.slice(0, grid.countToEndOfSight()) : [];
  if (seen.every((hit, number) => hits[number] && keyOf(hit) === keyOf(hits[number]))) show(hits, seen.length, answer);
  else {
    show(merged(seen, hits), seen.length, answer, "First results. A better order is ready.");
    betterIsThere(() => show(hits, 0, answer));
  }
  performance.measure("full answer", "asked");
  return (first ?? answer).hits.length >= (first ? FIRST : RERANKED);}

async function isThereWithin(request, milliseconds) {
  const late = Symbol("late");
  const waited = new Promise((resolve) => setTimeout(resolve, milliseconds, late));
  return (await Promise.race([request.catch(() => undefined), waited])) !== late;
}

/** Return the first list, followed by the hits in the other list that it does not contain. */
export function merged(best, others) {
  const known = new Set(best.map(keyOf));
  return [...best, ...others.filter((hit) => !known.has(keyOf(hit)))];
}

/** Return a key that stays the same when the order changes: the picture and, since copies may be listed, the path. */
function keyOf(hit) {
  return `${hit.id} ${hit.path}`;
}
