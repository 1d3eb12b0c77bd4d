// Shared by both pages: the data, element building, safe text, tooltips.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Strings among the children become text nodes: no text of the data is ever parsed as markup.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// C0 and C1 controls except tab and newline, the invisible characters that reorder or hide text,
// and halves of surrogate pairs.
const CONTROL =
  /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}])/u;

const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

function symbol(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : codePoint(character);
}

// Text with its control characters spelled out, as text nodes and elements.
function visible(text) {
  return text.split(CONTROL).map((piece, place) => (place % 2 === 0
    ? piece
    : el("span", { class: "control", title: `control character ${codePoint(piece)}` }, symbol(piece))));
}

// Model text: isolated from the direction of the page.
const modelText = (text) => el("bdi", { class: "text", dir: "auto" }, ...visible(text));

// One tooltip for everything with `data-tip`, by mouse and by keyboard; Escape closes it.
const tip = byId("tip");

function showTip(event) {
  const anchor = event.target.closest?.("[data-tip]");
  tip.hidden = !anchor;
  if (!anchor) return;
  tip.textContent = anchor.dataset.tip;
  const place = anchor.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const left = Math.min(Math.max(12, place.left), innerWidth - size.width - 12);
  const above = place.top - size.height - 6;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 0 ? above : place.bottom + 6}px`;
}

document.addEventListener("mouseover", showTip);
document.addEventListener("focusin", showTip);
document.addEventListener("scroll", () => { tip.hidden = true; }, { capture: true, passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
});
