// The picture of the open photo. The previous picture stays until the new one has loaded. Neighbouring photos are preloaded.

import { imageAddress, thumbnailAddress } from "./api.js";

const SOON_MS = 250; // until a small thumbnail replaces the previous picture
const ALIKE = 0.02; // the difference allowed between the aspect ratios of an original and its thumbnail
const SHOWN_EVERYWHERE = ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "AVIF"];
const SHOWN_IN_SOME_BROWSERS = ["TIFF", "HEIF", "JPEG2000", "JXL"];

export class Picture {
  /** `arrived(image, isLarge)` is called when a picture is in the frame, `failed(address)` when one cannot be loaded. */
  constructor(frame, { arrived, failed }) {
    this.frame = frame;
    this.arrived = arrived;
    this.failed = failed;
    this.near = new Map(); // the large thumbnails of this photo and its neighbours, by id
    this.formats = new Set([...SHOWN_EVERYWHERE, ...SHOWN_IN_SOME_BROWSERS]); // formats that this browser is not known to fail on
    this.clear();
  }

  /** Show a photo; `words` describe it for people who cannot see it. */
  async show(photo, words) {
    const { id } = photo;
    this.photo = photo;
    this.words = words;
    this.isOriginal = false;
    const ahead = this.near.get(id);
    const hasFailed = ahead?.complete && !ahead.naturalWidth;
    const image = ahead && !hasFailed ? ahead : loading(thumbnailAddress(id, "large"));
    this.near.set(id, image);
    const late = setTimeout(() => this.#showSmall(photo), SOON_MS);
    try {
      await image.decode();
      if (this.photo === photo) this.#put(image, photo);
    } catch {
      if (this.photo === photo) this.failed(image.src);
    }
    clearTimeout(late);
  }

  /** Load the large thumbnails of the photos with these ids, and drop all others. */
  preload(ids) {
    for (const [id, image] of this.near) {
      if (ids.includes(id) || id === this.photo.id) continue;
      if (!image.complete) image.removeAttribute("src");
      this.near.delete(id);
    }
    for (const id of ids) {
      if (!this.near.has(id)) this.near.set(id, loading(thumbnailAddress(id, "large")));
    }
  }

  /** Show the original if the thumbnail is less than this many pixels wide, and the browser can show the format. */
  async refine(width, format) {
    const { photo } = this;
    const isWanted = width > this.image.naturalWidth && photo.width > this.image.naturalWidth && this.shown === photo;
    if (!isWanted || this.isOriginal || !this.formats.has(format)) return;
    this.isOriginal = true;
    const image = loading(imageAddress(photo.id));
    try {
      await image.decode();
    } catch {
      if (SHOWN_IN_SOME_BROWSERS.includes(format)) this.formats.delete(format);
      return;
    }
    // They differ for truncated files, and for files whose orientation the browser ignores.
    const isAlike = Math.abs(Math.log(shapeOf(image) / shapeOf(this.image))) < ALIKE;
    if (this.photo === photo && this.shown === photo && isAlike) this.#put(image);
  }

  /** Forget the photo and all preloaded pictures. */
  clear() {
    this.photo = undefined;
    this.near.clear();
    this.empty();
  }

  /** Show no picture. */
  empty() {
    this.shown = undefined;
    this.image = new Image();
    this.image.hidden = true;
    this.frame.querySelector("img").replaceWith(this.image);
    this.frame.classList.remove("late");
  }

  /** Show the small thumbnail, which is usually cached, so that the previous picture is not mistaken for this one. */
  async #showSmall(photo) {
    if (this.photo !== photo) return;
    this.frame.classList.add("late");
    const image = loading(thumbnailAddress(photo.id));
    await image.decode().catch(() => {});
    if (image.naturalWidth && this.photo === photo && this.shown !== photo) this.#put(image);
  }

  #put(image, photo) {
    image.alt = this.words;
    image.hidden = false;
    this.image.replaceWith(image);
    this.image = image;
    this.frame.classList.remove("late");
    this.shown = photo ?? this.shown;
    this.arrived(image, photo !== undefined);
  }
}

function loading(address) {
  const image = new Image();
  image.draggable = false;
  image.src = address;
  return image;
}

function shapeOf({ naturalWidth, naturalHeight }) {
  return naturalWidth / naturalHeight;
}
