// Elements made of plain texts: nothing that a server or a registry says is ever read as HTML.
export const find = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

// A long name, with places where its line may end.
export function breakable(name) {
  return name.split(/(?<=[/_:@])/).flatMap((part, index) => (index ? [element("wbr"), part] : [part]));
}

// Written only where it changes, so that what was selected stays selected and nothing is drawn twice.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function sayName(node, name) {
  if (node.textContent !== name) node.replaceChildren(...breakable(name));
}

// Moves only what is not where it belongs: a node that is taken out loses the focus.
export function place(box, nodes) {
  const wanted = new Set(nodes);
  for (const node of [...box.children]) if (!wanted.has(node)) node.remove();
  nodes.forEach((node, index) => {
    if (box.children[index] !== node) box.insertBefore(node, box.children[index] ?? null);
  });
}

// A word at the foot of the page for a while, which screen readers tell.
let silence;
export function announce(text) {
  find("said").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => find("said").replaceChildren(), 6000 + 50 * text.length);
}

// What went wrong stays until somebody closes it, or all is well again.
export function complain(text) {
  find("trouble-words").textContent = text;
  find("trouble").hidden = false;
}

export function settle() {
  find("trouble").hidden = true;
}

// A dialog's answer: true if it is to be done.
export function ask(dialog) {
  dialog.returnValue = "";
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((answer) =>
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }));
}

find("trouble-close").addEventListener("click", settle);
