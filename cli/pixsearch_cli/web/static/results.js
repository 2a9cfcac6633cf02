// A search: first what similarity finds, where the whole answer takes its time, then that. What can be seen never moves.

import { search } from "./api.js";
import { Rows } from "./rows.js";

export const FIRST = 60;
const RERANKED = 32;
const SORTED = 64; // the number of best photos that the server orders by date
const PATIENCE_MS = 300; // before photos are shown in the order of their similarity

/** What a Grid shows of an answer. `loadMore()`, where there may be more hits, is called when its end comes in sight. */
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
 * Search, and show what comes by `show(hits, steady, answer, progress)`, with words for the progress where the order is not
 * the best. `betterIsThere` is called with what shows the better order, where that would move what is in sight. `known` is
 * a first answer that is there already.
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
  return (first ?? answer).hits.length >= (first ? FIRST : RERANKED); // whether there may be more
}

async function isThereWithin(request, milliseconds) {
  const late = Symbol("late");
  const waited = new Promise((resolve) => setTimeout(resolve, milliseconds, late));
  return (await Promise.race([request.catch(() => undefined), waited])) !== late;
}

/** The one list, and behind it what the other has that it has not. */
export function merged(best, others) {
  const known = new Set(best.map(keyOf));
  return [...best, ...others.filter((hit) => !known.has(keyOf(hit)))];
}

/** What names a hit through re-orderings: the picture, and which of its photos where each is shown. */
function keyOf(hit) {
  return `${hit.id} ${hit.path}`;
}
