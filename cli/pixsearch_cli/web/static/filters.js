// The filter panel. Its fields show the filters in the address, and applying them changes the address.

import { values } from "./api.js";
import { LISTS, current, withPart } from "./query.js";

/** A form that a button opens and closes. `go` is called with the query of its fields. */
export class FilterPanel {
  constructor(form, button, go) {
    this.form = form;
    this.button = button;
    button.addEventListener("click", () => (form.hidden ? this.open() : this.close()));
    form.querySelector(".close").addEventListener("click", () => this.close());
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const query = this.#query();
      this.close();
      go(query);
    });
  }

  open() {
    this.fill(current());
    this.form.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.#fields()[0].focus();
    this.#offerValues();
  }

  close() {
    if (this.form.hidden) return;
    this.form.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.button.focus();
  }

  /** Fill the fields from a query. Fields for repeatable filters stay empty: they add one more value. */
  fill(query) {
    for (const field of this.#fields()) {
      const value = LISTS.includes(field.name) ? "" : (query.get(field.name) ?? "");
      if (field.type === "checkbox") field.checked = value === field.value;
      else field.value = field.type === "date" ? firstDay(value) : value;
      field.dataset.before = valueOf(field);
    }
  }

  /** Return the query in the address, updated with the changed fields. */
  #query() {
    let query = current();
    for (const field of this.#fields()) {
      if (valueOf(field) !== field.dataset.before) query = withPart(query, field.name, valueOf(field));
    }
    return query;
  }

  #fields() {
    return [...this.form.elements].filter(({ name }) => name);
  }

  async #offerValues() {
    const known = await values().catch(() => ({}));
    for (const [kind, ofKind] of Object.entries(known)) {
      const options = ofKind.map(({ value, count }) => Object.assign(document.createElement("option"), { value, label: `${value} (${count})` }));
      document.getElementById(`values-${kind}`)?.replaceChildren(...options);
    }
  }
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked ? field.value : "";
  return field.value.trim();
}

/** Return a full date, as a date field needs it: the first day of 2021 or 2021-03. */
function firstDay(text) {
  const [year, month = "01", day = "01"] = text.slice(0, 10).split("-");
  return text && `${year}-${month}-${day}`;
}
