// The report's browser: a list of prompts, and every arm's answers to the chosen one.
const hidden = new Set();

// What the search looks through, lower-cased once.
const haystacks = new Map(data.prompts.map((prompt) =>
  [prompt, haystack(prompt, Object.values(prompt.answers).flat().map((answer) => answer.text))]));

function drawItem(prompt) {
  const about = [prompt.id, prompt.category, ...prompt.tags].join(" · ");
  return [el("span", {}, modelText(prompt.turns[0])), el("small", {}, about)];
}

function show(prompt) {
  byId("place").textContent = prompt ? prompt.id : "";
  if (prompt) byId("turns").replaceChildren(...prompt.turns.map((_, turn) => drawTurn(prompt, turn)));
  else byId("turns").replaceChildren(el("p", { class: "missing" }, "No prompt matches."));
  // A long answer scrolls in its card, so the card must take the keyboard.
  for (const reading of document.querySelectorAll(".reading")) {
    if (reading.scrollHeight > reading.clientHeight) reading.tabIndex = 0;
  }
}

function drawTurn(prompt, turn) {
  const label = prompt.turns.length > 1 ? `Turn ${turn + 1} of ${prompt.turns.length}` : "Prompt";
  const question = el("div", { class: "question" }, el("h3", {}, label), modelText(prompt.turns[turn]));
  const arms = data.arms.filter((arm) => !hidden.has(arm.name));
  return el("div", {}, question, el("div", { class: "cards" }, ...arms.flatMap((arm) => drawCards(prompt, turn, arm))));
}

function drawCards(prompt, turn, arm) {
  const answers = (prompt.answers[arm.name] ?? []).filter((answer) => answer.turn === turn);
  if (!answers.length) {
    return [el("section", { class: "card", "aria-label": arm.name }, cardHead(arm), el("p", { class: "missing" }, "No answer in the table."))];
  }
  return answers.map((answer, place) => {
    const sample = answers.length > 1 ? `sample ${place + 1} of ${answers.length}` : null;
    return el("section", { class: "card", "aria-label": arm.name },
      cardHead(arm, ...badges(answer, sample)), drawBody(prompt, answer, arm), drawJudgements(answer, arm), drawValues(answer));
  });
}

function cardHead(arm, ...rest) {
  return el("header", {}, el("i", { class: `dot ${arm.role}`, "aria-hidden": "true" }), el("h4", {}, arm.name), ...rest);
}

function badges(answer, sample) {
  const badge = (text, about) => el("span", { class: "badge", "data-tip": about }, text);
  return [
    finishBadge(answer),
    answer.trimmed ? badge(`trimmed: ${answer.trimmed}`, "why the text differs from the raw text") : null,
    sample ? badge(sample, null) : null,
  ];
}

// No part of the answer, so folded away; in the raw text they stand where they came.
function drawThoughts({ thoughts }) {
  if (!thoughts || byId("raw").checked) return null;
  return el("details", {}, el("summary", { class: "quiet" }, "Thoughts"), modelText(thoughts));
}

function drawBody(prompt, answer, arm) {
  const text = byId("raw").checked ? (answer.raw ?? answer.text) : answer.text;
  const reading = el("div", { class: "reading", role: "region", "aria-label": `Answer of ${arm.name}` },
    drawThoughts(answer), text ? modelText(text) : el("span", { class: "quiet" }, "empty"));
  const body = el("div", { class: byId("raw").checked ? "body raw" : "body" }, reading);
  if (isVeiled(answer, prompt)) {
    veil(body, reading, answer, () => {
      reading.tabIndex = 0;
      reading.focus();
    });
  }
  return body;
}

const shownValue = (value, { decimals }) => (value === undefined ? "–" : rounded(value, decimals));

// The main metrics at once, the rest folded away. A metric has one value for a turn's samples.
function drawValues(answer) {
  const draw = (metric) =>
    el("div", { "data-tip": metric.description }, el("dt", {}, metric.label),
      el("dd", {}, shownValue(answer.metrics[metric.name], metric)));
  const measures = data.metrics.filter((metric) => !metric.aspect);
  const list = (main) => el("dl", { class: "values" }, ...measures.filter((metric) => metric.main === main).map(draw));
  const rest = measures.some((metric) => !metric.main)
    ? el("details", { class: "more" }, el("summary", {}, "more measures"), list(false)) : null;
  return el("footer", {}, list(true), rest);
}

function drawChips() {
  byId("arms").replaceChildren(...data.arms.map((arm) =>
    el("button", { type: "button", "aria-pressed": String(!hidden.has(arm.name)), onclick: (event) => {
      const shown = hidden.delete(arm.name) || !hidden.add(arm.name);
      event.currentTarget.setAttribute("aria-pressed", String(shown));
      show(browser.entry);
    } }, arm.name)));
}

const address = (prompt) => `#prompt=${encodeURIComponent(prompt.id)}`;

async function fromAddress() {
  const prompt = data.prompts.find((each) => address(each) === location.hash);
  if (prompt) await showEntry(prompt);
  return Boolean(prompt);
}

startBrowser({
  find: ({ fits, holds }) => data.prompts.filter((prompt) => fits(prompt) && holds(haystacks.get(prompt))),
  count: (found) => `${found.length} of ${data.prompts.length} prompts`,
  item: drawItem, show, address, fromAddress,
  remember: () => history.replaceState(null, "", address(browser.entry)),
  steps: { ArrowRight: 1, ArrowLeft: -1 }, keys: {}, filters: [],
  place: () => {}, say: (error) => { throw error; },
});
fillFilters(data.prompts);
for (const id of ["raw", "reveal"]) byId(id).addEventListener("change", () => show(browser.entry));
drawChips();
relist().then(fromAddress).then((found) => { if (found) byId("answers").scrollIntoView(); });
