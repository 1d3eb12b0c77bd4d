// The list of answers: filtered, searched and sorted. Its last line starts the page.
const haystacks = new Map();

// What the search looks through; answers' texts are loaded when something is first searched for.
async function haystacksOf(pair) {
  if (!haystacks.has(pair)) {
    const texts = await loadAll(`${data.pairs.indexOf(pair)}-text`, pair.textFiles);
    haystacks.set(pair, (await loadAnswers(pair)).map(({ prompt }, place) =>
      [prompt.id, ...prompt.tags, ...prompt.turns, texts[place]].join("\n").toLowerCase()));
  }
  return haystacks.get(pair);
}

const SORTS = {
  order: (one, other) => one.at - other.at,
  shifted: (one, other) => shareOf(other) - shareOf(one) || one.at - other.at,
  kl: (one, other) => other.kl - one.kl || one.at - other.at,
};

async function filter() {
  const { pair } = view;
  const search = byId("search").value.toLowerCase();
  const words = search.split(/\s+/).filter(Boolean);
  const hay = words.length ? await haystacksOf(pair) : [];
  // While texts were loading the reader may have gone on; the later call draws the list.
  if (pair !== view.pair || search !== byId("search").value.toLowerCase()) return;
  const [dataset, category, tag] = ["dataset", "category", "tag"].map((id) => byId(id).value);
  const least = Number(byId("least").value) / 100;
  const only = view.only && new Set(view.only.answers);
  view.list = view.answers
    .filter(({ prompt, at }) =>
      (!dataset || prompt.dataset === dataset) &&
      (!category || prompt.category === category) &&
      (!tag || prompt.tags.includes(tag)) &&
      (!only || only.has(at)) &&
      words.every((word) => hay[at].includes(word)))
    .filter((answer) => shareOf(answer) >= least)
    .sort(SORTS[byId("sort").value]);
  drawOnly();
  drawList();
  if (view.list.includes(view.answer)) markCurrent();
  else await show(view.list[0] ?? null);
}

function drawOnly() {
  byId("only").hidden = !view.only;
  if (!view.only) return;
  byId("only-said").replaceChildren("Only answers in which ", tokenText(view.only.token), " is shifted.");
}

function drawList() {
  byId("count").textContent = `${view.list.length.toLocaleString("en")} of ${view.answers.length.toLocaleString("en")} answers`;
  byId("least-said").textContent = `${byId("least").value} %`;
  byId("prompts").replaceChildren(...view.list.map((answer) => el("li", {}, drawItem(answer))));
}

function drawItem(answer) {
  const { prompt } = answer;
  const turn = prompt.turns.length > 1 ? `turn ${answer.turn + 1}` : null;
  const about = [prompt.id, turn, prompt.category, ...prompt.tags].filter(Boolean).join(" · ");
  const unshifted = answer.tokens - answer.marginal - answer.shifted;
  const parts = [unshifted, answer.marginal, answer.shifted];
  return el("a", { href: address(answer) },
    el("span", {}, modelText(prompt.turns[answer.turn])),
    el("i", { class: "strip", "aria-hidden": "true" },
      ...parts.map((tokens, place) => el("i", { class: CLASSES[place], "--count": tokens }))),
    el("small", {}, `${percent(shareOf(answer))} shifted · KL ${nats(answer.kl, 2)}`),
    el("small", { class: "about" }, about));
}

function markCurrent() {
  const place = view.list.indexOf(view.answer);
  markEntry(place);
  // One stop for the tab key; the arrows move on from there.
  byId("prompts").querySelectorAll("a").forEach((link, at) => { link.tabIndex = at === place ? 0 : -1; });
}

async function step(by) {
  const next = view.list[view.list.indexOf(view.answer) + by];
  if (!next) return;
  await show(next);
  remember();
}

for (const id of ["dataset", "category", "tag", "sort", "least", "search"]) {
  byId(id).addEventListener("input", () => orSay(filter()));
}
byId("only-clear").addEventListener("click", () => {
  view.only = null;
  orSay(filter());
});
byId("previous").addEventListener("click", () => orSay(step(-1)));
byId("next").addEventListener("click", () => orSay(step(1)));
orSay(start());
