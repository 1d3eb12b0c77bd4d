// Numbers of the report as people read them, as formats.py writes them, and doubts about a judge's.
// Rounded down: what is not all is never shown as 100%.
const percent = (share) => `${Math.floor(100 * share + 1e-9)}%`;

function figure(value, places, plus = false) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(places);
  if (Number(text) === 0) return text.replace("-", "");
  return (plus && value > 0 ? "+" : "") + text.replace("-", "\u2212");
}

function pValue(value) {
  if (value === null) return "p undefined";
  if (value < 0.001) return "p < .001";
  return value > 0.9995 ? "p = 1" : `p = ${value.toFixed(3).slice(1)}`;
}

// Why the judge of a metric is not to be believed; empty if it is, or there is none.
const doubtOf = (metric) => metric.aspect?.doubt ?? "";

function ownJudge(arm, metric) {
  return metric.aspect?.ownArms.includes(arm.name) ? "judged by its own model: it may favour itself" : "";
}
