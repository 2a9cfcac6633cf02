// A small button next to a fact about a photo, or for a word.

export function smallButton(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = text;
  button.addEventListener("click", act);
  return button;
}
