import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer

from alignlab.prompting import retrieval

POOL = [
    {"query": "how to bake bread", "answer": "With flour."},
    {"query": "why is the sky blue", "answer": "It scatters."},
    {"query": "how to bake a cake", "answer": "With sugar."},
    {"query": "who was caesar", "answer": "A Roman."},
]


@pytest.fixture
def embedder(tmp_path):
    """A sentence-transformers folder: random BERT, mean pooling, one word a token."""
    words = sorted({word for pair in POOL for word in pair["query"].split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {word: i for i, word in enumerate([*special, *words])}
    bert = tmp_path / "bert"
    tokenizer = BertTokenizer(vocab=vocab)
    tokenizer.save_pretrained(bert)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=5 + len(words), intermediate_size=32, **shape)).save_pretrained(
        bert
    )
    layers = [Transformer(str(bert)), Pooling(32)]
    SentenceTransformer(modules=layers, device="cpu").save(str(tmp_path / "model"))
    return tmp_path / "model"


def test_the_nearest_example_stands_next_to_the_question(embedder):
    prompter = retrieval.prompter({"pool": POOL, "k": 2}, embedder)
    text = prompter.render(["why is the sky blue"], [])
    examples = prompter.nearest("why is the sky blue")
    assert examples[-1] == POOL[1]
    assert text.index(examples[0]["answer"]) < text.index("It scatters.")
    assert text.endswith("why is the sky blue\n```\n\n# Answer:\n```\n")
    assert text.startswith("# Query:")


def test_a_conversation_keeps_the_examples_of_its_first_turn(embedder):
    prompter = retrieval.prompter({"pool": POOL, "k": 1}, embedder)
    first = prompter.render(["who was caesar"], [])
    second = prompter.render(["who was caesar", "why is the sky blue"], ["A general."])
    assert second.startswith(first)
