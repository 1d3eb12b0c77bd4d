import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import experiment_of, load_experiment, shipped

pytestmark = pytest.mark.usefixtures("repository")


def minimal():
    return {
        "name": "mine",
        "title": "Mine",
        "prompts": [{"dataset": "smoke-questions"}],
        "baseline": "zero-shot",
        "arms": [{"name": "zero-shot", "model": "tiny-base", "method": {"kind": "zero-shot"}}],
        "embedder": None,
    }


@pytest.fixture
def load(tmp_path):
    def load_changed(change=lambda experiment: None, text=None):
        experiment = minimal()
        change(experiment)
        path = tmp_path / "mine.yaml"
        path.write_text(text or yaml.safe_dump(experiment))
        return load_experiment(str(path))

    return load_changed


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"prompts": [{"dataset": 3}]}, ["prompts.0.dataset"]),
        (
            {"arms": [{"name": "zero-shot", "model": "tiny-base", "method": "chat"}]},
            ["arms.0.method"],
        ),
        (
            {"arms": [{"name": 1, "model": "tiny-base", "method": {"kind": "chat", "u": 1}}, 5]},
            ["arms.0.name", "arms.0.method.u", "arms.1"],
        ),
        ({"arms": []}, ["arms"]),
        ({"tuned": [{"name": "t", "base": "b", "lora": {"targets": 3}}]}, ["tuned.0.lora.targets"]),
        ({"judges": [{"name": "j", "judge": "k", "rubrics": ["r", 3]}]}, ["judges.0.rubrics.1"]),
    ],
)
def test_a_mistake_is_one_line_and_what_follows_from_it_none(load, changes, keys):
    with pytest.raises(AlignlabError) as caught:
        load(lambda experiment: experiment.update(changes))
    lines = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert set(keys) <= set(lines)
    assert len(lines) == len(set(lines))
    assert not [key for key in lines if any(of != key and of.startswith(f"{key}.") for of in lines)]


@pytest.mark.parametrize(
    ("read", "typed"),
    [(202401, "2024_01"), (1000.0, "1e3"), (7, "007"), (True, "True"), (["a"], "[a]")],
)
def test_a_name_is_what_was_typed_whatever_it_is_read_as(read, typed):
    given = ["other=1", f"experiment={typed}"]
    assert experiment_of({"experiment": read}, given) == typed
    assert experiment_of({"experiment": f"'{typed}'"}, given) == typed, "as Snakemake's FAQ says"


@pytest.mark.parametrize("read", [202401, None, True, {}])
def test_a_name_in_a_file_that_is_no_text_is_refused(read):
    with pytest.raises(AlignlabError, match=f"a name or a path, not {read!r}: .*in quotes"):
        experiment_of({"experiment": read}, [])


def test_another_folder_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AlignlabError, match=f"in {tmp_path}: .*there is notes.txt"):
        load_experiment("smoke")


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid_and_named_like_its_file(path):
    assert load_experiment(path.stem).experiment.name == path.stem


def test_a_path_is_as_good_as_a_name(load):
    assert load().experiment.arm_names == ("zero-shot",)


def arm(key, value):
    return lambda experiment: experiment["arms"][0].update({key: value})


def pairs(*changes):
    pair = {"name": "p", "aligned": "zero-shot", "base": "zero-shot"}
    return lambda experiment: experiment.update(pairs=[{**pair, **change} for change in changes])


def tuned(**changes):
    entry = {"name": "mine", "base": "tiny-base", "trainset": "pool"} | changes
    return lambda experiment: experiment.update(tuned=[entry], trainsets=[POOL])


POOL = {"name": "pool", "recipe": "sft", "answers": [{"dataset": "pool"}]}
HOW = {"model": "tiny-base", "method": {"kind": "zero-shot"}}
BAD = {"name": "bad", "prompts": [{"dataset": "redteam"}]}
WHY = {"name": "why", "of": "bad", "ask": "guided", "texts": "lfm/harm", **HOW}
LFM = {"name": "lfm", "recipe": "lfm", "mistakes": "bad", "analyses": "why"}
SCENARIO = {
    "name": "s",
    "title": "S",
    "arms": ["zero-shot", "zero-shot"],
    "against": ["zero-shot"],
    "measures": [{"label": "R", "metric": "refusal", "better": "none"}],
}


def contrast(**changes):
    """Three arms, of which two share no prompt; a judge of the second; a contrast."""
    entry = {"name": "c", "arm": "mine", "against": "second", "metrics": "echo"} | changes

    def change(experiment):
        (arm,) = experiment["arms"]
        experiment["prompts"].append({"dataset": "smoke-forbidden"})
        experiment["arms"] += [
            {**arm, "name": "mine", "datasets": ["smoke-questions"]},
            {**arm, "name": "second"},
            {**arm, "name": "third", "datasets": ["smoke-forbidden"]},
        ]
        judge = {"name": "j", "judge": "fake", "rubrics": ["judge/quality"], "arms": ["second"]}
        experiment.update(judges=[judge], contrasts=[entry])

    return change


def lessons(**changes):
    """A whole chain of mistakes, analyses and a training set, with one key of one entry changed."""
    entries = {"mistakes": [BAD], "analyses": [WHY], "trainsets": [LFM], "scenarios": [SCENARIO]}

    def change(experiment):
        for key, update in changes.items():
            entries[key] = [{**entries.get(key, [{}])[0], **update}]
        experiment.update(entries)

    return change


@pytest.mark.parametrize(
    ("prompts", "measured", "fits"),
    [
        ({"dataset": "just-eval-instruct"}, {}, False),
        ({"dataset": "just-eval-instruct"}, {"category": "safety"}, True),
        ({"dataset": "just-eval-instruct", "where": {"category": ["safety"]}}, {}, True),
        ({"dataset": "strongreject-small"}, {"dataset": "strongreject-small"}, True),
        ({"dataset": "just-eval-instruct"}, {"metric": "echo"}, True),
    ],
)
def test_a_scenario_measures_refusals_on_prompts_of_one_category(load, prompts, measured, fits):
    measure = {**SCENARIO["measures"][0], **measured}

    def change(experiment):
        experiment["prompts"] = [prompts]
        experiment["scenarios"] = [{**SCENARIO, "measures": [measure]}]

    if fits:
        assert load(change).experiment.scenarios[0].measures[0].label == "R"
    else:
        with pytest.raises(AlignlabError, match="and all may hold both"):
            load(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update(sed=1), "mine.yaml: sed: unknown key"),
        (lambda e: e.update(seed="x"), "mine.yaml: seed: .*integer.*not 'x'"),
        (lambda e: e.pop("title"), "mine.yaml: title: Field required"),
        (arm("model", "gpt-9"), r"arms.0.model: 'gpt-9' is not in the catalog; it has .*tiny-base"),
        (arm("model", "minilm"), r"arms.0.model: minilm only embeds text"),
        (arm("datasets", ["pool"]), r"arms.0.datasets.0: 'pool' is not in what .* smoke-questions"),
        (arm("method", {"kind": "zero-shot", "k": 3}), r"arms.0.method.k: unknown key"),
        (arm("method", {"kind": "none"}), r"arms.0.method: .*'zero-shot'"),
        (
            arm("method", {"kind": "retrieval", "pool": "icl/pool", "embedder": "tiny-base"}),
            r"arms.0.method.embedder: tiny-base is a language model",
        ),
        (pairs({"aligned": "none"}), r"pairs.0.aligned: 'none' is not in the .* zero-shot"),
        (pairs({"base": "none"}), r"pairs.0.base: 'none' is not in the arms .* zero-shot"),
        (pairs({}, {}), "more than one of pairs is named p"),
        (pairs({"template": "other"}), r"pairs.0.template: .*'own' or 'shared'"),
        (
            lambda e: (pairs({})(e), e.update(engine={"name": "fake"})),
            "pairs: the fake engine has no probabilities",
        ),
        (tuned(base="none"), r"tuned.0.base: 'none' is not in the catalog"),
        (tuned(base="minilm"), r"tuned.0.base: minilm only embeds text"),
        (tuned(name="tiny-base"), r"tuned.0.name: tiny-base is in the catalog"),
        (tuned(trainset="none"), r"tuned.0.trainset: 'none' is not in trainsets; it has pool"),
        (tuned(trainer="dpo", learning_rate=1e-4), "trainer dpo does not learn from recipe sft"),
        (lessons(mistakes={"prompts": [{"dataset": "x"}]}), "mistakes.0.prompts.0.dataset: 'x'"),
        (
            lessons(mistakes={"induced": {**HOW, "model": "x"}}),
            r"mistakes.0.induced.model: 'x' is not in the catalog",
        ),
        (lessons(mistakes={"name": "zero-shot"}), "of arms, mistakes and analyses is named zero"),
        (lessons(analyses={"of": "none"}), r"analyses.0.of: 'none' .* it has bad, zero-shot"),
        (lessons(analyses={"ask": "revision"}), r"analyses.0.of: 'bad' .* it has why"),
        (
            lessons(analyses={"datasets": ["smoke-questions"]}),
            r"analyses.0.datasets.0: 'smoke-questions' is not in what arms are asked there",
        ),
        (lessons(trainsets={"mistakes": "none"}), r"trainsets.0.mistakes: 'none' is not in"),
        (lessons(trainsets={"analyses": "none"}), "'none' is not in analyses of bad that recipe"),
        (lessons(trainsets={"recipe": "critique-revise"}), "'why' is not in analyses of bad that"),
        (lessons(trainsets={"recipe": "sft"}), r"trainsets.0: recipe sft does not use `analyses`"),
        (lessons(trainsets={"texts": "lfm/harm"}), "recipe lfm does not use `texts`"),
        (lessons(trainsets={"mistakes": None}), "recipe lfm needs `mistakes`|neither `answers`"),
        (
            lessons(scenarios={"measures": [{**SCENARIO["measures"][0], "metric": "wit"}]}),
            r"scenarios.0.measures.0.metric: 'wit' is not in the experiment's metrics; it has",
        ),
        (lessons(scenarios={"against": ["none"]}), r"scenarios.0.against.0: 'none' is not in"),
        (
            lambda e: (lessons()(e), e["prompts"].append({"dataset": "strongreject-small"})),
            "scenarios.0.measures.0.category: refusal is higher better on safety prompts and lower "
            "better on regular ones, and all may hold both: say `category: safety`",
        ),
        (
            lessons(studies={"name": "d", "analyses": ["why"]}),
            r"studies.0.analyses.0: 'why' is not in the analyses of an arm's answers",
        ),
        (contrast(arm="none"), r"contrasts.0.arm: 'none' is not in the experiment's arms"),
        (contrast(against=["second", "none"]), r"contrasts.0.against: 'none' is not in"),
        (contrast(against="mine"), r"contrasts.0: mine is compared with itself"),
        (contrast(metrics=["echo", "wit"]), r"contrasts.0.metrics: 'wit' is not in the exp"),
        (contrast(datasets="none"), r"contrasts.0.datasets: 'none' is not in the exp"),
        (
            contrast(category="safety", datasets="smoke-questions"),
            r"contrasts.0.category: no prompt of smoke-questions is safety",
        ),
        (contrast(against="third"), r"contrasts.0: mine and third are asked no prompt of all both"),
        (
            contrast(metrics="j:clarity"),
            r"contrasts.0.metrics: j:clarity: 'mine' is not in the arms",
        ),
        (tuned(method={"kind": "retrieval", "pool": "icl/pool"}), "retrieval would show each"),
        (lambda e: e["arms"].append(e["arms"][0]), "more than one of arms, .* is named zero-shot"),
        (lambda e: e.update(baseline="other"), "mine.yaml: baseline: 'other' is not in the exp"),
        (lambda e: e["prompts"].append({"dataset": "nope"}), r"prompts.1.dataset: 'nope' is not"),
        (lambda e: e.update(decoding={"temperature": -1}), r"decoding.temperature: .*not -1"),
        (lambda e: e.update(decoding={"samples": 3}), "`samples` above 1 needs `temperature`"),
        (lambda e: e.update(published=[{"name": "p", "responses": "q"}]), r"published.0.responses"),
    ],
)
def test_a_mistake_is_one_message_with_file_and_key(load, change, message):
    with pytest.raises(AlignlabError, match=message):
        load(change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("seed: 1\nseed: 2\n", "'seed' is given twice"),
        ("- a\n", "whole file"),
    ],
)
def test_broken_yaml(load, text, message):
    with pytest.raises(AlignlabError, match=message):
        load(text=text)


def test_unknown_experiment_lists_the_shipped_ones():
    with pytest.raises(AlignlabError, match=r"demo.*smoke"):
        load_experiment("dmeo")


def test_not_utf8(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(AlignlabError, match="not UTF-8 at byte 6"):
        load_experiment(str(path))


def test_entries_written_once_for_many_are_those_written_out(load):
    arm = {"model": "tiny-base", "method": {"kind": "urial", "prompt": "urial/constant"}}

    def out(experiment):
        for k in (0, 2):
            method = arm["method"] | {"k": k}
            experiment["arms"].append({**arm, "name": f"urial-k{k}", "method": method})

    def once(experiment):
        method = arm["method"] | {"k": "{k}"}
        entry = {"for": {"k": [0, 2]}, **arm, "name": "urial-k{k}", "method": method}
        experiment["arms"].append(entry)

    assert load(once).experiment == load(out).experiment


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"name": "a{k}", "model": "none"},
            r"arms\.1 \(k=1\)\.model: 'none' is not in the catalog",
        ),
        ({"name": "a{k}", "colour": "x"}, r"arms\.1 \(k=2\)\.colour: unknown key"),
        ({"name": "A{k}"}, r"arms\.1 \(k=1\)\.name: String should match"),
        ({"name": "same"}, r"mine\.yaml: arms\.1\.for: k is used nowhere"),
        ({"name": "same", "max_usd": "{k}"}, "more than one of arms, .* is named same"),
    ],
)
def test_a_mistake_in_a_grid_is_told_with_its_values(load, entry, said):
    arm = {"model": "tiny-base", "method": {"kind": "zero-shot"}, "for": {"k": [1, 2]}} | entry
    with pytest.raises(AlignlabError, match=said):
        load(lambda experiment: experiment["arms"].append(arm))
