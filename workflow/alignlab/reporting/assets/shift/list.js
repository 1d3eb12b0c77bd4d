// The token-shift page's browser: its list of answers, and the pair. Its last line starts the page.
const haystacks = new Map();

// What the search looks through; answers' texts are loaded when something is first searched for.
async function haystacksOf(pair) {
  if (!haystacks.has(pair)) {
    const texts = await loadAll(`${data.pairs.indexOf(pair)}-text`, pair.textFiles);
    haystacks.set(pair, (await loadAnswers(pair)).map(({ prompt }, place) => haystack(prompt, [texts[place]])));
  }
  return haystacks.get(pair);
}

const SORTS = {
  order: (one, other) => one.at - other.at,
  shifted: (one, other) => shareOf(other) - shareOf(one) || one.at - other.at,
  kl: (one, other) => other.kl - one.kl || one.at - other.at,
};

async function find({ searched, fits, holds }) {
  const { pair } = view;
  const search = byId("search").value;
  const hay = searched ? await haystacksOf(pair) : [];
  // While texts were loading the reader may have gone on; the later call draws the list.
  if (pair !== view.pair || search !== byId("search").value) return null;
  const least = Number(byId("least").value) / 100;
  byId("least-said").textContent = `${byId("least").value}%`;
  const only = view.only && new Set(view.only.answers);
  drawOnly();
  return view.answers
    .filter((answer) => fits(answer.prompt) && (!only || only.has(answer.at)) && shareOf(answer) >= least)
    .filter(({ at }) => !searched || holds(hay[at]))
    .sort(SORTS[byId("sort").value]);
}

function drawOnly() {
  byId("only").hidden = !view.only;
  if (!view.only) return;
  byId("only-said").replaceChildren("Only answers in which ", tokenText(view.only.token), " is shifted.");
}

function drawItem(answer) {
  const { prompt } = answer;
  const turn = prompt.turns.length > 1 ? `turn ${answer.turn + 1}` : null;
  const about = [prompt.id, turn, prompt.category, ...prompt.tags].filter(Boolean).join(" · ");
  const unshifted = answer.tokens - answer.marginal - answer.shifted;
  const parts = [unshifted, answer.marginal, answer.shifted];
  return [
    el("span", {}, modelText(prompt.turns[answer.turn])),
    el("i", { class: "strip", "aria-hidden": "true" },
      ...parts.map((tokens, place) => el("i", { class: CLASSES[place], "--count": tokens }))),
    el("small", {}, `${percent(shareOf(answer))} shifted · KL ${nats(answer.kl, 2)}`),
    el("small", { class: "about" }, about),
  ];
}

// The same answer and token stay in view where the other pair has them too.
async function choosePair(pair) {
  if (view.pair === pair) return;
  const { token } = view;
  const answer = browser.entry;
  const answers = await loadAnswers(pair);
  Object.assign(view, { pair, answers, only: null });
  byId("pair").value = String(data.pairs.indexOf(pair));
  drawSummary(pair);
  fillFilters(answers.map((each) => each.prompt));
  await relist();
  const same = answer && browser.list.find((each) => isSame(each, answer));
  if (same) await showEntry(same, token);
}

async function start() {
  byId("pair").append(...data.pairs.map((pair, place) => el("option", { value: place }, pair.name)));
  byId("pair").addEventListener("change", async (event) => {
    await guarded(choosePair(data.pairs[Number(event.target.value)]));
    if (browser.entry) remember();
  });
  byId("only-clear").addEventListener("click", () => {
    view.only = null;
    guarded(relist());
  });
  view.prompts = await loadAll("prompts", data.promptFiles);
  if (await fromAddress()) byId("answers").scrollIntoView();
  else if (!view.pair) await choosePair(data.pairs[0]);
}

startBrowser({
  find, item: drawItem, show, address, remember, fromAddress,
  count: (found) => `${count(found.length)} of ${count(view.answers.length)} answers`,
  steps: { ArrowDown: 1, ArrowUp: -1 }, keys: TOKEN_KEYS, filters: ["sort", "least"],
  place: () => {
    if (!isVeiled(browser.entry, browser.entry.prompt)) byId("stream")?.focus({ preventScroll: true });
  },
  // What cannot be loaded is reported where the reader looks, not in a console.
  say: (error) => byId("answer").replaceChildren(el("p", { class: "missing" }, error.message)),
});
guarded(start());
