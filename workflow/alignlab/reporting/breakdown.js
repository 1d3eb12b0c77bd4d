// Means by tag, source, category and turn: groups by arms, one metric at a time.
const BY = ["tag", "source", "category", "turn"];

function drawGroupCell(metric, arm, values) {
  if (!values) return el("td", { class: "none" }, "–");
  const [mean, low, high, n, coverage] = values;
  if (mean === null) return el("td", { class: "none" }, el("span", { class: "share" }, `coverage ${percent(coverage)}`));
  const places = metric.decimals;
  const covered = coverage < 1 ? `, ${percent(coverage)} covered` : "";
  const about = `${arm.name}: 95% interval ${figure(low, places)} to ${figure(high, places)}, ${n} prompts${covered}`;
  return el("td", { class: doubtOf(metric) ? "untrusted" : null, "data-tip": about }, el("span", { class: "value" }, figure(mean, places)));
}

function drawGroups(metric, groups) {
  const arms = data.arms.filter((arm) => Object.values(groups).some((cells) => cells[arm.name]));
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Group"),
    ...arms.map((arm) => el("th", { scope: "col" }, el("b", {}, arm.name)))));
  const rows = Object.entries(groups).map(([group, cells]) => el("tr", {},
    el("th", { scope: "row" }, el("b", {}, modelText(group))),
    ...arms.map((arm) => drawGroupCell(metric, arm, cells[arm.name]))));
  byId("breakdown-table").replaceChildren(head, el("tbody", {}, ...rows));
  byId("breakdown-doubt").textContent = doubtOf(metric) && `? ${metric.label}: ${doubtOf(metric)}.`;
}

function startBreakdown() {
  const metrics = data.metrics.filter((metric) => data.breakdown[metric.name]);
  const kinds = BY.filter((by) => metrics.some((metric) => data.breakdown[metric.name][by]));
  const shown = { metric: metrics[0], by: kinds[0] };
  const draw = () => drawGroups(shown.metric, data.breakdown[shown.metric.name][shown.by] ?? {});
  const select = byId("breakdown-metric");
  select.append(...metrics.map((metric, place) => el("option", { value: place }, metric.label)));
  select.addEventListener("change", () => { shown.metric = metrics[select.value]; draw(); });
  pills(byId("breakdown-by"), kinds, (place) => { shown.by = kinds[place]; draw(); });
  draw();
}

if (byId("breakdown")) startBreakdown();
