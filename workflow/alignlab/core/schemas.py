"""Every Parquet schema: column → (type, description). `alignlab.core.tables` reads and writes them.

    python -m alignlab.core.tables results/store/shift/<pair>-<digest>.parquet  # what is in one

A name is a contract between rooms: add columns, never rename. The tables of statistics are in
`schemas_statistics`.
"""

from __future__ import annotations

import pyarrow as pa

from alignlab.core.schemas_statistics import FLAG, FLOAT, INT, STATISTICS, TEXT

# A new table or a reworded column must not make every table again.
CHANGES_NO_VALUE = True

IDS = pa.list_(pa.int32())
LOGPROBS, PIECES = pa.list_(pa.float32()), pa.list_(pa.string())

COLUMNS: dict[str, dict[str, tuple[pa.DataType, str]]] = {
    **STATISTICS,
    "prompts": {
        "prompt_id": (TEXT, "Unique in the dataset: `<dataset>/<id>`"),
        "dataset": (TEXT, "Catalog name"),
        "category": (TEXT, "`regular` or `safety`"),
        "source": (TEXT, "Where the dataset took the row from"),
        "turns": (pa.list_(TEXT), "The user's messages, in order"),
        "tags": (pa.list_(TEXT), "Task, topic or category labels"),
        "reference": (TEXT, "Reference answer, or null"),
        "mistake": (TEXT, "An answer that is known to be bad, or null"),
        "target": (TEXT, "What an attack wants the answer to say; null where there is none"),
    },
    "responses": {
        "arm": (TEXT, "Arm name"),
        "model": (TEXT, "Catalog name of the model"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "turn": (INT, "0-based turn of the conversation"),
        "sample": (INT, "0-based sample; always 0 under greedy decoding"),
        "prompt_ids": (IDS, "Token ids the model was given, BOS included; none of an endpoint"),
        "raw_text": (TEXT, "Decoded answer as generated, special tokens skipped"),
        "text": (TEXT, "Answer after cutting at the fence or stop string and stripping"),
        "token_ids": (IDS, "Generated token ids, the stopping ones included"),
        "finish_reason": (TEXT, "`stop`, `eos`, `length`, `error`; `unknown` if nobody says"),
        "trimmed": (TEXT, "Why text differs from raw_text, or why there is no answer; else empty"),
        "num_tokens": (INT, "Generated tokens; null if not known, as of published ones"),
        "num_words": (INT, "Whitespace-separated words of text"),
        "seed": (pa.int64(), "Seed of a sampled answer; null under greedy decoding"),
    },
    "engine_checks": {
        "model": (TEXT, "Catalog name of the model"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "prompt_tokens": (INT, "Tokens of the prompt"),
        "vllm_ids": (IDS, "vLLM's greedy answer"),
        "vllm_logprobs": (LOGPROBS, "Log-probability of each of its ids when chosen, nats"),
        "transformers_ids": (IDS, "Greedy answer of the transformers engine"),
        "transformers_logprobs": (LOGPROBS, "What transformers gives each of vLLM's ids, nats"),
        "first_divergence": (INT, "0-based position where the answers part; null if they do not"),
        "divergence_gap": (
            FLOAT,
            "Nats between the two tokens there, according to transformers; null if one answer "
            "ends there",
        ),
    },
    "metrics": {
        "arm": (TEXT, "Arm name"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "turn": (INT, "0-based turn"),
        "metric": (TEXT, "Metric name; `alignlab.metrics` documents each"),
        "value": (FLOAT, "Value, averaged over samples; null where the metric is undefined"),
    },
    "mistakes": {
        "mistake_id": (TEXT, "`<prompt_id>#<sample>`"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "instruction": (TEXT, "What was asked, without any cue"),
        "response": (TEXT, "The bad answer"),
        "source": (TEXT, "`induced`, or `dataset` where the rows brought it"),
        "cue": (TEXT, "Text that led to the mistake, or null"),
        "good": (TEXT, "A good answer to the same question, or null"),
        "target": (TEXT, "What an attack wanted said, or null"),
    },
    "trainset": {
        "example_id": (TEXT, "`<kind>/<prompt_id or mistake_id>`"),
        "kind": (TEXT, "`answer`, `good`, `analysis`, `verdict`, `revision`, `hindsight`, ..."),
        "prompt_id": (TEXT, "Row of the prompts table it comes from"),
        "prompt": (TEXT, "The user's message"),
        "markers": (PIECES, "Text before each piece of the completion; carries no loss"),
        "completion": (PIECES, "Pieces of the answer; carry the loss"),
        "rejected": (TEXT, "The answer not preferred, in a `preference`; else null"),
    },
    "trainsets": {
        "trainset": (TEXT, "Name of the training set"),
        "kind": (TEXT, "Kind of example"),
        "examples": (INT, "How many"),
        "share": (FLOAT, "Of the set's examples"),
    },
    "token_shift": {
        "pair": (TEXT, "Name of the pair"),
        "template": (TEXT, "`own`: each model sees its own prompt; `shared`: both the base's"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "turn": (INT, "0-based turn"),
        "sample": (INT, "0-based sample"),
        "position": (INT, "0-based position in the answer"),
        "token_id": (INT, "The answer's token, as the aligned model generated it"),
        "token": (TEXT, "Its text; a lone part of a character reads U+FFFD"),
        "base_rank": (INT, "1 + number of ids that the base model gives a greater logit"),
        "tied": (FLAG, "Another id has the same base logit"),
        "shift_class": (TEXT, "`unshifted` (rank 1), `marginal` (2, 3) or `shifted` (URIAL §2.1)"),
        "base_logprob": (FLOAT, "Log-probability under the base model, nats"),
        "aligned_logprob": (FLOAT, "Log-probability under the aligned model, nats"),
        "kl_aligned_base": (FLOAT, "KL(aligned ‖ base) of the whole distributions, nats"),
        "kl_base_aligned": (FLOAT, "KL(base ‖ aligned), nats"),
        "js": (FLOAT, "Jensen-Shannon divergence, nats, at most ln 2"),
        "base_entropy": (FLOAT, "Entropy of the base model, nats"),
        "aligned_entropy": (FLOAT, "Entropy of the aligned model, nats"),
        "kl_kind": (TEXT, "`exact`: over the full vocabulary; `lower_bound` otherwise"),
        "base_topk_ids": (IDS, "The base model's ten likeliest ids, likeliest first"),
        "base_topk_tokens": (PIECES, "Their texts"),
        "base_topk_logprobs": (LOGPROBS, "Their log-probabilities, nats"),
        "aligned_topk_ids": (IDS, "The aligned model's ten likeliest ids"),
        "aligned_topk_tokens": (PIECES, "Their texts"),
        "aligned_topk_logprobs": (LOGPROBS, "Their log-probabilities, nats"),
        "is_special": (FLAG, "A special token, such as the end of the answer"),
        "is_eos": (FLAG, "The token that ended the answer"),
        "token_category": (TEXT, "Kind of token; `alignlab.shift.categories` documents each"),
    },
    "training": {
        "step": (INT, "1-based optimizer step"),
        "epoch": (FLOAT, "Passes over the examples so far"),
        "loss": (FLOAT, "Mean of the step, nats: of completion tokens; elsewhere TRL's own loss"),
        "margin": (FLOAT, "Mean reward of chosen minus rejected answers; `dpo`, reward models"),
        "accuracy": (FLOAT, "Share of the preferences that are ranked right; the same"),
        "reward": (FLOAT, "Mean reward of the sampled answers, KL not taken off; `rlhf`"),
        "kl": (FLOAT, "Mean of log(policy / base) over sampled tokens, nats; `rlhf`"),
        "grad_norm": (FLOAT, "Norm of the gradient before clipping"),
        "learning_rate": (FLOAT, "Learning rate of the step"),
        "tokens": (INT, "Tokens seen so far, prompts included"),
        "seconds": (FLOAT, "Since training began; over all attempts if it was interrupted"),
    },
    "judgements": {
        "judge": (TEXT, "Name of the judge in the experiment"),
        "arm": (TEXT, "Arm name; of controls, what was done to the answer"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "turn": (INT, "0-based turn"),
        "sample": (INT, "0-based sample"),
        "rubric": (TEXT, "File of the rubric"),
        "aspect": (TEXT, "What is rated"),
        "status": (TEXT, "`scored`, `unparseable`, `refused`, `api_error` or `skipped`"),
        "score": (FLOAT, "On the aspect's scale; null unless `scored`"),
        "distribution": (
            pa.list_(FLOAT),
            "Probabilities of the words of the scale, worst first, sum 1; null if not known",
        ),
        "mass": (FLOAT, "Probability of all words of the scale together; null if not known"),
        "reason": (TEXT, "The judge's reason, or null"),
        "raw": (TEXT, "Its reply as it came, or what went wrong; null if it only gave scores"),
        "cost_usd": (FLOAT, "Share of the call's price; null if the price is unknown"),
        "seconds": (FLOAT, "Share of the call's or batch's time"),
    },
    "preferences": {
        "judge": (TEXT, "Name of the judge in the experiment"),
        "arm_a": (TEXT, "Arm"),
        "arm_b": (TEXT, "The arm it is compared with"),
        "prompt_id": (TEXT, "Row of the prompts table"),
        "turn": (INT, "0-based turn"),
        "rubric": (TEXT, "File of the rubric"),
        "aspect": (TEXT, "What is compared"),
        "verdict_ab": (TEXT, "`a`, `b` or `tie` with arm_a's answer shown first; or null"),
        "verdict_ba": (TEXT, "The same with arm_b's answer shown first; still `a` means arm_a"),
        "outcome": (TEXT, "`a`, `b`, `tie`, or `inconsistent` if the orders disagree; or null"),
        "status": (TEXT, "As in `judgements`; of two, the one that is not `scored`"),
        "score_ab": (FLOAT, "1 for arm_a, 0 for arm_b, 0.5 for a tie; of a local judge expected"),
        "score_ba": (FLOAT, "The same in the other order; 1 still means arm_a"),
        "words_a": (INT, "Words of arm_a's answer"),
        "words_b": (INT, "Words of arm_b's answer"),
        "raw_ab": (TEXT, "As `raw` in `judgements`"),
        "raw_ba": (TEXT, "The same in the other order"),
        "cost_usd": (FLOAT, "Both calls; null if the price is unknown"),
        "seconds": (FLOAT, "Both calls"),
    },
}
