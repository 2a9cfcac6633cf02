// Where photos stand in the timeline: in squares, day by day below the name of the month, small days beside each other.
// It takes no more than the number of photos of each day, so that nothing moves when the photos themselves arrive.

import { GAP, firstWhere } from "./rows.js";

const MONTH = 52; // pixels, of the heading of a month
const DAY = 30;
const BETWEEN = 14; // pixels below a line of days
const SMALLEST = 96;
const LARGEST = 240;

const MONTHS = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });
const WEEKDAYS = new Intl.DateTimeFormat("en", { weekday: "short", timeZone: "UTC" });

/** "April 2021", for 2021-04 and for a day of it. */
function monthName(day) {
  return MONTHS.format(date(day));
}

function date(day) {
  return new Date(`${day.slice(0, 7)}-${day.slice(8, 10) || "01"}T00:00:00Z`);
}

/** "Sat 3". */
function dayName(day) {
  return `${WEEKDAYS.format(date(day))} ${Number(day.slice(8, 10))}`;
}

export class Days {
  /** `groups` are `{ day, count }`, the newest first, then `{ folder, count }`. */
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

  /** The numbers, as `{ first, end }`, of the photos of the same day as one of them, or of its folder. */
  dayOf(number) {
    return this.#lineOf(number).blocks.find(({ end }) => number < end);
  }

  /** The month, as `{ key, text, y }`, that a height is in. */
  monthAt(y) {
    return this.months[Math.max(0, firstWhere(this.months.length, (number) => this.months[number].y > y) - 1)];
  }

  /** What is at a height: the day or folder whose line it is in, and how far below the line's beginning. */
  standAt(y) {
    const line = this.lines[this.#lineAt(y)];
    if (!line) return undefined;
    const { day, folder } = line.blocks[0].group;
    return { day, folder, below: y - line.y };
  }

  /** The height of what `standAt` has given for another layout. */
  yOfStand({ day, folder, below }) {
    const line = this.lines.find(({ blocks }) =>
      blocks.some(({ group }) => (day ? !group.day || group.day <= day : group.folder && group.folder >= folder)),
    );
    return line ? line.y + below : 0;
  }

  /**
   * Where the line of a day begins, or of the newest that is older; of "undated" that of the photos without one. With the
   * name of its month where that stands above it.
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

  /** The first line that ends below a height. */
  #lineAt(y) {
    return firstWhere(this.lines.length, (at) => this.lines[at].y + this.#heightOf(this.lines[at]) > y);
  }

  #lineOf(number) {
    return this.lines[firstWhere(this.lines.length, (at) => this.lines[at].end > number)];
  }

  /** The first photo of the row that ends at a height or below it. */
  #atOrBelow(y) {
    const line = this.lines[this.#lineAt(y)];
    if (!line) return this.count;
    const row = Math.max(0, Math.floor((y - line.y - DAY) / (this.size + GAP)));
    return Math.min(line.end, line.first + row * this.columns);
  }
}
