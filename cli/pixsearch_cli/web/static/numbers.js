// Formats numbers for the page.

const NUMBERS = new Intl.NumberFormat("en");

/** Format a whole number: "12,345". */
export function formatNumber(number) {
  return NUMBERS.format(number);
}

/** Return a count with its noun: "1 photo", "2,000 photos", and with `nouns` given "2 copies". */
export function plural(count, noun, nouns = `${noun}s`) {
  return `${NUMBERS.format(count)} ${count === 1 ? noun : nouns}`;
}
