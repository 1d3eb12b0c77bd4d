// What judges say of one answer: scores, how sure a judge was, and its reasons, folded away.
// Why the judge of a metric is not qualified; empty if it is, or there is none.
const doubtOf = (metric) => metric.aspect?.doubt ?? "";
const ownJudge = (arm, metric) =>
  (metric.aspect?.ownArms.includes(arm.name) ? "judged by its own model: it may favour itself" : "");

function rounded(value, places) {
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212");
}

const STATUS = {
  unparseable: "its reply could not be read", refused: "it declined to judge",
  api_error: "it could not be reached", skipped: "it was not asked",
};

function drawJudgements(answer, arm) {
  const found = data.metrics.filter((metric) => metric.aspect && answer.judged[metric.name]);
  if (!found.length) return null;
  const judges = [...new Set(found.map((metric) => metric.aspect.judge))];
  const lists = judges.map((judge) => el("dl", { class: "values" },
    el("div", { class: "who" }, el("dt", {}, judge)),
    ...found.filter((metric) => metric.aspect.judge === judge)
      .map((metric) => drawJudgement(metric, answer.judged[metric.name], arm))));
  return el("div", { class: "judgements" }, ...lists, drawReasons(found, answer));
}

function drawJudgement(metric, said, arm) {
  const doubt = doubtOf(metric);
  const about = [said.status ? STATUS[said.status] : sure(said.shares), doubt && `? ${doubt}`, ownJudge(arm, metric)];
  return el("div", { class: doubt ? "untrusted" : null, "data-tip": about.filter(Boolean).join("\n") || null },
    el("dt", {}, doubt ? `${metric.aspect.label} ?` : metric.aspect.label),
    el("dd", {}, said.status
      ? el("span", { class: "badge error" }, said.status.replace("_", " "))
      : rounded(said.score, Number.isInteger(said.score) ? 0 : 2)),
    drawShares(said.shares));
}

const sure = (shares) => (shares
  ? `Probability of each word of the scale, worst first: ${shares.map((share) => share.toFixed(2)).join(", ")}` : "");

// A bar a word of the scale, worst at the left; the likeliest is as high as the line.
function drawShares(shares) {
  if (!shares) return null;
  const most = Math.max(...shares);
  const bars = shares.map((share) => el("i", { "--share": `${Math.round((100 * share) / most)}%` }));
  return el("span", { class: "spread", "aria-hidden": "true" }, ...bars);
}

function drawReasons(metrics, answer) {
  const given = metrics.filter((metric) => answer.judged[metric.name].reason);
  if (!given.length) return null;
  return el("details", { class: "more reasons" },
    el("summary", {}, given.length === 1 ? "why: 1 reason" : `why: ${given.length} reasons`),
    ...given.map((metric) => el("p", { class: doubtOf(metric) ? "untrusted" : null },
      el("b", {}, metric.label), " ", modelText(answer.judged[metric.name].reason))));
}
