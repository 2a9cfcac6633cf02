// The library by date: how many photos there are of each day is known at once, the photos come as they are looked at.

import { timeline, timelinePhotos } from "./api.js";
import { Days } from "./days.js";
import { firstWhere } from "./rows.js";

const FETCHED = 200; // photos at a time
const KEPT = 4000; // photos, those in sight among them

/** What a Grid shows of a library. */
export class Timeline {
  /** `newest` are photos that are there already. `arrived()` is called when photos have come, `changed()` when the library is another by now. */
  constructor(answer, newest, filters, signal, { arrived, changed, failed }) {
    this.filters = filters;
    this.signal = signal;
    this.actions = { arrived, changed, failed };
    this.parts = []; // { first, end, id, items }
    this.groups = []; // { day, folder, count }
    this.count = 0;
    for (const { day, folder, id, count } of [...answer.days, ...answer.undated]) {
      this.parts.push({ first: this.count, end: this.count + count, id, items: undefined });
      const last = this.groups.at(-1);
      if (last && last.day === day && last.folder === folder) last.count += count;
      else this.groups.push({ day, folder, count });
      this.count += count;
    }
    const known = this.parts.filter(({ first, end, id }) => end <= newest.length && newest[first].id === id);
    this.#take(known, newest);
  }

  item(number) {
    const part = this.parts[this.#partOf(number)];
    return part?.items?.[number - part.first];
  }

  key(number) {
    return this.item(number)?.id ?? `at ${number}`;
  }

  numberOf(key) {
    return this.numberOfId(key);
  }

  numberOfId(wanted) {
    for (const part of this.parts) {
      const at = part.items?.findIndex(({ id }) => id === wanted) ?? -1;
      if (at >= 0) return part.first + at;
    }
    return -1;
  }

  layOut(width) {
    return new Days(this.groups, width);
  }

  /** Fetch photos that are in sight, one request at a time: then those that are in sight by then. */
  async need(first, end) {
    this.inSight = [first, end];
    if (this.isBusy) return;
    this.isBusy = true;
    let missing = this.#missing(first, end);
    while (missing.length && (await this.#fetch(missing))) missing = this.#missing(...this.inSight);
    this.isBusy = false;
  }

  /** One photo, which may have to be fetched. */
  async load(number) {
    if (!this.item(number)) await this.#fetch([this.#partOf(number)]);
    return this.item(number);
  }

  #missing(first, end) {
    const found = [];
    for (let at = this.#partOf(first); at < this.parts.length && this.parts[at].first < end; at += 1) {
      if (!this.parts[at].items) found.push(at);
    }
    return found;
  }

  /** Fetch the first of some parts, and those behind it as there is room; whether they have come. */
  async #fetch([number]) {
    const parts = [this.parts[number]];
    for (let at = number + 1; at < this.parts.length; at += 1) {
      const next = this.parts[at];
      if (next.items || next.end - parts[0].first > FETCHED) break;
      parts.push(next);
    }
    const { first, id } = parts[0];
    try {
      const photos = await timelinePhotos(this.filters, id, parts.at(-1).end - first, this.signal);
      if (parts.some((part) => photos[part.first - first]?.id !== part.id) || photos.length < parts.at(-1).end - first) {
        throw Object.assign(new Error("The library has changed."), { status: 404 });
      }
      this.#forgetFarFrom(first);
      this.#take(parts, photos);
    } catch (error) {
      if (error.status === 404) this.actions.changed();
      else if (error.name !== "AbortError") this.actions.failed(error);
      return false;
    }
    this.actions.arrived();
    return true;
  }

  #take(parts, photos) {
    const first = parts[0]?.first;
    for (const part of parts) part.items = photos.slice(part.first - first, part.end - first);
  }

  #forgetFarFrom(number) {
    const loaded = this.parts.filter(({ items }) => items);
    let kept = loaded.reduce((sum, { items }) => sum + items.length, 0);
    loaded.sort((one, other) => Math.abs(other.first - number) - Math.abs(one.first - number));
    for (const part of loaded) {
      if (kept <= KEPT - FETCHED) break;
      kept -= part.items.length;
      part.items = undefined;
    }
  }

  #partOf(number) {
    return firstWhere(this.parts.length, (at) => this.parts[at].end > number);
  }
}

/** How many photos there are of each day, of the first `most` photos alone. The last day may have more: it is left out. */
export function countsOf(photos, most) {
  const found = { days: [], undated: [], damaged: 0 };
  let last;
  for (const { id, day, folder } of photos) {
    if (last && last.day === day && last.folder === folder) last.count += 1;
    else (day ? found.days : found.undated).push((last = { day, folder, id, count: 1 }));
  }
  if (photos.length === most && found.days.length + found.undated.length > 1) {
    (found.undated.length ? found.undated : found.days).pop();
  }
  return found;
}
