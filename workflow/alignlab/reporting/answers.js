// The browser of answers: a filtered list of prompts, and every arm's answers to the chosen one.
const chosen = { list: data.prompts, prompt: null, raw: false, hidden: new Set() };

// What the search looks through, lower-cased once.
const haystacks = new Map(data.prompts.map((prompt) => {
  const answers = Object.values(prompt.answers).flat().map((answer) => answer.text);
  return [prompt, [prompt.id, ...prompt.tags, ...prompt.turns, ...answers].join("\n").toLowerCase()];
}));

function filter() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [dataset, category, tag] = ["dataset", "category", "tag"].map((id) => byId(id).value);
  chosen.list = data.prompts.filter((prompt) =>
    (!dataset || prompt.dataset === dataset) &&
    (!category || prompt.category === category) &&
    (!tag || prompt.tags.includes(tag)) &&
    words.every((word) => haystacks.get(prompt).includes(word)));
  drawList();
  if (!chosen.list.includes(chosen.prompt)) show(chosen.list[0] ?? null);
  else markCurrent();
}

function address(prompt) {
  return `#prompt=${encodeURIComponent(prompt.id)}`;
}

function drawList() {
  byId("count").textContent = `${chosen.list.length} of ${data.prompts.length} prompts`;
  byId("prompts").replaceChildren(...chosen.list.map((prompt) => {
    const about = [prompt.id, prompt.category, ...prompt.tags].join(" · ");
    const link = el("a", { href: address(prompt) }, el("span", {}, modelText(prompt.turns[0])), el("small", {}, about));
    return el("li", {}, link);
  }));
}

function markCurrent() {
  markEntry(chosen.list.indexOf(chosen.prompt));
}

function show(prompt) {
  chosen.prompt = prompt;
  byId("place").textContent = prompt ? prompt.id : "";
  if (prompt) byId("turns").replaceChildren(...prompt.turns.map((_, turn) => drawTurn(prompt, turn)));
  else byId("turns").replaceChildren(el("p", { class: "missing" }, "No prompt matches."));
  // A long answer scrolls in its card, so the card must take the keyboard.
  for (const reading of document.querySelectorAll(".reading")) {
    if (reading.scrollHeight > reading.clientHeight) reading.tabIndex = 0;
  }
  markCurrent();
}

function step(by) {
  const next = chosen.list[chosen.list.indexOf(chosen.prompt) + by];
  if (!next) return;
  history.replaceState(null, "", address(next));
  show(next);
}

function drawTurn(prompt, turn) {
  const label = prompt.turns.length > 1 ? `Turn ${turn + 1} of ${prompt.turns.length}` : "Prompt";
  const question = el("div", { class: "question" }, el("h3", {}, label), modelText(prompt.turns[turn]));
  const arms = data.arms.filter((arm) => !chosen.hidden.has(arm.name));
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

function drawBody(prompt, answer, arm) {
  const text = chosen.raw ? (answer.raw ?? answer.text) : answer.text;
  const reading = el("div", { class: "reading", role: "region", "aria-label": `Answer of ${arm.name}` },
    text ? modelText(text) : el("span", { class: "quiet" }, "empty"));
  const body = el("div", { class: chosen.raw ? "body raw" : "body" }, reading);
  if (isVeiled(answer, prompt)) {
    veil(body, reading, answer, () => {
      reading.tabIndex = 0;
      reading.focus();
    });
  }
  return body;
}

// The main metrics at once, the rest folded away. A metric has one value for a turn's samples.
function drawValues(answer) {
  const draw = (metric) =>
    el("div", { "data-tip": metric.description }, el("dt", {}, metric.label),
      el("dd", {}, figure(answer.metrics[metric.name], Math.min(2, metric.decimals))));
  const measures = data.metrics.filter((metric) => !metric.aspect);
  const list = (main) => el("dl", { class: "values" }, ...measures.filter((metric) => metric.main === main).map(draw));
  const rest = measures.some((metric) => !metric.main)
    ? el("details", { class: "more" }, el("summary", {}, "more measures"), list(false)) : null;
  return el("footer", {}, list(true), rest);
}

function drawChips() {
  byId("arms").replaceChildren(...data.arms.map((arm) =>
    el("button", { type: "button", "aria-pressed": String(!chosen.hidden.has(arm.name)), onclick: (event) => {
      const shown = chosen.hidden.delete(arm.name) || !chosen.hidden.add(arm.name);
      event.currentTarget.setAttribute("aria-pressed", String(shown));
      show(chosen.prompt);
    } }, arm.name)));
}

function fromAddress() {
  const match = location.hash.match(/^#prompt=(.+)$/);
  const prompt = match && data.prompts.find((each) => address(each) === match[0]);
  if (prompt) show(prompt);
  return prompt;
}

// Keys belong to the browser only while it is on screen and nothing else wants them.
function keys(event) {
  const busy = event.target.closest?.("input, select, textarea, .board, [role=img], .chips");
  if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
  const place = byId("answers").getBoundingClientRect();
  if (place.top > innerHeight * 0.6 || place.bottom < 0) return;
  const by = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  if (by) step(by);
}

fillFilters(data.prompts);
for (const id of ["dataset", "category", "tag"]) byId(id).addEventListener("change", filter);
byId("search").addEventListener("input", filter);
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("raw").addEventListener("change", (event) => { chosen.raw = event.target.checked; show(chosen.prompt); });
byId("reveal").addEventListener("change", () => show(chosen.prompt));
addEventListener("hashchange", fromAddress);
document.addEventListener("keydown", keys);
drawChips();
drawList();
if (fromAddress()) byId("answers").scrollIntoView();
else show(data.prompts[0] ?? null);
