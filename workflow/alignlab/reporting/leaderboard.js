// The leaderboard: arms by metrics, as means or as paired differences from the baseline.
const view = { slice: data.slices[0], difference: false, all: false, sort: null };

// A judge rates some kinds of prompts only: a slice without any has no column for it.
const shownMetrics = () => data.metrics.filter((metric) => (view.all || metric.main) &&
  Object.values(view.slice.estimates).some((cells) => metric.name in cells));
const grid = () => (view.difference ? view.slice.differences : view.slice.estimates);
const cellOf = (arm, metric) => grid()[arm.name]?.[metric.name];
const valueOf = (arm, metric) => cellOf(arm, metric)?.value ?? null;
const placesOf = (metric) => (view.difference ? metric.changeDecimals : metric.decimals);

// The best value is marked only where more, or less, is better; ties as shown are all best.
function bestOf(metric) {
  if (view.difference || metric.better === "none" || doubtOf(metric)) return null;
  const values = data.arms.map((arm) => valueOf(arm, metric)).filter((value) => value !== null);
  if (values.length < 2) return null;
  const best = metric.better === "higher" ? Math.max(...values) : Math.min(...values);
  return figure(best, placesOf(metric));
}

// Every cell of a column shares one scale, which holds zero when differences are shown.
function scaleOf(metric) {
  const cells = data.arms.map((arm) => cellOf(arm, metric)).filter((cell) => cell && cell.low !== null);
  const ends = cells.flatMap((cell) => [cell.low, cell.high, cell.value]);
  if (view.difference) ends.push(0);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const span = high - low || 1;
  return (value) => `${(4 + (92 * (value - low)) / span).toFixed(1)}%`;
}

function track(cell, scale) {
  if (cell.low === null) return null;
  const ends = { "--low": scale(cell.low), "--high": scale(cell.high), "--at": scale(cell.value) };
  const zero = view.difference ? el("u", { "--zero": scale(0) }) : null;
  return el("span", { class: "track", "aria-hidden": "true", ...ends }, zero, el("i"), el("b"));
}

function cellTip(cell, arm, metric) {
  return [numbersOf(cell), doubtOf(metric) && `? ${doubtOf(metric)}`, ownJudge(arm, metric)].filter(Boolean).join("\n");
}

function numbersOf(cell) {
  if (!view.difference) return `${cell.n} of ${view.slice.prompts} prompts have a value`;
  const detectable = cell.detectable === null ? "" : `\nfound with 80% power, alone: ${cell.detectable.toPrecision(2)}`;
  return `${cell.n} pairs · ${cell.test ?? "no test"}${detectable}`;
}

function drawCell(arm, metric, scale, best) {
  const cell = cellOf(arm, metric);
  if (!cell || cell.value === null) return drawMissing(cell, metric);
  const places = placesOf(metric);
  const value = figure(cell.value, places, view.difference);
  const range = `[${figure(cell.low, places, view.difference)}, ${figure(cell.high, places, view.difference)}]`;
  const classes = [
    value === best ? "best" : "", view.difference && !cell.told ? "faint" : "", doubtOf(metric) ? "untrusted" : "",
  ];
  const covered = !view.difference && cell.coverage < 1
    ? el("span", { class: "share" }, `${percent(cell.coverage)} covered`) : null;
  return el("td", { class: classes.filter(Boolean).join(" ") || null, "data-tip": cellTip(cell, arm, metric) },
    el("span", { class: "value" }, value),
    el("span", { class: "range" }, view.difference ? `${range} ${pValue(cell.p)}` : range),
    track(cell, scale),
    covered);
}

// A judge that scored too few answers has no mean: its coverage stands there, never a zero.
function drawMissing(cell, metric) {
  if (!cell || !metric.aspect || view.difference) return el("td", { class: "none" }, "–");
  const needed = `the judge scored ${percent(cell.coverage)} of the answers; a mean needs ${percent(metric.aspect.minCoverage)}`;
  return el("td", { class: "none", "data-tip": needed }, el("span", { class: "share" }, `coverage ${percent(cell.coverage)}`));
}

function drawArm(arm) {
  const tag = arm.name === data.baseline ? el("span", { class: "tag" }, "baseline") : null;
  return el("th", { scope: "row", class: "arm", "data-tip": [arm.model, arm.method, arm.settings].filter(Boolean).join(" · ") },
    el("i", { class: `dot ${arm.role}`, "aria-hidden": "true" }), el("b", {}, arm.name), tag,
    el("small", {}, `${arm.model} · ${arm.method}`),
    el("span", { class: "sr" }, `, ${arm.role} model`));
}

function sortedArms() {
  if (!view.sort) return data.arms;
  const { metric, descending } = view.sort;
  const known = data.arms.filter((arm) => valueOf(arm, metric) !== null);
  const order = descending ? -1 : 1;
  known.sort((a, b) => order * (valueOf(a, metric) - valueOf(b, metric)));
  return [...known, ...data.arms.filter((arm) => valueOf(arm, metric) === null)];
}

// First click: best on top (largest, where nothing is better); second: turned round.
function sortBy(metric) {
  const again = view.sort?.metric === metric;
  view.sort = { metric, descending: again ? !view.sort.descending : metric.better !== "lower" };
  drawBoard();
  byId("board").querySelector(`[data-metric="${metric.name}"]`).focus();
}

function drawHead(metrics) {
  const reset = el("button", { type: "button", "data-tip": "Back to the experiment's order", onclick: () => {
    view.sort = null;
    drawBoard();
  } }, "Arm");
  const heads = metrics.map((metric) => {
    const sorted = view.sort?.metric === metric;
    const arrow = { higher: "higher better", lower: "lower better" }[metric.better];
    const about = [metric.description, doubtOf(metric) && `? ${doubtOf(metric)}`].filter(Boolean).join("\n");
    return el("th", {
      scope: "col", class: doubtOf(metric) ? "untrusted" : null,
      "aria-sort": sorted ? (view.sort.descending ? "descending" : "ascending") : null,
    },
      el("button", {
        type: "button", "data-metric": metric.name, "data-tip": about,
        "aria-description": about, onclick: () => sortBy(metric),
      }, doubtOf(metric) ? `${metric.label} ?` : metric.label),
      el("span", { class: "unit" }, [metric.unit, arrow].filter(Boolean).join(" · ")));
  });
  return el("thead", {}, el("tr", {}, el("th", { scope: "col" }, reset), ...heads));
}

function drawBoard() {
  const metrics = shownMetrics();
  const scales = metrics.map(scaleOf);
  const bests = metrics.map(bestOf);
  const rows = sortedArms().map((arm) =>
    el("tr", { class: `${arm.role}-row` }, drawArm(arm),
      ...metrics.map((metric, place) => drawCell(arm, metric, scales[place], bests[place]))));
  byId("board").replaceChildren(drawHead(metrics), el("tbody", {}, ...rows));
  byId("board-note").textContent = note();
  byId("board-doubts").replaceChildren(...footnotes(metrics));
}

// A table taller than the window scrolls by itself, so that its headings stay in sight.
byId("board").parentElement.classList.toggle("tall", data.arms.length > 12);

// Why columns are grey, a line a reason.
function footnotes(metrics) {
  const doubtful = metrics.filter(doubtOf);
  return [...new Set(doubtful.map(doubtOf))].map((reason) => el("p", { class: "doubts" },
    `? ${doubtful.filter((metric) => doubtOf(metric) === reason).map((metric) => metric.label).join(", ")}: ${reason}.`));
}

function note() {
  const count = `${view.slice.label}: ${view.slice.prompts} prompts. `;
  if (!view.difference) {
    return `${count}Mean over prompts and its 95% interval. “Best” marks the best mean, ` +
      "which need not differ from the next: look at the differences for that.";
  }
  if (!Object.keys(view.slice.differences).length) {
    return `${count}Paired differences are made over all prompts and by dataset, not by category.`;
  }
  return `${count}Each arm minus ${data.baseline}, paired by prompt: mean, 95% interval and ` +
    "Holm-adjusted p. Filled dots are told apart from zero, hollow ones are not.";
}

pills(byId("slice"), data.slices.map((slice) => `${slice.label} (${slice.prompts})`), (place) => {
  view.slice = data.slices[place];
  drawBoard();
});
pills(byId("view"), ["values", `difference from ${data.baseline}`], (place) => {
  view.difference = place === 1;
  drawBoard();
});
if (data.metrics.some((metric) => !metric.main)) {
  pills(byId("extent"), ["main", `all ${data.metrics.length}`], (place) => {
    view.all = place === 1;
    drawBoard();
  });
} else {
  byId("extent").hidden = true;
}
drawBoard();
