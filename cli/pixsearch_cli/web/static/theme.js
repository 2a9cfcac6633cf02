// The theme: system, light or dark. It is loaded before anything is drawn, so that no page flashes in the wrong colours.
"use strict";

{
  const KEY = "pixsearch-theme"; // other apps may share the origin
  const THEMES = ["system", "light", "dark"];
  const root = document.documentElement;

  const kept = () => {
    try {
      const theme = localStorage.getItem(KEY);
      return THEMES.includes(theme) ? theme : "system";
    } catch {
      return "system"; // the browser does not permit storage
    }
  };

  const keep = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // The theme only applies to this page.
    }
  };

  const bars = ["light", "dark"].map((scheme) => [
    scheme,
    document.querySelector(`meta[name=theme-color][media*=${scheme}]`),
  ]);

  const apply = (theme) => {
    root.dataset.theme = theme;
    for (const [scheme, bar] of bars) {
      if (theme === "system") bar.media = `(prefers-color-scheme: ${scheme})`;
      else bar.media = theme === scheme ? "all" : "not all";
    }
  };

  apply(kept());
  addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) apply(kept());
  });
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      keep(next);
      apply(next);
    });
  });
}
