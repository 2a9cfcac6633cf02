// The slideshow. Each photo is shown for some seconds after its picture has loaded.

const SHOWN_MS = 5000;

export class Slideshow {
  /** `next()` shows the next photo and resolves to whether there was one. `button` starts and stops the slideshow. */
  constructor(button, next) {
    this.button = button;
    this.next = next;
    this.isOn = false;
    this.isLoading = false; // the next photo
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => this.#wait());
  }

  toggle() {
    if (this.isOn) this.stop();
    else this.#set(true);
  }

  stop() {
    this.#set(false);
  }

  /** Start the timer when a picture is shown, or the reason why it cannot be shown. */
  shown() {
    this.isLoading = false;
    this.#wait();
  }

  #set(isOn) {
    this.isOn = isOn;
    this.isLoading = false;
    const name = isOn ? "Stop the slideshow" : "Slideshow";
    this.button.setAttribute("aria-label", name);
    this.button.title = `${name} (s)`;
    this.button.classList.toggle("on", isOn);
    this.#wait();
  }

  /** Start the timer again, unless the tab is hidden. */
  #wait() {
    clearTimeout(this.timer);
    if (!this.isOn || this.isLoading || document.hidden) return;
    this.timer = setTimeout(async () => {
      this.isLoading = true;
      if (!(await this.next())) this.stop();
    }, SHOWN_MS);
  }
}
