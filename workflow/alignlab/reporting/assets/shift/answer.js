// One answer as coloured tokens, and the panel with what both models thought of the chosen one.
const FLAGS = { tied: 1, special: 2, eos: 4, lowerBound: 8 };
const MEASURES = [
  ["kl_aligned_base", "KL(aligned ‖ base)", "What coding the aligned model's choice with the base model costs"],
  ["kl_base_aligned", "KL(base ‖ aligned)", "The other way round"],
  ["js", "Jensen–Shannon", "Between 0 and ln 2 = 0.693 nats"],
  ["base_entropy", "Entropy, base", "How undecided the base model is"],
  ["aligned_entropy", "Entropy, aligned", "How undecided the aligned model is"],
];

// Measures come as thousandths of a nat, null where they are not finite.
const nats = (milli, places = 3) => (milli === null ? "–" : (milli / 1000).toFixed(places).replace("-", "−"));
const percent = (share) => {
  const shown = 100 * share;
  if (shown > 0 && shown < 0.001) return "<0.001%";
  return `${shown >= 99.95 ? "100" : shown >= 0.095 || shown === 0 ? shown.toFixed(1) : shown.toPrecision(1)}%`;
};
const probability = (milli) => Math.exp(milli / 1000);

// A token on its own: spaces, tabs and line breaks are made visible too.
function tokenText(text) {
  const marks = { " ": "·", "\t": "⇥", "\n": "⏎" };
  const parts = text.split(/([ \t\n])/).flatMap((piece) =>
    (marks[piece] ? [el("span", { class: "blank" }, marks[piece])] : visible(piece)));
  return el("bdi", { class: "piece", dir: "auto" }, ...(text ? parts : [el("span", { class: "blank" }, "empty")]));
}

// The answer shown: its tokens once loaded, and their elements.
let shown = { tokens: null, nodes: [] };

async function show(answer, token) {
  shown = { tokens: null, nodes: [] };
  byId("next-shifted").disabled = !answer?.shifted;
  drawQuestion(answer);
  if (!answer) return;
  const tokens = await loadTokens(answer);
  // The reader may have moved on while the file was loading.
  if (browser.entry !== answer) return;
  shown = { tokens, nodes: tokens.token.map((_, at) => drawToken(tokens, at)) };
  view.token = Math.min(token ?? opening(tokens), tokens.token.length - 1);
  drawAnswer();
}

// The token to open an answer at: the one filtered by, or the first that is shifted.
function opening(tokens) {
  const fits = (at) => tokens.class[at] === 2
    && (!view.only || tokens.ids[tokens.token[at]] === view.only.token_id);
  return Math.max(0, tokens.token.findIndex((_, at) => fits(at)));
}

function drawQuestion(answer) {
  for (const id of ["question", "key", "answer", "said", "detail"]) byId(id).replaceChildren();
  if (!answer) {
    byId("answer").append(el("p", { class: "missing" }, "No answer matches."));
    return;
  }
  const { turns } = answer.prompt;
  byId("question").append(...turns.slice(0, answer.turn + 1).map((text, turn) =>
    el("div", { class: "question" },
      el("h3", {}, `Prompt ${answer.prompt.id}`, turns.length > 1 ? `, turn ${turn + 1} of ${turns.length}` : null),
      modelText(text))));
  const unshifted = answer.tokens - answer.marginal - answer.shifted;
  const counts = [unshifted, answer.marginal, `${answer.shifted} (${percent(shareOf(answer))})`];
  byId("key").append(
    ...CLASSES.map((name, place) => el("span", {}, el("span", { class: `t ${name}` }, name), ` ${counts[place]}`)),
    el("span", {}, `mean KL ${nats(answer.kl)} nats`),
    finishBadge(answer));
}

function drawToken(tokens, at) {
  const text = tokens.texts[tokens.token[at]];
  const special = tokens.flags[at] & FLAGS.special ? " special" : "";
  const parts = text.split("\n").flatMap((line, place) =>
    (place ? [el("span", { class: "blank" }, "⏎"), "\n", ...visible(line)] : visible(line)));
  return el("span", {
    class: `t ${CLASSES[tokens.class[at]]}${special}`, id: `t${at}`, role: "option", "aria-selected": "false",
  }, ...parts);
}

function drawAnswer() {
  const list = el("div", {
    class: "reading stream", role: "listbox", tabindex: "0", "aria-orientation": "horizontal",
    "aria-label": `Answer of ${view.pair.alignedModel}, token by token`, id: "stream",
    onclick: (event) => {
      const at = shown.nodes.indexOf(event.target.closest(".t"));
      if (at >= 0) select(at);
    },
  }, el("bdi", { class: "text", dir: "auto" }, ...shown.nodes));
  const body = byId("answer");
  body.replaceChildren(list);
  body.classList.remove("veiled");
  if (!isVeiled(browser.entry, browser.entry.prompt)) return drawChosen();
  byId("said").textContent = "The tokens of a safety answer show when it is opened.";
  veil(body, list, browser.entry, () => {
    drawChosen();
    list.focus({ preventScroll: true });
  });
}

function select(at) {
  if (!shown.nodes[at] || isVeiled(browser.entry, browser.entry.prompt)) return;
  view.token = at;
  drawChosen();
  shown.nodes[at].scrollIntoView({ block: "nearest" });
  remember();
}

function selectShifted(by) {
  if (!shown.tokens) return;
  for (let at = view.token + by; at >= 0 && at < shown.nodes.length; at += by) {
    if (shown.tokens.class[at] === 2) return select(at);
  }
}

function drawChosen() {
  const { tokens, nodes } = shown;
  const at = view.token;
  for (const node of byId("stream").querySelectorAll("[aria-selected=true]")) node.setAttribute("aria-selected", "false");
  nodes[at].setAttribute("aria-selected", "true");
  byId("stream").setAttribute("aria-activedescendant", nodes[at].id);
  const tied = tokens.flags[at] & FLAGS.tied ? ", tied" : "";
  const name = CLASSES[tokens.class[at]];
  byId("said").replaceChildren(
    el("b", {}, tokenText(tokens.texts[tokens.token[at]])), " ",
    el("span", { class: `t ${name}` }, name),
    el("span", { class: "quiet" }, ` position ${at}, base rank ${tokens.rank[at].toLocaleString("en")}${tied}`));
  byId("detail").replaceChildren(
    el("div", { class: "tops" }, drawTop("base", at), drawTop("aligned", at)), drawMeasures(at));
}

function drawTop(model, at) {
  const { tokens } = shown;
  const chosen = tokens.ids[tokens.token[at]];
  const top = tokens[`${model}_top`][at];
  const rows = top.map((piece, place) => drawRow(
    place + 1, tokens.texts[piece], tokens.ids[piece], tokens[`${model}_nats`][at][place], tokens.ids[piece] === chosen));
  if (!top.some((piece) => tokens.ids[piece] === chosen)) {
    const rank = model === "base" ? tokens.rank[at].toLocaleString("en") : `> ${top.length}`;
    const own = tokens[`${model}_logprob`][at];
    rows.push(drawRow(rank, tokens.texts[tokens.token[at]], chosen, own === null ? null : -own, true, "outside"));
  }
  return el("table", {},
    el("caption", {}, el("i", { class: `dot ${model}`, "aria-hidden": "true" }), el("b", {}, model),
      el("span", { class: "model", title: view.pair[`${model}Model`] }, view.pair[`${model}Model`])),
    el("tbody", {}, ...rows));
}

function drawRow(rank, text, id, surprisal, mine, kind = "") {
  const share = surprisal === null ? 0 : probability(-surprisal);
  return el("tr", { class: `${kind} ${mine ? "mine" : ""}`.trim(), "--share": share },
    el("td", { class: "rank" }, String(rank)),
    el("th", { scope: "row", title: `token id ${id}` }, tokenText(text), mine ? el("span", { class: "sr" }, " the answer’s token") : null),
    el("td", { class: "num" }, surprisal === null ? "–" : percent(share)));
}

function drawMeasures(at) {
  const { tokens } = shown;
  const bound = tokens.flags[at] & FLAGS.lowerBound ? "≥ " : "";
  const eos = tokens.flags[at] & FLAGS.eos ? ", ended the answer" : "";
  const line = (label, value, about) => el("div", { "data-tip": about }, el("dt", {}, label), el("dd", {}, value));
  return el("dl", { class: "pairs" },
    line("Kind of token", `${tokens.categories[tokens.category[at]].replaceAll("_", " ")}${eos}`),
    ...MEASURES.map(([name, label, about]) =>
      line(label, `${name.startsWith("kl") ? bound : ""}${nats(tokens[name][at])} nats`, about)));
}

const TOKEN_KEYS = {
  ArrowLeft: () => select(view.token - 1), ArrowRight: () => select(view.token + 1),
  Home: () => select(0), End: () => select(shown.nodes.length - 1),
  s: () => selectShifted(1), S: () => selectShifted(-1),
};

byId("next-shifted").addEventListener("click", () => selectShifted(1));
byId("reveal").addEventListener("change", () => { if (shown.tokens) drawAnswer(); });
