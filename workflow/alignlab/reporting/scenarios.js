// Tables that share a place, one shown at a time: means or differences of a scenario or a judge, or
// the aspects that a judge compares.
for (const fieldset of document.querySelectorAll("[data-views]")) {
  const shown = [];
  for (let next = fieldset.parentElement.nextElementSibling; next?.dataset.view; next = next.nextElementSibling) {
    shown.push(next);
  }
  fieldset.parentElement.hidden = shown.length < 2;
  fieldset.id = `views-${fieldset.dataset.views}`;
  pills(fieldset, shown.map((table) => table.dataset.view), (place) => {
    shown.forEach((table, at) => { table.hidden = at !== place; });
  });
}
