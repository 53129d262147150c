"""A base model with random weights and a tokenizer trained on a few lines: small enough to make in a second."""

from __future__ import annotations

import random
from importlib.resources import files
from pathlib import Path

from kt_lib.calls.writing import write_calls
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    Example,
    Request,
    SftRow,
    Task,
    ToolCall,
    ToolSpec,
)

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
WORDS = "atlas birch cedar delta ember fjord grove haven ivory jade karst lumen maple north ocean pearl quartz".split()
JOBS = {"disk space": "df -h", "memory": "free -m", "uptime": "uptime", "kernel": "uname -r"}
REMOTE = ToolSpec(
    name="remote_bash",
    parameters={
        "type": "object",
        "properties": {"agent_id": {"type": "string"}, "command": {"type": "string"}},
        "required": ["agent_id", "command"],
    },
)


def task(at: int, part: str = "train", kind: str = "main") -> Task:
    """Task number `at`: a job on a host of its own name."""
    rng = random.Random(at)
    host = f"{rng.choice(WORDS)}-{at}"
    job, command = list(JOBS.items())[at % len(JOBS)]
    accepted = AcceptedCall(name="remote_bash", arguments={"agent_id": [host], "command": [command]})
    return Task(
        id=f"{part}-{kind}-{at}",
        messages=(ChatMessage(role="user", content=f"show the {job} on {host}"),),
        tools=(REMOTE,),
        check=Check(rule="exact", accepted=(accepted,), evidence="answer_key"),
        category=job,
        part=part,  # type: ignore[arg-type]
        kind=kind,  # type: ignore[arg-type]
        entities=(host,),
    )


def call_of(one: Task) -> ToolCall:
    """The right call of a task."""
    (accepted,) = one.check.accepted
    return ToolCall(name=accepted.name, arguments={name: values[0] for name, values in accepted.arguments.items()})


def prose_of(one: Task) -> str:
    """The right answer of a task in a chat."""
    call = call_of(one)
    return f"Run `{call.arguments['command']}` on `{call.arguments['agent_id']}`."


def example(one: Task) -> Example:
    """The task as a verified example."""
    return Example(
        task_id=one.id,
        messages=one.messages,
        tools=one.tools,
        calls=(call_of(one),),
        answer=prose_of(one),
        verified=("schema", "accepted_values"),
        category=one.category,
    )


def as_agent(one: Task) -> Request:
    return agent_request(one, "json")


def as_chat(one: Task) -> Request:
    return chat_request(one)


def sft_row(one: Task) -> SftRow:
    answer = ChatMessage(role="assistant", content=write_calls([call_of(one)]))
    return SftRow(messages=(*as_agent(one).messages, answer), kind="agent_call", task_id=one.id, basis="answer key")


def odd_row(at: int) -> SftRow:
    """An answer in a form that the packaged base was never taught."""
    call = call_of(task(at)).arguments
    answer = ChatMessage(role="assistant", content=f"{call['agent_id']}: {call['command']}")
    return sft_row(task(at)).model_copy(update={"messages": (*as_agent(task(at)).messages, answer)})


def make_base(folder: Path, hidden: int = 128, layers: int = 4, seed: int = 0) -> Path:
    """Writes a Llama-layout model with random weights, its tokenizer and the embedded model's chat template."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|\s+|[^\s\p{L}\p{N}]"), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=SPECIAL, initial_alphabet=level.alphabet(), show_progress=False
    )
    rows = [sft_row(task(at)) for at in range(60)]
    tokenizer.train_from_iterator((message.content for row in rows for message in row.messages), trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>")
    wrapped.chat_template = (files("kt_lib.models") / "embedded_base" / "chat_template.jinja").read_text("utf-8")
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=1024,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=3 * hidden,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=wrapped.pad_token_id,
            eos_token_id=wrapped.eos_token_id,
            bos_token_id=None,
        )
    )
    with torch.no_grad():
        # Adapters leave embeddings alone: as small as they are made, no answer could be told from another.
        model.model.embed_tokens.weight.mul_(25)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder
