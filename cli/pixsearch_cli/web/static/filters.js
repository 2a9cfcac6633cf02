// The panel of filters: what it holds is what the address says, and what is applied goes into the address.

import { values } from "./api.js";
import { LISTS, current, withPart } from "./query.js";

/** Opens and closes the form by its button. `go` is called with the query that its fields make. */
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

  /** Let the fields hold what a query says. Those of which there may be several are for one more. */
  fill(query) {
    for (const field of this.#fields()) {
      const value = LISTS.includes(field.name) ? "" : (query.get(field.name) ?? "");
      if (field.type === "checkbox") field.checked = value === field.value;
      else field.value = field.type === "date" ? firstDay(value) : value;
      field.dataset.before = valueOf(field);
    }
  }

  /** What the address asks for, with the fields that were changed. */
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

/** With a day, as a field for dates needs it: of 2021 and 2021-03 the first. */
function firstDay(text) {
  const [year, month = "01", day = "01"] = text.slice(0, 10).split("-");
  return text && `${year}-${month}-${day}`;
}
