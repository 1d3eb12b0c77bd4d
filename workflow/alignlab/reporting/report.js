// The first prompt of each arm, as it was sent.
byId("first-prompts").append(
  ...data.firstPrompts.map(({ arm, text }, place) =>
    el("details", { open: place === 0 },
      el("summary", {}, arm, el("span", { class: "quiet" }, ` · ${text.length.toLocaleString("en")} characters`)),
      el("pre", { tabindex: "0" }, modelText(text)))));
