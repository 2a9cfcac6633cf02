// Numbers as the page shows them.

const NUMBERS = new Intl.NumberFormat("en");

/** Format a whole number: "12,345". */
export function formatNumber(number) {
  return NUMBERS.format(number);
}

/** A count with its noun: "1 photo", "2,000 photos", and with `nouns` given "2 copies". */
export function plural(count, noun, nouns = `${noun}s`) {
  return `${NUMBERS.format(count)} ${count === 1 ? noun : nouns}`;
}
