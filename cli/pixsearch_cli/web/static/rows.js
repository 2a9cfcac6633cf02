// The layout of search results: rows that fill the width, in which all photos have the same height.

const WIDEST = 4;
const NARROWEST = 0.4;
const HEADING = 40; // pixels, the height of the heading "Less likely"
export const GAP = 6;

export class Rows {
  /** The first `steady` photos are in separate rows, so that they never move, whatever follows them. */
  constructor(hits, steady, width) {
    this.places = [];
    this.lessLikely = undefined; // the top of its heading, if there is one
    const wanted = Math.min(220, Math.max(110, width / 4));
    let row = [];
    let shapes = 0;
    let y = 0;
    const closeRow = (height) => {
      let x = 0;
      for (const [number, shape] of row) {
        this.places[number] = { x, y, width: shape * height, height };
        x += shape * height + GAP;
      }
      y += height + GAP;
      row = [];
      shapes = 0;
    };
    const rowHeight = () => Math.min(wanted, (width - GAP * (row.length - 1)) / shapes);
    const lessLikely = hits.findIndex((hit, number) => number >= steady && hit.likely === false);
    hits.forEach((hit, number) => {
      if (row.length && (number === steady || number === lessLikely)) closeRow(rowHeight());
      if (number === lessLikely) {
        this.lessLikely = y;
        y += HEADING;
      }
      const shape = Math.min(WIDEST, Math.max(NARROWEST, hit.width / hit.height));
      row.push([number, shape]);
      shapes += shape;
      const height = (width - GAP * (row.length - 1)) / shapes;
      if (height <= wanted) closeRow(height);
    });
    if (row.length) closeRow(rowHeight());
    this.height = y;
  }

  place(number) {
    return this.places[number];
  }

  /** Return the range, as first and end, of the photos between two vertical positions. */
  between(top, bottom) {
    const first = firstWhere(this.places.length, (number) => this.places[number].y + this.places[number].height >= top);
    const end = firstWhere(this.places.length, (number) => this.places[number].y > bottom);
    return [first, Math.max(first, end)];
  }

  headings() {
    return this.lessLikely === undefined ? [] : [{ key: "less-likely", level: 2, text: "Less likely", x: 0, y: this.lessLikely }];
  }
}

/** Return the smallest number below `count` that meets a monotonic condition, or `count` if none does. */
export function firstWhere(count, holds) {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
