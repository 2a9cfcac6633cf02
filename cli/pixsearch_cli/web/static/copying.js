// Copies text to the clipboard. If the browser does not permit that, as over plain HTTP, shows the text to copy it by hand.

const dialog = document.getElementById("copying");
const field = dialog.querySelector("textarea");
dialog.querySelector("button").addEventListener("click", () => dialog.close());

/** Copy a text, and return whether it is in the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field.value = text;
    dialog.showModal();
    field.focus();
    field.select();
    return false;
  }
}
