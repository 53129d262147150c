"""A better model to use: merged, reloaded and asked again, put on its shelf with a card, promoted, exported."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kt_lib.artifacts import write_whole
from kt_lib.errors import ArtifactError, NoLocalWeights
from kt_lib.gguf import Told, add_gguf, programs
from kt_lib.ledger import Championship, Ledger, open_ledger
from kt_lib.model_card import Making, model_card
from kt_lib.modelfile import MODELFILE, modelfile
from kt_lib.models.interface import Model
from kt_lib.models.opening import open_model
from kt_lib.records import ModelVersion, Request
from kt_lib.versions import let_through
from kt_lib.weights import load, load_tokenizer, model_digest, parameters, quiet, weights_digest

log = logging.getLogger(__name__)

CARD = "README.md"
_MAKING = ".making-"
EXACT_UP_TO = 1_500_000_000
"""Parameters up to which a model is merged in float32."""
PARITY = 0.97
"""Share of answers that must be the same after merging, saving and loading again: within 3 points."""


def base_or_reason(model: str, named: str, state: Path) -> tuple[Path | None, str]:
    """(folder of the weights that `model` can be trained on, "") or (None, why there are none).

    `named` is the folder the user named, "" for none. Without it: the packaged base for `embedded`, a version's merged
    weights for `embedded@1.0.0`, the folder for a folder. NoLocalWeights where a named folder holds none.
    """
    if named:
        weights_digest(Path(named))
        return Path(named), ""
    kind, _, version = model.partition("@")
    if kind == "embedded" and version:
        with open_ledger(state) as ledger:
            return folder_of(ledger.version(version), state), ""
    if kind == "embedded":
        from kt_lib.models.embedded import packaged_base

        return packaged_base(), ""
    if Path(model).is_dir():
        weights_digest(Path(model))
        return Path(model), ""
    return None, f"no local weights for {model}: name the folder that holds its safetensors with -p local_base=FOLDER"


def local_base(model: str, named: str, state: Path) -> Path:
    """The folder of the weights that `model` can be trained on, as `base_or_reason`; NoLocalWeights without."""
    folder, reason = base_or_reason(model, named, state)
    if folder is None:
        raise NoLocalWeights(reason)
    return folder


def known_of(base: Path) -> list[str]:
    """What a reader of the card must know of the base, in words."""
    from kt_lib.models.embedded import packaged_base

    if base != packaged_base():
        return []
    return ["The base's weakness as an agent was put into its training data on purpose; the improvement is measured."]


# --- from adapter to version -----------------------------------------------------------------------------------------


def merge(base: Path, adapter: Path, out: Path, asked: Sequence[Request], exact_up_to: int = EXACT_UP_TO) -> str:
    """Writes base and adapter as one model to `out` and returns its digest (`weights.model_digest`).

    The base is read as it lies in its folder, also where it was trained in four bits: in float32, and above
    `exact_up_to` parameters in its own type. What was saved is loaded again and must answer `asked` as the adapter
    did, in 97% at least, before it counts: ArtifactError otherwise, where nothing was asked, and where the merged
    weights are no numbers. `out` is there whole or not at all: safetensors, configuration, tokenizer and template.
    """
    if not asked:
        raise ArtifactError("a merged model is compared with its adapter before it counts: give a few requests")
    out.parent.mkdir(parents=True, exist_ok=True)
    making = _fresh(out.parent / f"{_MAKING}{out.name}")
    with quiet():
        tokenizer, dtype = load_tokenizer(base), _merged_in(base, exact_up_to)
        before = _merged(base, adapter, making, dtype, asked)
        tokenizer.save_pretrained(making)
        _refuse_other_answers(before, answers(load(making, dtype=dtype), load_tokenizer(making), asked))
    making.rename(_fresh(out, make=False))
    return model_digest(out)


def _merged_in(base: Path, exact_up_to: int) -> str:
    """The type to merge in: a large base in float32 would take twice the memory and disk of what it was given in."""
    return "float32" if parameters(base) <= exact_up_to else "auto"


def _merged(base: Path, adapter: Path, making: Path, dtype: str, asked: Sequence[Request]) -> list[str]:
    """Writes the merged model to `making`, and returns the answers that the adapter gave before."""
    model = load(base, adapter, dtype=dtype)
    before = answers(model, load_tokenizer(base), asked)
    try:
        model.merge_and_unload(safe_merge=True).save_pretrained(making)
    except ValueError as error:
        raise ArtifactError(f"the adapter in {adapter} is broken ({error}): train it again") from error
    return before


def answers(model: Any, tokenizer: Any, requests: Sequence[Request]) -> list[str]:
    """Greedy answers as text, by the engine's own `generate`: nothing of ours stands between the weights and them."""
    import torch

    prompts = [
        tokenizer.apply_chat_template(
            [message.model_dump(exclude_none=True) for message in request.messages],
            tools=[{"type": "function", "function": tool.model_dump()} for tool in request.tools] or None,
            tokenize=False,
            add_generation_prompt=True,
        )
        for request in requests
    ]
    tokenizer.padding_side = "left"
    read = tokenizer(prompts, add_special_tokens=False, padding=True, return_tensors="pt", return_token_type_ids=False)
    most = max(request.decoding.max_tokens for request in requests)
    with torch.inference_mode():
        written = model.eval().generate(
            **read, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id
        )
    texts: list[str] = tokenizer.batch_decode(written[:, read["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def _refuse_other_answers(before: Sequence[str], after: Sequence[str]) -> None:
    other = [(first, second) for first, second in zip(before, after, strict=True) if first != second]
    if len(other) > (1 - PARITY) * len(before):
        raise ArtifactError(
            f"the saved model answers {len(other)} of {len(before)} requests differently from its adapter"
            f" ({other[0][0][:100]!r} became {other[0][1][:100]!r}): it is not released; train again"
        )
    log.info("reloaded: %d of %d answers are the adapter's", len(before) - len(other), len(before))


def _fresh(folder: Path, make: bool = True) -> Path:
    """A place of this name without what a killed run left there."""
    if folder.exists():
        shutil.rmtree(folder)
    if make:
        folder.mkdir(parents=True)
    return folder


def place(
    state: Path, merged: Path, version: ModelVersion, notes: Sequence[str] = (), made: Making | None = None
) -> Path:
    """Puts merged weights with the version's card and Modelfile into `state`, whole or not at all; returns the folder.

    ArtifactError when `merged` is not what the version's digest says. `notes` and how it was `made` stand on the card.
    """
    if model_digest(merged) != version.digest:
        raise ArtifactError(f"{merged} is not what version {version.version} was made of: run 10_release again")
    folder = state / version.folder
    told = modelfile(merged)
    beside = {CARD: model_card(version, notes, made, told), MODELFILE: told}
    if _holds(folder, version.digest):
        # People may be using it: only what stands beside the weights is renewed, each file in one stroke.
        for name, text in beside.items():
            write_whole(folder / name, text)
        return folder
    making = _fresh(folder.parent / f"{_MAKING}{folder.name}", make=False)
    shutil.copytree(merged, making)
    for name, text in beside.items():
        (making / name).write_text(text, encoding="utf-8")
    making.rename(_fresh(folder, make=False))
    return folder


def _holds(folder: Path, digest: str) -> bool:
    return any(folder.glob("*.safetensors")) and model_digest(folder) == digest


# --- in use ----------------------------------------------------------------------------------------------------------


def promote(ledger: Ledger, version: ModelVersion, reason: str) -> Championship | None:
    """Makes a version the one people get; None where it is already. GateRefused unless the gate let it through."""
    let_through(version)
    champion = ledger.champion()
    if champion and champion.version == version.version:
        return None
    return ledger.promote(version.version, reason)


def folder_of(version: ModelVersion, state: Path) -> Path:
    """The folder of a version's weights, checked against the ledger; ArtifactError when it is gone or not the same."""
    folder = state / version.folder
    if not folder.is_dir():
        raise ArtifactError(
            f"the weights of {version.version} are not in {folder}: `kt run --from 10_release` makes them"
        )
    if model_digest(folder) != version.digest:
        raise ArtifactError(
            f"{folder} is not what was released as {version.version}: its digest differs from the ledger's"
        )
    return folder


def open_version(name: str, state: Path, **bounds: Any) -> Model:
    """A model by name, where `embedded@1.0.0` and `1.0.0` name a version of the ledger; "" is what people get.

    `bounds` as in `open_model`.
    """
    number = name.removeprefix("embedded@")
    if name and not number[:1].isdigit():
        return open_model(name, **bounds)
    with open_ledger(state) as ledger:
        chosen = ledger.version(number) if name else ledger.champion()
    if chosen is None:
        return open_model("embedded")
    return open_model(f"embedded@{chosen.version}", folder=folder_of(chosen, state))


def export(version: ModelVersion, state: Path, to: Path, gguf: str = "", told: Told = log.info) -> Path:
    """Copies a version's merged weights, tokenizer, template, Modelfile and card to `to`, which must not be there yet.

    With the name of a type in `gguf` a GGUF file of it is made beside them, and every line of its converter told.
    """
    if gguf:
        programs(gguf)
    folder = folder_of(version, state)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ArtifactError(f"{to} is there already: name another place, nothing is overwritten")
    to.parent.mkdir(parents=True, exist_ok=True)
    part = _fresh(to.parent / f"{_MAKING}{to.name}", make=False)
    try:
        shutil.copytree(folder, part)
        if gguf:
            add_gguf(part, gguf, told)
        if to.exists():
            to.rmdir()
        part.rename(to)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return to
