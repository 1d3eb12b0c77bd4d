"""Small tokenizers of every kind, and chat templates in the form that their makers document."""

from functools import cache

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "Why is the sky blue? Because short waves scatter more, said 12 people of 340.",
    "Explain the words please; user and assistant and model and system take turns.\n\nWell?",
    "### Instruction: ### Response: USER: ASSISTANT: [INST] <<SYS>> </s> <|im_end|> im_end eos bos",
    "première réponse — naïve 日本語 🙂",
] * 3
BYTES = pre_tokenizers.ByteLevel.alphabet()
SPACE = "\u2581"


def _bpe(special, normalizer=None, pre=None, decoder=None, alphabet=(), **own):
    made = Tokenizer(models.BPE(unk_token=None if alphabet else "<unk>", **own))
    made.normalizer = normalizer or made.normalizer
    made.pre_tokenizer = pre or made.pre_tokenizer
    made.decoder = decoder or made.decoder
    listed = [*special, *(f"<0x{n:02X}>" for n in range(256) if own.get("byte_fallback"))]
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=600, special_tokens=special, initial_alphabet=list(alphabet)
        ),
    )
    if own.get("byte_fallback"):
        made = _with_bytes(made, listed)
    return made


def _with_bytes(made, listed):
    """Vocabularies with byte pieces have them behind the special tokens."""
    import json

    state = json.loads(made.to_str())
    vocab = state["model"]["vocab"]
    for piece in listed:
        vocab.setdefault(piece, len(vocab))
    return Tokenizer.from_str(json.dumps(state))


def _byte_level(special, prefix=False, **own):
    pre = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=True)
    return _bpe(special, pre=pre, decoder=decoders.ByteLevel(), alphabet=BYTES, **own)


def _around(made, before=(), after=()):
    ids = [(token, made.token_to_id(token)) for token in {*before, *after}]
    made.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after], pair=[*before, "$A", *after, "$B"], special_tokens=ids
    )
    return made


def _wrapped(made, **names):
    return PreTrainedTokenizerFast(tokenizer_object=made, name_or_path="tiny", **names)


def gpt2():
    made = _byte_level(["<|endoftext|>"])
    return _wrapped(made, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def gpt2_appending():
    made = _around(_byte_level(["<|endoftext|>"]), after=["<|endoftext|>"])
    return _wrapped(made, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def llama3():
    made = _byte_level(["<|begin_of_text|>", "<|end_of_text|>"], ignore_merges=True)
    made = _around(made, before=["<|begin_of_text|>"])
    return _wrapped(made, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>")


def qwen():
    made = _byte_level(["<|endoftext|>"])
    made.normalizer = normalizers.NFC()
    return _wrapped(made, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def neox():
    found = gpt2()
    found.add_tokens([AddedToken(" " * n, special=False) for n in (2, 3, 4)])
    return found


def roberta():
    made = _byte_level(["<s>", "</s>", "<pad>"], prefix=True)
    made = _around(made, before=["<s>"], after=["</s>"])
    return _wrapped(made, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def opt():
    made = _around(_byte_level(["<pad>", "</s>"]), before=["</s>"])
    return _wrapped(made, bos_token="</s>", eos_token="</s>", pad_token="<pad>")


def _sentences(**own):
    return _bpe(["<unk>", "<s>", "</s>"], byte_fallback=True, fuse_unk=True, **own)


DECODER = decoders.Sequence(
    [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
)


def llama2_legacy(after=()):
    normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    made = _around(_sentences(normalizer=normalizer, decoder=DECODER), ["<s>"], after)
    return _wrapped(made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama2_appending():
    return llama2_legacy(after=["</s>"])


def llama2():
    pre = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made = _around(_sentences(pre=pre, decoder=DECODER), ["<s>"])
    return _wrapped(made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def phi3():
    found = llama2_legacy()
    made = [AddedToken(f"<|{t}|>", rstrip=True, normalized=False, special=True) for t in ("x", "y")]
    found.add_special_tokens({"additional_special_tokens": made})
    return found


def lstripping():
    found = llama2()
    made = [AddedToken("<mask>", lstrip=True, normalized=False, special=True)]
    found.add_special_tokens({"additional_special_tokens": made})
    return found


def gemma():
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    made = _bpe(
        special,
        normalizer=normalizers.Replace(" ", SPACE),
        pre=pre_tokenizers.Split(" ", "merged_with_previous"),
        decoder=DECODER,
        byte_fallback=True,
        fuse_unk=True,
    )
    made = _around(made, ["<bos>"])
    names = {name: f"<{name[:3]}>" for name in ("pad_token", "eos_token", "bos_token")}
    found = _wrapped(made, unk_token="<unk>", **names)
    found.add_tokens([AddedToken("\n" * n, normalized=False, special=False) for n in (2, 3)])
    return found


def glm():
    made = _around(_byte_level(["<eop>", "[gMASK]", "<sop>"]), before=["[gMASK]", "<sop>"])
    return _wrapped(made, eos_token="<eop>", pad_token="<eop>")


def t5():
    made = _byte_level(["<pad>", "</s>"])
    return _wrapped(_around(made, after=["</s>"]), eos_token="</s>", pad_token="<pad>")


def bert():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special)
    )
    made = _around(made, before=["[CLS]"], after=["[SEP]"])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    return _wrapped(made, bos_token="[CLS]", eos_token="[SEP]", **names)


def unigram():
    """Its `</s>` is a piece like any other, so a text can give it."""
    special = ["<s>", "</s>", "<unk>"]
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>")
    made.train_from_iterator(TEXTS, trainer)
    made = _around(made, before=["<s>"])
    return _wrapped(made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


KINDS = {
    kind.__name__: cache(kind)
    for kind in (
        *(gpt2, gpt2_appending, llama3, qwen, neox, roberta, opt, llama2_legacy, llama2_appending),
        *(llama2, phi3, lstripping, gemma, glm, t5, bert, unigram),
    )
}
