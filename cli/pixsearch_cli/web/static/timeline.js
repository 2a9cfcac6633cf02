// The library by date. The number of photos for each day is known at once, and photos are fetched when they are visible.

import { timelineIds, timelinePhotos } from "./api.js";
import { Days } from "./days.js";
import { firstWhere } from "./rows.js";

const FETCHED = 200; // photos at a time
const KEPT = 4000; // photos, including the visible ones

/** The photos of a library as a source for a Grid. */
export class Timeline {
  /**
   * `newest` contains photos that have been fetched already. `arrived()` is called when photos arrive, and `changed()` if they
   * do not match the counts. With `isFinal`, they are shown anyway, with placeholders for missing ones.
   */
  constructor(answer, newest, filters, signal, { arrived, changed, failed }, isFinal = false) {
    this.filters = filters;
    this.signal = signal;
    this.actions = { arrived, changed, failed };
    this.isFinal = isFinal;
    this.parts = []; // { first, end, id, day, folder, items }; items may contain only the first ones
    this.groups = []; // { day, folder, count }
    this.count = 0;
    for (const { day, folder, id, count } of [...answer.days, ...answer.undated]) {
      this.parts.push({ first: this.count, end: this.count + count, id, day, folder, items: [] });
      const last = this.groups.at(-1);
      if (last && last.day === day && last.folder === folder) last.count += count;
      else this.groups.push({ day, folder, count });
      this.count += count;
    }
    for (const part of this.parts) {
      if (newest[part.first]?.id === part.id) part.items = newest.slice(part.first, part.end);
    }
  }

  /** Return whether the counts are different. */
  differsFrom({ parts }) {
    return parts.length !== this.parts.length || parts.some(({ id, end }, at) => id !== this.parts[at].id || end !== this.parts[at].end);
  }

  item(number) {
    const part = this.parts[this.#partOf(number)];
    return part?.items[number - part.first];
  }

  key(number) {
    return number;
  }

  numberOf(key) {
    return key < this.count ? key : -1;
  }

  numberOfId(wanted) {
    if (this.allIds) return this.allIds.indexOf(wanted);
    for (const { first, items } of this.parts) {
      const at = items.findIndex(({ id }) => id === wanted);
      if (at >= 0) return first + at;
    }
    return -1;
  }

  /** Return the id of a photo if it is known. */
  idAt(number) {
    return this.allIds?.[number] ?? this.item(number)?.id;
  }

  /** Return the ids of all photos, which are fetched once. Throws an error if they do not match the counts. */
  async ids() {
    this.asked ??= timelineIds(this.filters, this.signal);
    let ids;
    try {
      ids = await this.asked;
    } catch (error) {
      this.asked = undefined;
      throw error;
    }
    if (ids.length !== this.count || this.parts.some(({ first, id }) => ids[first] !== id)) {
      this.asked = undefined;
      this.actions.changed(this);
      throw new Error("The library has changed. Select again.");
    }
    this.allIds = ids;
    return ids;
  }

  /** Return the number of a photo, which is fetched if necessary, or -1 if it is not in the timeline. */
  async find(id) {
    const [photo] = await timelinePhotos(this.filters, id, 1, this.signal);
    for (const [at, part] of this.parts.entries()) {
      if (part.day === (photo.day ?? undefined) && part.folder === (photo.folder ?? undefined)) {
        if (isMissing(part)) await this.#fetch(at);
        if (part.items.some((item) => item.id === id)) return this.numberOfId(id);
      }
    }
    return -1;
  }

  layOut(width) {
    return new Days(this.groups, width);
  }

  /** Fetch the visible photos, one request at a time, until all have arrived. */
  async need(first, end) {
    this.inSight = [first, end];
    if (this.isBusy) return;
    this.isBusy = true;
    let missing = this.#missing(first, end);
    while (missing !== undefined && (await this.#fetch(missing))) missing = this.#missing(...this.inSight);
    this.isBusy = false;
  }

  /** Return a photo, which is fetched if necessary. */
  async load(number) {
    if (!this.item(number)) await this.#fetch(this.#partOf(number));
    return this.item(number);
  }

  /** Return the first part that has missing photos in a range. */
  #missing(first, end) {
    for (let at = this.#partOf(first); at < this.parts.length && this.parts[at].first < end; at += 1) {
      const part = this.parts[at];
      if (part.first + part.items.length < Math.min(part.end, end)) return at;
    }
    return undefined;
  }

  /** Fetch a part and, up to the limit, the parts after it. Return whether they arrived. */
  async #fetch(number) {
    const parts = [this.parts[number]];
    for (let at = number + 1; at < this.parts.length; at += 1) {
      const next = this.parts[at];
      if (!isMissing(next) || next.end - parts[0].first > FETCHED) break;
      parts.push(next);
    }
    const { first, id } = parts[0];
    try {
      const photos = await timelinePhotos(this.filters, id, parts.at(-1).end - first, this.signal);
      this.#take(parts, photos);
    } catch (error) {
      if (error.status === 404 && this.isFinal) this.#take(parts, []);
      else if (error.status === 404) this.actions.changed(this);
      else if (error.name !== "AbortError") this.actions.failed(error);
      if (error.status !== 404 || !this.isFinal) return false;
    }
    this.#forgetFarFrom(first);
    this.actions.arrived();
    return true;
  }

  /** Distribute photos to their parts. Throws an error with the status 404 if they do not match the counts. */
  #take(parts, photos) {
    let taken = 0;
    for (const part of parts) {
      const { first, end, day, folder } = part;
      const items = [];
      while (items.length < end - first && isOf(photos[taken], day, folder)) items.push(photos[taken++]);
      if (!this.isFinal && (items[0]?.id !== part.id || items.length < end - first)) {
        throw Object.assign(new Error("The library has changed."), { status: 404 });
      }
      while (items.length < end - first) items.push({ path: null, copies: [] });
      part.items = items;
    }
  }

  #forgetFarFrom(number) {
    const loaded = this.parts.filter(({ items }) => items.length);
    let kept = loaded.reduce((sum, { items }) => sum + items.length, 0);
    loaded.sort((one, other) => Math.abs(other.first - number) - Math.abs(one.first - number));
    for (const part of loaded) {
      if (kept <= KEPT) break;
      kept -= part.items.length;
      part.items = [];
    }
  }

  #partOf(number) {
    return firstWhere(this.parts.length, (at) => this.parts[at].end > number);
  }
}

function isMissing({ first, end, items }) {
  return items.length < end - first;
}

function isOf(photo, day, folder) {
  return photo && (photo.day ?? undefined) === day && (photo.folder ?? undefined) === folder;
}

/** Return the counts of the first `most` photos. The last day or folder is left out, because it may have more photos. */
export function countsOf(photos, most) {
  const found = { days: [], undated: [], damaged: 0 };
  let last;
  for (const { id, day, folder } of photos) {
    if (last && last.of === `${day} ${folder}`) last.count += 1;
    else {
      last = { of: `${day} ${folder}`, id, count: 1, ...(day ? { day } : { folder }) };
      (day ? found.days : found.undated).push(last);
    }
  }
  if (photos.length === most && found.days.length + found.undated.length > 1) {
    (found.undated.length ? found.undated : found.days).pop();
  }
  return found;
}
