"""Which tokens of a row are learned: the answers, by the model's own chat template, and nothing else."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from tiny_base import make_base, sft_row, task

pytest.importorskip("trl")

from kt_lib.errors import KtError
from kt_lib.models.embedded import packaged_base
from kt_lib.records import ChatMessage, SftRow, ToolCall, ToolSpec
from kt_lib.training.columns import IGNORED, Tokens, sft_tokens
from kt_lib.weights import import_peft, load, load_tokenizer, quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# The layout of Qwen2.5: a system turn of its own, tools as JSON in it, results as the user's, calls in tags.
QWEN = """
{%- if tools %}{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content }}{% else %}{{- 'You are helpful.' }}{% endif %}
{{- '\\n\\n# Tools\\n<tools>' }}{%- for tool in tools %}{{- '\\n' ~ tool | tojson }}{%- endfor %}
{{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' ~ messages[0].content ~ '<|im_end|>\\n' }}
{%- else %}{{- '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant' }}
{%- if message.content or not message.tool_calls %}{{- '\\n' ~ message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' ~ call.function.arguments | tojson ~ '}' }}
{{- '\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{%- if loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' }}
{%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# As reasoning models do it: the thoughts of earlier answers are taken back once the user has spoken again.
FORGETFUL = """
{%- for message in messages %}
{%- set said = message.content if loop.last else message.content.split('</think>')[-1] %}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ said ~ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# Refuses a conversation that an answer begins, and one that has no user in it.
STRICT = "{%- if messages[0].role == 'assistant' %}{{ raise_exception('the user goes first') }}{% endif %}" + QWEN

PAY = ToolSpec(name="pay", parameters={"type": "object", "properties": {"amount": {"type": "integer"}}})
CALL = ToolCall(name="pay", arguments={"amount": 12})


def said(role: str, content: str = "", **more: Any) -> ChatMessage:
    return ChatMessage(role=role, content=content, **more)


TALK = (
    said("system", "Be brief."),
    said("user", "pay 12, and tell me the time"),
    said("assistant", "It is noon.", tool_calls=(CALL,)),
    said("tool", "paid", name="pay"),
    said("tool", "booked", name="pay"),
    said("assistant", "Twelve are paid."),
    said("user", "thanks"),
    said("assistant", "You are welcome."),
)


def row(*messages: ChatMessage, learn: str = "all", tools: tuple[ToolSpec, ...] = ()) -> SftRow:
    return SftRow(messages=messages, tools=tools, learn=learn, kind="test", task_id="talk", basis="made up")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base", hidden=32, layers=1)


def tokenizer_of(base: Path, template: str | None = None) -> Any:
    with quiet():
        tokenizer = load_tokenizer(base)
    if template:
        tokenizer.chat_template = template
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def learned(tokens: Tokens, tokenizer: Any) -> list[str]:
    """What is learned, as text, each run of learned tokens for itself."""
    assert all(label in (IGNORED, one) for one, label in zip(tokens.input_ids, tokens.labels, strict=True))
    runs = groupby(zip(tokens.input_ids, tokens.labels, strict=True), key=lambda both: both[1] != IGNORED)
    return [tokenizer.decode([one for one, _ in run]) for wanted, run in runs if wanted]


def test_every_answer_of_the_embedded_template_is_learned_up_to_the_end_of_its_turn() -> None:
    tokenizer = tokenizer_of(packaged_base())
    (found,) = sft_tokens([row(*TALK, tools=(PAY,))], tokenizer)
    call = '{"tool": "pay", "params": {"amount": 12}}<|end|>'
    assert learned(found, tokenizer) == [call, "Twelve are paid.<|end|>", "You are welcome.<|end|>"]
    assert (found.answers, found.missed) == (3, 0)


def test_every_answer_of_a_template_with_tools_is_learned_and_nothing_of_tools_and_results(base: Path) -> None:
    tokenizer = tokenizer_of(base, QWEN)
    (found,) = sft_tokens([row(*TALK, tools=(PAY,))], tokenizer)
    call = '<tool_call>\n{"name": "pay", "arguments": {"amount": 12}}\n</tool_call>'
    assert learned(found, tokenizer) == [
        f"It is noon.\n{call}<|im_end|>\n",
        "Twelve are paid.<|im_end|>\n",
        "You are welcome.<|im_end|>\n",
    ]
    assert '"name": "pay"' in tokenizer.decode(found.input_ids).split("</tools>")[0], "the tools are in the prompt"


def test_of_a_row_that_teaches_its_last_answer_only_that_one_is_learned(base: Path) -> None:
    tokenizer = tokenizer_of(base, QWEN)
    (found,) = sft_tokens([row(*TALK, learn="last")], tokenizer)
    assert learned(found, tokenizer) == ["You are welcome.<|im_end|>\n"]
    assert (found.answers, found.missed) == (1, 0)


def test_an_answer_that_the_template_takes_back_later_is_counted_and_not_learned(base: Path) -> None:
    tokenizer = tokenizer_of(base, FORGETFUL)
    talk = (
        said("user", "add 2 and 2"),
        said("assistant", "<think>easy</think>4"),
        said("user", "and 1"),
        said("assistant", "5"),
        said("user", "and 1"),
        said("assistant", "<think>hm</think>6"),
    )
    (found,) = sft_tokens([row(*talk)], tokenizer)
    assert learned(found, tokenizer) == ["5<|im_end|>\n", "<think>hm</think>6<|im_end|>\n"]
    assert (found.answers, found.missed) == (2, 1)
    assert "easy" not in tokenizer.decode(found.input_ids)


def test_a_conversation_that_the_template_refuses_is_named(base: Path) -> None:
    tokenizer = tokenizer_of(base, STRICT)
    with pytest.raises(KtError, match=r"refuses the row of task talk \(the user goes first\): leave it out"):
        sft_tokens([row(said("assistant", "hello"), said("user", "hi"), said("assistant", "bye"))], tokenizer)


ROWS = [
    *(sft_row(task(at)) for at in range(6)),
    row(*TALK, learn="last", tools=(PAY,)),
    row(*TALK[:3], learn="last", tools=(PAY,)),
    row(said("user", "go on"), said("assistant", "\n\n  and so on…"), learn="last"),
    row(said("user", "hé 👋🏽"), said("assistant", "👋🏽 ça va?"), learn="last"),
]


@pytest.mark.parametrize("template", [None, QWEN, FORGETFUL], ids=["embedded", "qwen", "forgetful"])
def test_the_last_answer_has_the_labels_that_trl_gives_it(base: Path, tmp_path: Path, template: str | None) -> None:
    tokenizer = tokenizer_of(base, template)
    with quiet(training=True):
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        trainer = SFTTrainer(
            model=load(base),
            args=SFTConfig(
                output_dir=str(tmp_path), max_length=None, report_to="none", use_cpu=True, completion_only_loss=True
            ),
            train_dataset=Dataset.from_list([as_trl(one) for one in ROWS], on_mixed_types="use_json"),
            processing_class=tokenizer,
            peft_config=import_peft().LoraConfig(r=1, task_type="CAUSAL_LM"),
        )
        theirs = [(list(one["input_ids"]), list(one["labels"])) for one in trainer.train_dataset]
    ours = [(one.input_ids, one.labels) for one in sft_tokens(ROWS, tokenizer)]
    assert ours == theirs


def as_trl(one: SftRow) -> dict[str, Any]:
    """TRL's own prompt and completion of a row."""
    messages = []
    for message in one.messages:
        calls = [{"type": "function", "function": call.model_dump()} for call in message.tool_calls]
        messages.append({"role": message.role, "content": message.content, **({"tool_calls": calls} if calls else {})})
    tools = (
        json.dumps([{"type": "function", "function": tool.model_dump()} for tool in one.tools]) if one.tools else None
    )
    return {"prompt": messages[:-1], "completion": messages[-1:], "tools": tools}
