// The browser of answers, the same on both pages: filters, the list, keys, the address, veils.
// A page hands `startBrowser` what is its own:
//   find({ fits, holds }) → the entries that are listed, or null where another search overtook it
//   count(entries), item(entry), show(entry, …), address(entry), remember(), fromAddress() → whether one was shown
//   keys: key → action; steps: key → by how many entries; filters: ids of its own filters
//   place() puts the focus on what is shown; say(error) tells what went wrong
const browser = { list: [], entry: null };
const FILTERS = ["dataset", "category", "tag"];
// These scroll a page, so they are the browser's only once the focus is inside it.
const SCROLLING = ["ArrowUp", "ArrowDown", "Home", "End"];
const STEPS = { n: 1, j: 1, p: -1, k: -1 };
const LIST_STEPS = { ArrowDown: 1, ArrowUp: -1 };

// What was chosen stays chosen where there is still something of the kind.
function fillFilters(prompts) {
  fillSelect("dataset", prompts.map((prompt) => prompt.dataset));
  fillSelect("category", prompts.map((prompt) => prompt.category));
  fillSelect("tag", prompts.flatMap((prompt) => prompt.tags));
}

function fillSelect(id, values) {
  const kept = byId(id).value;
  const options = [...new Set(values)].sort();
  byId(id).replaceChildren(
    el("option", { value: "" }, "all"),
    ...options.map((value) => el("option", { value, selected: value === kept }, value)));
}

// What the search looks through; words may stand in any order.
const haystack = (prompt, texts) => [prompt.id, ...prompt.tags, ...prompt.turns, ...texts].join("\n").toLowerCase();

function wanted() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [dataset, category, tag] = FILTERS.map((id) => byId(id).value);
  return {
    searched: words.length > 0,
    fits: (prompt) => (!dataset || prompt.dataset === dataset)
      && (!category || prompt.category === category) && (!tag || prompt.tags.includes(tag)),
    holds: (hay) => words.every((word) => hay.includes(word)),
  };
}

// List what is wanted; what is shown stays so while it is listed.
async function relist() {
  const found = await browser.find(wanted());
  if (!found) return;
  browser.list = found;
  byId("count").textContent = browser.count(found);
  byId("prompts").replaceChildren(...found.map((entry) =>
    el("li", {}, el("a", { href: browser.address(entry) }, ...browser.item(entry)))));
  if (found.includes(browser.entry)) markEntry();
  else await showEntry(found[0] ?? null);
}

async function showEntry(entry, ...rest) {
  browser.entry = entry;
  markEntry();
  await browser.show(entry, ...rest);
}

// The list and its buttons; one stop for the tab key, the arrows move on from there.
function markEntry() {
  const list = byId("prompts");
  const links = list.querySelectorAll("a");
  const place = browser.list.indexOf(browser.entry);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place === links.length - 1;
  links.forEach((link, at) => {
    link.tabIndex = at === Math.max(place, 0) ? 0 : -1;
    if (at === place) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  });
  if (place < 0) return;
  // Only the list scrolls: scrollIntoView would move the page too.
  const { offsetTop, offsetHeight } = links[place].parentElement;
  const top = offsetTop - list.offsetTop;
  if (top < list.scrollTop || top + offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTop = top - list.clientHeight / 2;
  }
}

async function step(by) {
  const next = browser.list[browser.list.indexOf(browser.entry) + by];
  if (!next) return;
  await showEntry(next);
  browser.remember();
}

// Keys belong to the browser only while it is on screen and nothing else wants them.
function pressed(event) {
  if (event.target.closest?.("input, select, textarea, .controls, .scroll, .chips")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || !browser.entry) return;
  const inside = event.target.closest?.(".browser");
  const place = byId("answers").getBoundingClientRect();
  if (!inside && (place.top > innerHeight * 0.6 || place.bottom < 0 || SCROLLING.includes(event.key))) return;
  const inList = Boolean(event.target.closest?.("#prompts"));
  const by = browser.steps[event.key] ?? STEPS[event.key] ?? (inList ? LIST_STEPS[event.key] : undefined);
  if (by) guarded(step(by).then(() => keepFocus(inList)));
  else if (browser.keys[event.key]) browser.keys[event.key]();
  else return;
  event.preventDefault();
}

// A new answer is a new element: the keyboard stays on the answer, or in the list.
function keepFocus(inList) {
  if (inList) byId("prompts").querySelector("[aria-current]")?.focus({ preventScroll: true });
  else browser.place();
}

const guarded = (promise) => promise.catch(browser.say);

function startBrowser(own) {
  Object.assign(browser, own);
  for (const id of [...FILTERS, "search", ...browser.filters]) {
    byId(id).addEventListener("input", () => guarded(relist()));
  }
  byId("previous").addEventListener("click", () => guarded(step(-1)));
  byId("next").addEventListener("click", () => guarded(step(1)));
  addEventListener("hashchange", () => guarded(browser.fromAddress()));
  document.addEventListener("keydown", pressed);
}

const FINISH = {
  stop: "ended with a stop string", eos: "ended with the end token",
  length: "cut at the length limit", error: "the engine failed", unknown: "published: not known how it ended",
};
const finishBadge = ({ finish }) => el("span", { class: `badge ${finish}`, "data-tip": FINISH[finish] }, finish);

// Answers that the reader has opened stay open.
const unveiled = new Set();
const isVeiled = (answer, prompt) =>
  prompt.category === "safety" && !byId("reveal").checked && !unveiled.has(answer);

function veil(body, reading, answer, opened) {
  body.classList.add("veiled");
  reading.inert = true;
  body.append(el("button", { type: "button", class: "unveil", onclick: () => {
    unveiled.add(answer);
    body.classList.remove("veiled");
    reading.inert = false;
    opened();
  } }, "Show safety answer"));
}
