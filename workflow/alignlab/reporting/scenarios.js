// Each scenario's tables, one shown at a time: its means, or differences from one arm.
for (const fieldset of document.querySelectorAll("[data-views]")) {
  const shown = [];
  for (let next = fieldset.parentElement.nextElementSibling; next.dataset.view; next = next.nextElementSibling) {
    shown.push(next);
  }
  fieldset.id = `views-${fieldset.dataset.views}`;
  pills(fieldset, shown.map((table) => table.dataset.view), (place) => {
    shown.forEach((table, at) => { table.hidden = at !== place; });
  });
}
