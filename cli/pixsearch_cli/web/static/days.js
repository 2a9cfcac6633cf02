// The layout of the timeline: squares, grouped by day under the name of the month, with short days next to each other.
// It only depends on the number of photos for each day, so that nothing moves when the photos themselves arrive.

import { GAP, firstWhere } from "./rows.js";

const MONTH = 52; // pixels, the height of a month's heading
const DAY = 30;
const BETWEEN = 14; // pixels below a line of days
const SMALLEST = 96;
const LARGEST = 240;

const MONTHS = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });
const WEEKDAYS = new Intl.DateTimeFormat("en", { weekday: "short", timeZone: "UTC" });

/** Return "April 2021" for 2021-04 or for a day in it. */
function monthName(day) {
  return MONTHS.format(date(day));
}

function date(day) {
  return new Date(`${day.slice(0, 7)}-${day.slice(8, 10) || "01"}T00:00:00Z`);
}

/** Return a short name, such as "Sat 3". */
function dayName(day) {
  return `${WEEKDAYS.format(date(day))} ${Number(day.slice(8, 10))}`;
}

export class Days {
  /** `groups` contains `{ day, count }`, newest first, and then `{ folder, count }`. */
  constructor(groups, width) {
    this.columns = Math.max(3, Math.floor((width + GAP) / (Math.min(LARGEST, Math.max(SMALLEST, width / 7.5)) + GAP)));
    this.size = (width - GAP * (this.columns - 1)) / this.columns;
    this.lines = []; // { y, first, end, blocks: [{ group, first, end, column, columns }] }, from top to bottom
    this.months = []; // { key, text, y, first }
    let first = 0;
    let y = 0;
    let line;
    const closeLine = () => {
      if (line) y = line.y + this.#heightOf(line);
      line = undefined;
    };
    for (const group of groups) {
      const key = group.day?.slice(0, 7) ?? "undated";
      if (this.months.at(-1)?.key !== key) {
        closeLine();
        this.months.push({ key, text: group.day ? monthName(group.day) : "No date", y, first });
        y += MONTH;
      }
      const columns = Math.min(group.count, this.columns);
      const last = line?.blocks.at(-1);
      if (!last || !group.day || last.column + last.columns + columns > this.columns) {
        closeLine();
        line = { y, first, end: first, blocks: [] };
        this.lines.push(line);
      }
      const before = line.blocks.at(-1);
      const end = first + group.count;
      line.blocks.push({ group, first, end, column: before ? before.column + before.columns : 0, columns });
      line.end = end;
      first = end;
    }
    closeLine();
    this.height = y;
    this.count = first;
  }

  place(number) {
    const line = this.#lineOf(number);
    const block = line.blocks.find(({ end }) => number < end);
    const inBlock = number - block.first;
    const step = this.size + GAP;
    return {
      x: (block.column + (inBlock % block.columns)) * step,
      y: line.y + DAY + Math.floor(inBlock / block.columns) * step,
      width: this.size,
      height: this.size,
    };
  }

  between(top, bottom) {
    const first = this.#atOrBelow(top);
    const end = this.#atOrBelow(bottom);
    return [first, Math.min(this.count, Math.max(first, end) + this.columns)];
  }

  headings(top, bottom) {
    const found = this.months
      .filter(({ y }) => y + MONTH >= top && y <= bottom)
      .map(({ key, text, y }) => ({ key, level: 2, text, x: 0, y }));
    for (let at = this.#lineAt(top); at < this.lines.length && this.lines[at].y <= bottom; at += 1) {
      const { y, blocks } = this.lines[at];
      for (const { group, first, end, column, columns } of blocks) {
        const x = column * (this.size + GAP);
        const width = group.day ? columns * (this.size + GAP) - GAP : undefined;
        const text = group.day ? dayName(group.day) : group.folder;
        found.push({ key: group.day ?? group.folder, level: 3, text, x, y, width, first, end });
      }
    }
    return found.sort((one, other) => one.y - other.y || one.x - other.x);
  }

  /** Return the range of photos, as `{ first, end }`, from the same day or folder as a photo. */
  dayOf(number) {
    return this.#lineOf(number).blocks.find(({ end }) => number < end);
  }

  /** Return the month, as `{ key, text, y }`, at a vertical position. */
  monthAt(y) {
    return this.months[Math.max(0, firstWhere(this.months.length, (number) => this.months[number].y > y) - 1)];
  }

  /** Return what is at a vertical position: the day or folder of the line, and the distance from the top of the line. */
  standAt(y) {
    const line = this.lines[this.#lineAt(y)];
    if (!line) return undefined;
    const { day, folder } = line.blocks[0].group;
    return { day, folder, below: y - line.y };
  }

  /** Return the vertical position of a result of `standAt` from a different layout. */
  yOfStand({ day, folder, below }) {
    const line = this.lines.find(({ blocks }) =>
      blocks.some(({ group }) => (day ? !group.day || group.day <= day : group.folder && group.folder >= folder)),
    );
    return line ? line.y + below : 0;
  }

  /**
   * Return the vertical position of the line with a day, or else with the newest day before it. "undated" stands for the
   * photos without a date. If the name of the month is directly above the line, return its position.
   */
  yOfDay(day) {
    const isReached = ({ group }) => !group.day || (day !== "undated" && group.day <= day);
    const line = this.lines.find(({ blocks }) => blocks.some(isReached));
    if (!line) return 0;
    const month = this.months.findLast(({ first }) => first <= line.first);
    return month.first === line.first ? month.y : line.y;
  }

  #heightOf({ blocks }) {
    const rows = Math.max(...blocks.map(({ first, end, columns }) => Math.ceil((end - first) / columns)));
    return DAY + rows * (this.size + GAP) - GAP + BETWEEN;
  }

  /** Return the number of the first line that ends below a vertical position. */
  #lineAt(y) {
    return firstWhere(this.lines.length, (at) => this.lines[at].y + this.#heightOf(this.lines[at]) > y);
  }

  #lineOf(number) {
    return this.lines[firstWhere(this.lines.length, (at) => this.lines[at].end > number)];
  }

  /** Return the first photo of the first row that ends at or below a vertical position. */
  #atOrBelow(y) {
    const line = this.lines[this.#lineAt(y)];
    if (!line) return this.count;
    const row = Math.max(0, Math.floor((y - line.y - DAY) / (this.size + GAP)));
    return Math.min(line.end, line.first + row * this.columns);
  }
}
