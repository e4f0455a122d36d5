"""A model's own splitting of text into ids, from its files, by the library `tokenizers`.

A GGUF file holds vocabulary and merges but names the rule that cuts text into words before merging ("pre-tokeniser");
the rules known here are those of the published tokenizer files of these families.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["known_pretokenizer", "splitter_of", "splitter_of_file"]

Encode = Callable[[str], list[int]]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_CUTS = {
    "gpt-2": "",  # the byte-level rule itself
    "smollm": "digits",  # digits one by one, then the byte-level rule
    "starcoder": "digits",
    "llama-bpe": _CONTRACTIONS + _WORD + r"|\p{N}{1,3}" + _REST,
    "llama3": _CONTRACTIONS + _WORD + r"|\p{N}{1,3}" + _REST,
    "qwen2": _CONTRACTIONS + _WORD + r"|\p{N}" + _REST,
}
_IGNORE_MERGES = {"llama-bpe", "llama3"}


def known_pretokenizer(kind: str, pre: str) -> bool | None:
    """Whether a byte-pair file names its pre-tokeniser; None for other kinds, which need none.

    "default" is what a converter writes when it did not know the model (ggml-org/llama.cpp#6920).
    """
    return None if kind != "gpt2" else pre not in {"", "default"}


def splitter_of(kind: str, pre: str, tokens: Sequence[str], merges: Sequence[str]) -> tuple[Encode | None, str]:
    """The splitter of a GGUF vocabulary, or None and why."""
    if kind != "gpt2":
        return None, f"tokenizers of kind {kind!r} are not split here, only byte-pair ones"
    if pre not in _CUTS:
        return None, f"the pre-tokeniser {pre!r} is not known here (known: {', '.join(sorted(_CUTS))})"
    try:
        # Late: a compiled library that only this comparison needs.
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    except ImportError:
        return None, "splitting text needs the library tokenizers"
    cut = _CUTS[pre]
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if cut == "digits" else []
    if cut and cut != "digits":
        steps = [pre_tokenizers.Split(Regex(cut), behavior="isolated")]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut in {"", "digits"}))
    pairs = [(first, second) for first, _, second in (each.partition(" ") for each in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=pre in _IGNORE_MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return _encoder(tokenizer), ""


def splitter_of_file(text: str) -> tuple[Encode | None, str]:
    """The splitter of a tokenizer.json, or None and why."""
    try:
        # Late: as above.
        from tokenizers import Tokenizer
    except ImportError:
        return None, "splitting text needs the library tokenizers"
    try:
        return _encoder(Tokenizer.from_str(text)), ""
    except Exception as error:  # the library raises its bare Exception for a file it cannot read
        return None, f"tokenizer.json cannot be used: {' '.join(str(error).split())[:120]}"


def _encoder(tokenizer: Any) -> Encode:
    return lambda text: [int(each) for each in tokenizer.encode(text, add_special_tokens=False).ids]
