// Tables that share a place, and sorting: alignlab.reporting.board decides all that they show.
// Few choices are pills, many are a list.
const MANY = 8;

// Radio buttons drawn as pills; `choose` gets the index of the chosen label.
function pills(fieldset, labels, choose) {
  fieldset.append(
    ...labels.map((label, place) =>
      el("label", {},
        el("input", {
          type: "radio", name: fieldset.id, value: place, checked: place === 0,
          onchange: () => choose(place),
        }),
        el("span", {}, label))));
}

class Boards {
  constructor(node) {
    this.node = node;
    this.axes = JSON.parse(node.dataset.axes);
    this.panels = [...node.querySelectorAll(":scope > [data-choices]")].map((panel) => {
      const table = panel.querySelector("table");
      return { node: panel, table, choices: JSON.parse(panel.dataset.choices), rows: table ? [...table.tBodies[0].rows] : [] };
    });
    this.chosen = [...this.panels[0].choices];
    this.order = null;
    this.controls = this.axes.map((label, axis) => this.control(label, axis));
    const more = this.drawMore(JSON.parse(node.dataset.more));
    const controls = node.querySelector(".controls");
    controls.append(...this.controls.map((control) => control.node), ...more);
    this.said = el("p", { class: "sr", role: "status" });
    node.append(this.said);
    controls.hidden = [...controls.children].every((each) => each.hidden);
    node.addEventListener("click", (event) => this.clicked(event));
  }

  static start(node) {
    const boards = new Boards(node);
    boards.show(0);
  }

  // What chooses on one axis; nothing where there is no choice.
  control(label, axis) {
    const choices = [...new Set(this.panels.map((panel) => panel.choices[axis]))];
    const choose = (place) => {
      this.chosen[axis] = choices[place];
      this.show(axis);
      this.said.textContent = this.shown().node.querySelector(".note")?.textContent ?? "";
    };
    const many = choices.length > MANY;
    const node = many
      ? el("label", {}, `${label} `, el("select", { onchange: (event) => choose(event.target.selectedIndex) },
        ...choices.map((choice) => el("option", {}, choice))))
      : el("fieldset", { class: "pills", id: `${this.node.id}-${axis}` }, el("legend", {}, label));
    if (!many) pills(node, choices, choose);
    node.dataset.axis = label;
    node.hidden = choices.length < 2;
    return { node, mark: (choice) => {
      const place = choices.indexOf(choice);
      if (many) node.querySelector("select").selectedIndex = place;
      else node.querySelectorAll("input")[place].checked = true;
    } };
  }

  // Main columns or all of them.
  drawMore(labels) {
    if (!labels.length) return [];
    const node = el("fieldset", { class: "pills", id: `${this.node.id}-more`, "data-axis": "Metrics" }, el("legend", {}, "Metrics"));
    pills(node, labels, (place) => this.node.classList.toggle("all", place === 1));
    return [node];
  }

  // The panel of what is chosen; where there is none, one of the axis that the reader has just used.
  show(axis) {
    const fits = (panel) => panel.choices.every((choice, at) => choice === this.chosen[at]);
    const shown = this.panels.find(fits) ?? this.panels.find((panel) => panel.choices[axis] === this.chosen[axis]);
    this.chosen = [...shown.choices];
    this.controls.forEach((control, at) => control.mark(this.chosen[at]));
    for (const panel of this.panels) panel.node.hidden = panel !== shown;
    this.sort(shown);
  }

  shown() {
    return this.panels.find((panel) => !panel.node.hidden);
  }

  // First click: best on top (largest, where nothing is better); second: turned round.
  clicked(event) {
    const head = event.target.closest("thead button")?.parentElement;
    if (!head) return;
    const { key, first } = head.dataset;
    const turned = this.order?.direction === "descending" ? "ascending" : "descending";
    this.order = key ? { key, direction: this.order?.key === key ? turned : first } : null;
    this.sort(this.shown());
  }

  // Rows without a value come last, however a column is sorted.
  sort({ table, rows }) {
    if (!table) return;
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => this.order && head.dataset.key === this.order.key);
    heads.forEach((head, at) => (at === column ? head.setAttribute("aria-sort", this.order.direction) : head.removeAttribute("aria-sort")));
    if (column < 0) return table.tBodies[0].append(...rows);
    const valueOf = (row) => row.cells[column].dataset.sort;
    const known = rows.filter((row) => valueOf(row) !== undefined);
    const sign = this.order.direction === "descending" ? -1 : 1;
    known.sort((one, other) => sign * (valueOf(one) - valueOf(other)));
    table.tBodies[0].append(...known, ...rows.filter((row) => valueOf(row) === undefined));
  }
}

for (const node of document.querySelectorAll(".boards")) Boards.start(node);
