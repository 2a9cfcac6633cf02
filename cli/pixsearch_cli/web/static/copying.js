// Text for the clipboard; where a browser has none for pages, as over plain HTTP, it is shown to be copied by hand.

const dialog = document.getElementById("copying");
const field = dialog.querySelector("textarea");
dialog.querySelector("button").addEventListener("click", () => dialog.close());

/** Copy a text. Gives whether it is in the clipboard. */
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
