// The chosen pair's tokens and kinds of token; a token lists the answers in which it is shifted.
function drawSummary(pair) {
  byId("kinds-pair").textContent = pair.name;
  byId("top-tokens").replaceChildren(
    head(["Token", "Kind"], ["Times shifted", "Shifted rate", "Lift", "Answers"]),
    el("tbody", {}, ...pair.tokens.map(drawTopToken)));
  byId("categories").replaceChildren(
    head(["Kind"], ["Share of tokens", "Shifted rate", "Share of shifted", "Share of KL"]),
    el("tbody", {}, ...pair.categories.map(drawCategory)));
}

function head(words, figures) {
  const cell = (label, kind) => el("th", { scope: "col", class: kind }, label);
  return el("thead", {}, el("tr", {},
    ...words.map((label) => cell(label, "wordy")), ...figures.map((label) => cell(label, "num"))));
}

function numbers(...texts) {
  return texts.map((text) => el("td", { class: "num" }, text));
}

const count = (value) => value.toLocaleString("en");
const kind = (name) => name.replaceAll("_", " ");

function drawTopToken(token) {
  return el("tr", {},
    el("th", { scope: "row" }, el("button", { type: "button", class: "pick", onclick: () => guarded(listAnswers(token)) },
      tokenText(token.token), el("span", { class: "sr" }, ": list the answers in which it is shifted"))),
    el("td", {}, kind(token.token_category)),
    ...numbers(count(token.shifted), percent(token.shifted / token.count),
      token.lift === null ? "–" : token.lift.toFixed(1), count(token.answers.length)));
}

function drawCategory(row) {
  const rate = row.shifted_rate === null ? "–" : percent(row.shifted_rate);
  const interval = row.ci_low === null ? null
    : el("span", { class: "range" }, `[${(100 * row.ci_low).toFixed(1)}, ${(100 * row.ci_high).toFixed(1)}]`);
  return el("tr", {},
    el("th", { scope: "row" }, kind(row.token_category)),
    ...numbers(share(row.share)), el("td", { class: "num" }, rate, interval),
    ...[row.share_of_shifted, row.share_of_kl].map((value) =>
      el("td", { class: "num fill", "--share": value ?? 0 }, share(value))));
}

const share = (value) => (value === null ? "–" : percent(value));

async function listAnswers(token) {
  for (const id of ["search", "dataset", "category", "tag"]) byId(id).value = "";
  byId("least").value = 0;
  view.only = token;
  browser.entry = null;
  await relist();
  byId("answers").scrollIntoView();
}
