// Loads what a view needs, and holds what is chosen: pair and token. The address keeps it.
const CLASSES = ["unshifted", "marginal", "shifted"];
const view = { pair: null, answers: [], prompts: [], token: 0, only: null };

// A data file calls `receive` as it runs: a page opened from disk may load scripts, not fetch JSON.
const received = new Map();
const loading = new Map();

function receive(name, content) {
  received.set(name, content);
}

function load(name) {
  if (!loading.has(name)) {
    loading.set(name, new Promise((resolve, reject) => {
      const src = `${data.folder}/${name}.js`;
      document.head.append(el("script", {
        src,
        onload: () => resolve(received.get(name)),
        onerror: () => {
          loading.delete(name);
          reject(new Error(`${src} cannot be loaded: it must lie beside this page, as it was built.`));
        },
      }));
    }));
  }
  return loading.get(name);
}

async function loadAll(stem, files) {
  const names = Array.from({ length: files }, (_, file) => `${stem}-${file}`);
  return (await Promise.all(names.map(load))).flat();
}

// One object an answer, from the columns of `<pair>-answers`; built once, so that it can be a key.
const answersOf = new Map();

async function loadAnswers(pair) {
  if (!answersOf.has(pair)) {
    const columns = await load(`${data.pairs.indexOf(pair)}-answers`);
    const names = Object.keys(columns);
    answersOf.set(pair, Array.from({ length: pair.answers }, (_, place) => {
      const answer = Object.fromEntries(names.map((name) => [name, columns[name][place]]));
      return { ...answer, at: place, pair, prompt: view.prompts[answer.prompt] };
    }));
  }
  return answersOf.get(pair);
}

// The answer's tokens and the tables of the file that they are in.
async function loadTokens(answer) {
  const file = await load(`${data.pairs.indexOf(answer.pair)}-${answer.file}`);
  return { ...file, ...file.answers[answer.place] };
}

const shareOf = (answer) => answer.shifted / answer.tokens;
const isSame = (one, other) =>
  one.prompt === other.prompt && one.turn === other.turn && one.sample === other.sample;

function address(answer, token) {
  const parts = new URLSearchParams({ pair: answer.pair.name, prompt: answer.prompt.id });
  if (answer.turn) parts.set("turn", answer.turn);
  if (answer.sample) parts.set("sample", answer.sample);
  if (token !== undefined) parts.set("token", token);
  return `#${parts}`;
}

function remember() {
  history.replaceState(null, "", address(browser.entry, view.token));
}

async function fromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("prompt")) return false;
  await choosePair(data.pairs.find((pair) => pair.name === parts.get("pair")) ?? data.pairs[0]);
  const number = (name) => (parts.has(name) ? Number(parts.get(name)) : undefined);
  const answer = view.answers.find((each) => each.prompt.id === parts.get("prompt")
    && each.turn === (number("turn") ?? 0) && each.sample === (number("sample") ?? 0));
  if (!answer) return false;
  await showEntry(answer, number("token"));
  return true;
}
