"""Chat templates as their makers document them; each with what it writes around a conversation."""

from typing import NamedTuple


class Written(NamedTuple):
    """A template, its control tokens, and what is right.

    Attributes:
        text: with system text S, questions Q and R and the answer A.
        end: the token, or the string, that ends an answer.
    """

    template: str
    control: tuple[str, ...]
    text: str
    end: str
    settings: dict = {}


def _each(user, assistant, opening, before="", system=None):
    """A template that writes each turn by its role, and then opens an answer."""
    roles = [("user", user), ("assistant", assistant), ("system", system)]
    turns = "".join(
        f"{{% if m.role == '{role}' %}}{text.replace('$', '{{ m.content }}')}{{% endif %}}"
        for role, text in roles
        if text is not None
    )
    opened = f"{{% if add_generation_prompt %}}{opening}{{% endif %}}" if opening else ""
    return f"{before}{{% for m in messages %}}{turns}{{% endfor %}}{opened}"


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IM = ("<|im_start|>", "<|im_end|>")
CHATML_TEXT = (
    "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
    "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n"
)
HEADS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def _llama3(role, said):
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{said}<|eot_id|>"


LLAMA3 = (
    "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\n"
    "Today Date: {{ date_string }}\n\n{{ s }}<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def _llama3_text(date):
    return (
        _llama3("system", f"Today Date: {date}\n\nS")
        + _llama3("user", "Q")
        + _llama3("assistant", "A")
        + _llama3("user", "R")
        + "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


LLAMA2 = (
    "{% if messages[0].role == 'system' %}{% set s = '<<SYS>>\\n' + messages[0].content + "
    "'\\n<</SYS>>\\n\\n' %}{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ (s if loop.first else '') + m.content.strip() }} [/INST]"
    "{% else %} {{ m.content.strip() }} <|e|>{% endif %}{% endfor %}"
)
GEMMA3 = (
    "{% if messages[0].role == 'system' %}{% if messages[0].content is string %}"
    "{% set s = messages[0].content + '\\n\\n' %}{% else %}"
    "{% set s = messages[0].content[0].text + '\\n\\n' %}{% endif %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ s if loop.first else '' }}{% if m.content is string %}{{ m.content | trim }}{% else %}"
    "{% for p in m.content %}{{ p.text | trim }}{% endfor %}{% endif %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GEMMA_TEXT = (
    "<start_of_turn>user\nS\n\nQ<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
    "<start_of_turn>user\nR<end_of_turn>\n<start_of_turn>model\n"
)
TURN = ("<start_of_turn>", "<end_of_turn>")
QWEN3 = (
    "{% for m in messages %}{% set c = m.content %}"
    "{% if m.role == 'assistant' and '</think>' in c %}"
    "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ c }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
DEEPSEEK = _each(
    "<｜User｜>$",
    "<｜Assistant｜>{% set c = m.content.split('</think>')[-1] %}{{ c }}<｜end｜>",
    "<｜Assistant｜><think>\n",
    system="$",
)
COMMAND = "".join(
    (
        "{% for m in messages %}<|START|><|{{ {'user': 'USER', 'assistant': 'BOT', ",
        "'system': 'SYSTEM'}[m.role] }}|>{{ m.content }}<|END|>{% endfor %}",
        "{% if add_generation_prompt %}<|START|><|BOT|>{% endif %}",
    )
)
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}"
    "{{ '<|channel|>final' if m.role == 'assistant' }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)

# As gpt-oss has it: the system text is the developer's, and only the last answer ends otherwise.
GPT_OSS = (
    "<|start|>system<|message|>You are ChatGPT.\nCurrent date: {{ strftime_now('%Y-%m-%d') }}\n\n"
    "# Valid channels: analysis, commentary, final.<|end|>"
    "{% if messages[0].role == 'system' %}{% set loop_messages = messages[1:] %}"
    "<|start|>developer<|message|># Instructions\n\n{{ messages[0].content }}<|end|>"
    "{% else %}{% set loop_messages = messages %}{% endif %}"
    "{% for m in loop_messages %}{% if m.role == 'user' %}"
    "<|start|>user<|message|>{{ m.content }}<|end|>"
    "{% elif '<|channel|>final<|message|>' in m.content %}{{ raise_exception('a channel in it') }}"
    "{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)

TEMPLATES = {
    "chatml": Written(CHATML, IM, CHATML_TEXT, "<|im_end|>"),
    "chatml-parts": Written(PARTS, IM, CHATML_TEXT, "<|im_end|>"),
    "llama-3": Written(LLAMA3, HEADS, _llama3_text("26 Jul 2024"), "<|eot_id|>"),
    "llama-3-dated": Written(
        LLAMA3, HEADS, _llama3_text("1 May 2025"), "<|eot_id|>", {"date_string": "1 May 2025"}
    ),
    "llama-2": Written(
        LLAMA2,
        ("<|e|>",),
        "[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] A <|e|>[INST] R [/INST]",
        "<|e|>",
    ),
    "gemma-3": Written(GEMMA3, TURN, GEMMA_TEXT, "<end_of_turn>"),
    "mistral": Written(
        _each("[INST]$[/INST]", "$<|e|>", "", system="[SYS]$[/SYS]"),
        ("[INST]", "[/INST]", "[SYS]", "[/SYS]", "<|e|>"),
        "[SYS]S[/SYS][INST]Q[/INST]A<|e|>[INST]R[/INST]",
        "<|e|>",
    ),
    "phi-3": Written(
        _each(
            "<|user|>\n$<|end|>\n",
            "<|assistant|>\n$<|end|>\n",
            "<|assistant|>\n",
            system="<|system|>\n$<|end|>\n",
        ),
        ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        "<|system|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n"
        "<|user|>\nR<|end|>\n<|assistant|>\n",
        "<|end|>",
    ),
    "zephyr": Written(
        _each(
            "<|user|>\n$<|e|>\n",
            "<|assistant|>\n$<|e|>\n",
            "<|assistant|>\n",
            system="<|system|>\n$<|e|>\n",
        ),
        ("<|e|>",),
        "<|system|>\nS<|e|>\n<|user|>\nQ<|e|>\n<|assistant|>\nA<|e|>\n<|user|>\nR<|e|>\n"
        "<|assistant|>\n",
        "<|e|>",
    ),
    "vicuna": Written(
        _each("USER: $ ", "ASSISTANT: $<|e|>", "ASSISTANT:", system="$ "),
        ("<|e|>",),
        "S USER: Q ASSISTANT: A<|e|>USER: R ASSISTANT:",
        "<|e|>",
    ),
    "vicuna-without-end": Written(
        _each("USER: $ ", "ASSISTANT: $ ", "ASSISTANT:", system="$ "),
        (),
        "S USER: Q ASSISTANT: A USER: R ASSISTANT:",
        " USER:",
    ),
    "alpaca": Written(
        _each("### Instruction:\n$\n\n", "### Response:\n$\n\n", "### Response:\n", system="$\n\n"),
        (),
        "S\n\n### Instruction:\nQ\n\n### Response:\nA\n\n### Instruction:\nR\n\n### Response:\n",
        "### Instruction:",
    ),
    "qwen-3": Written(QWEN3, IM, CHATML_TEXT, "<|im_end|>"),
    "qwen-3-without-thinking": Written(
        QWEN3,
        IM,
        CHATML_TEXT + "<think>\n\n</think>\n\n",
        "<|im_end|>",
        {"enable_thinking": False},
    ),
    "deepseek-r1": Written(
        DEEPSEEK,
        ("<｜User｜>", "<｜Assistant｜>", "<｜end｜>"),
        "S<｜User｜>Q<｜Assistant｜>A<｜end｜><｜User｜>R<｜Assistant｜><think>\n",
        "<｜end｜>",
    ),
    "command-r": Written(
        COMMAND,
        ("<|START|>", "<|END|>", "<|USER|>", "<|BOT|>", "<|SYSTEM|>"),
        "<|START|><|SYSTEM|>S<|END|><|START|><|USER|>Q<|END|><|START|><|BOT|>A<|END|>"
        "<|START|><|USER|>R<|END|><|START|><|BOT|>",
        "<|END|>",
    ),
    "glm-4": Written(
        _each("<|user|>\n$", "<|assistant|>\n$", "<|assistant|>\n", system="<|system|>\n$"),
        ("<|user|>", "<|assistant|>", "<|system|>"),
        "<|system|>\nS<|user|>\nQ<|assistant|>\nA<|user|>\nR<|assistant|>\n",
        "<|user|>",
    ),
    "openchat": Written(
        _each(
            "GPT4 Correct User: $<|t|>",
            "GPT4 Correct Assistant: $<|t|>",
            "GPT4 Correct Assistant:",
            system="GPT4 Correct System: $<|t|>",
        ),
        ("<|t|>",),
        "GPT4 Correct System: S<|t|>GPT4 Correct User: Q<|t|>GPT4 Correct Assistant: A<|t|>"
        "GPT4 Correct User: R<|t|>GPT4 Correct Assistant:",
        "<|t|>",
    ),
    "falcon": Written(
        _each("User: $\n\n", "Falcon: $\n\n", "Falcon:", system="$\n\n"),
        (),
        "S\n\nUser: Q\n\nFalcon: A\n\nUser: R\n\nFalcon:",
        "User:",
    ),
    "tulu": Written(
        _each(
            "<|user|>\n$\n",
            "<|assistant|>\n$<|e|>\n",
            "<|assistant|>\n",
            system="<|system|>\n$\n",
        ),
        ("<|e|>",),
        "<|system|>\nS\n<|user|>\nQ\n<|assistant|>\nA<|e|>\n<|user|>\nR\n<|assistant|>\n",
        "<|e|>",
    ),
    "granite": Written(
        _each(
            *(f"<|r|>{r}<|/r|>$<|e|>\n" for r in ("user", "assistant")),
            "<|r|>assistant<|/r|>",
            system="<|r|>system<|/r|>$<|e|>\n",
        ),
        ("<|r|>", "<|/r|>", "<|e|>"),
        "<|r|>system<|/r|>S<|e|>\n<|r|>user<|/r|>Q<|e|>\n<|r|>assistant<|/r|>A<|e|>\n"
        "<|r|>user<|/r|>R<|e|>\n<|r|>assistant<|/r|>",
        "<|e|>",
    ),
    "human-assistant": Written(
        _each(
            *(f"{{{{ '\\n\\n' }}}}{role}: $" for role in ("Human", "Assistant")),
            "{{ '\\n\\n' }}Assistant:",
            system="$",
        ),
        (),
        "S\n\nHuman: Q\n\nAssistant: A\n\nHuman: R\n\nAssistant:",
        "Human:",
    ),
    "harmony": Written(
        HARMONY,
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>"),
        "<|start|>system<|message|>S<|end|><|start|>user<|message|>Q<|end|>"
        "<|start|>assistant<|channel|>final<|message|>A<|end|>"
        "<|start|>user<|message|>R<|end|><|start|>assistant",
        "",  # it closes thoughts as well
    ),
    "gpt-oss": Written(
        GPT_OSS,
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
        "<|start|>system<|message|>You are ChatGPT.\nCurrent date: 2024-07-26\n\n"
        "# Valid channels: analysis, commentary, final.<|end|>"
        "<|start|>developer<|message|># Instructions\n\nS<|end|><|start|>user<|message|>Q<|end|>"
        "<|start|>assistant<|channel|>final<|message|>A<|end|>"
        "<|start|>user<|message|>R<|end|><|start|>assistant",
        "",
    ),
}

GEMMA2 = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + GEMMA3
)
NO_SYSTEM = "takes no system text"
REFUSED = {
    "gemma-2": (GEMMA2, f"{NO_SYSTEM} .*System role not supported.*leave `system` out"),
    "system-ignored": (
        CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
        f"{NO_SYSTEM} .*drops the system text",
    ),
    "alternating": (
        "{% if messages[0].role != 'user' %}{{ raise_exception('must begin with user') }}"
        "{% endif %}" + CHATML,
        f"{NO_SYSTEM} .*must begin with user",
    ),
    "answer-dropped": (
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
        "drops the (system text|assistant's turn)",
    ),
    "one-turn": ("{{ raise_exception('one turn only') }}", "refuses a conversation: one turn only"),
    "last-only": ("{{ messages[-1].content }}", "drops the"),
    "reordered": (
        "{% for m in messages | reverse %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
        "repeats or reorders the",
    ),
    "repeated": (CHATML + "{{ messages[-1].content }}", "repeats"),
    "no-opening": (
        CHATML.replace("add_generation_prompt", "false"),
        "ignores add_generation_prompt",
    ),
    "syntax": ("{% for m in messages %}", "refuses a conversation: Unexpected end of template"),
    "undefined": ("{{ messages[0].content }}{{ tool.name.first }}", "refuses a conversation"),
    "type": ("{{ messages[0].content + 1 }}", "refuses a conversation"),
    "zero": ("{{ 1 // 0 }}", "refuses a conversation"),
    "timed": (CHATML + "{{ strftime_now(messages[0].role) }}", "asks for the time in a form"),
    "hashed": (CHATML.replace("m.content", "m.content | length"), "drops the"),
    "several": ({"tool_use": CHATML, "rag": CHATML}, "multiple chat templates with no default"),
}
