// Two toggles in the viewer: the information panel and full screen.

const KEY = "pixsearch-info"; // other apps may share the origin

/** The information panel, which a button shows and hides. The setting is kept for the session. */
export class InfoPanel {
  constructor(panel, button) {
    this.panel = panel;
    this.button = button;
    button.addEventListener("click", () => this.toggle());
    this.#set(kept() !== "hidden");
  }

  toggle() {
    const isShown = this.panel.hidden;
    this.#set(isShown);
    try {
      sessionStorage.setItem(KEY, isShown ? "shown" : "hidden");
    } catch {
      // The setting only applies to this page.
    }
  }

  #set(isShown) {
    this.panel.hidden = !isShown;
    this.button.setAttribute("aria-expanded", String(isShown));
  }
}

function kept() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // the browser does not permit storage
  }
}

/** Full screen for an element. Without browser support, as on iPhones, the button is hidden. */
export class FullScreen {
  constructor(element, button) {
    this.element = element;
    button.hidden = !document.fullscreenEnabled;
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("fullscreenchange", () => button.setAttribute("aria-pressed", String(this.isOn)));
  }

  get isOn() {
    return document.fullscreenElement === this.element;
  }

  toggle() {
    if (this.isOn) this.leave();
    else if (document.fullscreenEnabled) this.element.requestFullscreen().catch(() => {}); // the user does not permit it
  }

  leave() {
    if (this.isOn) document.exitFullscreen().catch(() => {}); // full screen has ended already
  }
}
