// The facts about a photo, as a list of names and values.

import { encodedPath } from "./api.js";
import { copy } from "./copying.js";
import { percent } from "./grid.js";
import { smallButton } from "./small_button.js";

const DATE_NAMES = { taken: "Taken", edited: "Edited", guessed: "Date in file name" };
const FORMAT_NAMES = { MPO: "JPEG", JPEG2000: "JPEG 2000", JXL: "JPEG XL", HEIF: "HEIC" };
const NUMBERS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
// The time on the camera's clock, in the user's language but not in the user's time zone.
const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short", timeZone: "UTC" });

/**
 * Show the known facts about a photo in a list. `go` is called with the parts of a query that a button adds. Return a function that
 * adds the exposure, which arrives later.
 */
export function showFacts(list, photo, go) {
  const { people = [], keywords = [], copies = [], similar = [], writing } = photo;
  const fact = (name, ...values) => addFact(list, name, ...values);
  list.replaceChildren();
  if (photo.score != null) fact("Match", `${photo.certainty} · rank ${photo.rank} (${percent(photo.score)})`);
  else if (photo.match != null) fact("Match", `rank ${photo.rank} (${photo.match.toFixed(2)})`);
  if (photo.similarity != null) fact("Similarity", `${photo.similarity.toFixed(3)} · rank ${photo.similarity_rank}`);
  if (photo.says?.length) {
    if (photo.probability != null) fact("Shows the query", percent(photo.probability));
    fact("Matching text", photo.says.map((one) => `"${one.word}" (${one.source})`).join(", "));
  }
  if (photo.title) fact("Title", photo.title);
  if (photo.caption) fact("Caption", photo.caption);
  if (photo.taken_at) fact(DATE_NAMES[photo.date_kind] ?? "Taken", dateOf(photo.taken_at));
  if (photo.latitude != null && photo.longitude != null) {
    const place = document.createElement("a");
    place.href = `geo:${photo.latitude},${photo.longitude}`;
    place.textContent = `${degrees(photo.latitude, "N", "S")} ${degrees(photo.longitude, "E", "W")}`;
    fact("Place", ...(photo.place ? [`${photo.place}, `] : []), place);
  }
  if (photo.location) fact("Location", photo.location);
  if (people.length) fact("People", ...buttons(people, (name) => go({ person: name })));
  if (photo.camera) fact("Camera", `${photo.camera} `, smallButton("Show only these", () => go({ camera: photo.camera })));
  if (photo.lens) fact("Lens", photo.lens);
  const before = list.lastChild;
  if (photo.rating > 0) fact("Rating", stars(photo.rating));
  else if (photo.rating) fact("Rating", "Rejected");
  if (keywords.length) fact("Keywords", ...buttons(keywords, (word) => go({ keyword: word })));
  if (writing?.length) {
    const lines = document.createElement("span");
    lines.className = "writing";
    lines.textContent = writing.join("\n");
    fact("Text in photo", lines);
  }
  fact("File", fileName(photo.path));
  fact("Size", sizeOf(photo));
  if (photo.share_decoded < 1) fact("Truncated", `${percent(photo.share_decoded)} of the photo can be read`);
  const folder = photo.path.slice(0, photo.path.lastIndexOf("/")) || "/";
  fact("Folder", `${folder} `, smallButton("Show only these", () => go({ folder })));
  fact("Path", code(photo.path), " ", copyButton("Copy path", photo.path), " ", copyButton("Copy file link", fileAddress(photo.path)));
  if (copies.length) fact("Copies", ...copies.flatMap((path) => [code(path), " "]));
  if (similar.length) fact("Similar photos", ...similar.flatMap((path) => [code(path), " "]));
  return (exposure) => {
    const text = exposureOf(exposure);
    if (!text) return;
    const added = addFact(list, "Exposure", text);
    if (before) before.after(...added);
    else list.prepend(...added);
  };
}

/** Add a name with its values, which are strings or elements. */
export function addFact(list, name, ...values) {
  const term = document.createElement("dt");
  term.textContent = name;
  const value = document.createElement("dd");
  value.append(...values);
  list.append(term, value);
  return [term, value];
}

export function fileName(path) {
  return path.split("/").pop();
}

/** Return the file URL of a path, for file managers. */
export function fileAddress(path) {
  return path.includes("://") ? path : `file://${path.split("/").map(encodedPath).join("/")}`;
}

/** Return the date and time on the camera's clock, with the time zone if the file contains it. */
function dateOf(takenAt) {
  const time = document.createElement("time");
  time.dateTime = takenAt;
  time.lang = CLOCK.resolvedOptions().locale;
  const zone = takenAt.match(/([+-]\d\d:\d\d)/)?.[1];
  const text = CLOCK.format(new Date(`${takenAt.slice(0, 19)}Z`));
  time.textContent = zone ? `${text} (UTC${zone === "+00:00" ? "" : zone})` : text;
  return time;
}

/** Return the size in pixels, megapixels and bytes, and the format, as far as they are known. */
function sizeOf({ width, height, size_bytes: bytes, format }) {
  const megapixels = (width * height) / 1e6;
  return [
    `${width} × ${height}`,
    ...(megapixels >= 0.1 ? [`${NUMBERS.format(megapixels)} MP`] : []),
    ...(bytes == null ? [] : [bytes < 1e6 ? `${NUMBERS.format(Math.max(0.1, bytes / 1e3))} kB` : `${NUMBERS.format(bytes / 1e6)} MB`]),
    ...(format ? [FORMAT_NAMES[format] ?? format] : []),
  ].join(" · ");
}

function exposureOf({ aperture, shutter_s: shutter, iso, focal_length_mm: length, focal_length_35mm: film }) {
  return [
    ...(aperture == null ? [] : [`f/${NUMBERS.format(aperture)}`]),
    ...(shutter == null ? [] : [`${shutter < 0.25001 ? `1/${Math.round(1 / shutter)}` : NUMBERS.format(shutter)} s`]),
    ...(iso == null ? [] : [`ISO ${iso}`]),
    ...(length == null ? [] : [`${NUMBERS.format(length)} mm`]),
    ...(film == null || Math.round(length) === film ? [] : [`${film} mm (35 mm equivalent)`]),
  ].join(" · ");
}

function stars(rating) {
  const shown = document.createElement("span");
  shown.textContent = "★".repeat(rating) + "☆".repeat(5 - rating);
  shown.setAttribute("role", "img");
  shown.setAttribute("aria-label", `${rating} of 5 stars`);
  return shown;
}

function buttons(values, act) {
  return values.flatMap((value) => [smallButton(value, () => act(value)), " "]);
}

function copyButton(text, value) {
  const button = smallButton(text, async () => {
    if (await copy(value)) button.textContent = "Copied";
  });
  return button;
}

function code(text) {
  const element = document.createElement("code");
  element.textContent = text;
  return element;
}

function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
}
