"""A model's own splitting of text into ids, from its files, by the library `tokenizers`.

A GGUF file holds vocabulary and merges but names the rule that cuts text into words before merging ("pre-tokeniser");
the rules known here are those of the published tokenizer files of these families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["known_pretokenizer", "splitter_of", "splitter_of_file"]

Encode = Callable[[str], list[int]]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_CASED = r"[^\r\n\p{L}\p{N}]?[%s]*[%s]+%s|[^\r\n\p{L}\p{N}]?[%s]+[%s]*%s"
_REST_SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PUNCTUATED = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTE_LEVEL = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_THREE_DIGITS = (_CONTRACTIONS + _WORD + r"|\p{N}{1,3}" + _REST,)
_ONE_DIGIT = (_CONTRACTIONS + _WORD + r"|\p{N}" + _REST,)
_DIGITS_THEN_BYTES = (r"\p{N}", _BYTE_LEVEL)
_CUTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "modern-bert", "exaone4"), (_BYTE_LEVEL,)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), _DIGITS_THEN_BYTES),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "dbrx", "smaug-bpe", "glm4",
         "chatglm-bpe"), _THREE_DIGITS,
    ),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2"), _ONE_DIGIT),
    "tekken": (_CASED % (_UPPER, _LOWER, "", _UPPER, _LOWER, "") + r"|\p{N}" + _REST_SLASH,),
    **dict.fromkeys(
        ("gpt-4o", "llama4", "kanana2"),
        (_CASED % (_UPPER, _LOWER, f"{_CONTRACTIONS}?", _UPPER, _LOWER, f"{_CONTRACTIONS}?") + r"|\p{N}{1,3}"
         + _REST_SLASH,),
    ),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u30ff]+", _PUNCTUATED)),
    "falcon": (r"[\p{P}$+<=>^~|`]+", _BYTE_LEVEL, "[0-9][0-9][0-9]"),
}  # fmt: skip
"""Name in a GGUF file -> the cuts, one after the other, that the published tokenizer.json of these models makes.

Which names share one: ggml-org/llama.cpp, src/llama-vocab.cpp (llm_tokenizer_bpe, which quotes the originals).
"""
_IGNORE_MERGES = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "tekken"}
CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that are found in a text before it is cut (ggml-org/llama.cpp, include/llama.h)."""


def known_pretokenizer(kind: str, pre: str) -> bool | None:
    """Whether a byte-pair file names its pre-tokeniser; None for other kinds, which need none.

    "default" is what a converter writes when it did not know the model (ggml-org/llama.cpp#6920).
    """
    return None if kind != "gpt2" else pre not in {"", "default"}


def splitter_of(
    kind: str, pre: str, tokens: Sequence[str], merges: Sequence[str], types: Sequence[int] = ()
) -> tuple[Encode | None, str]:
    """The splitter of a GGUF vocabulary, or None and why. Control text in a text becomes its token, as in a prompt."""
    if kind != "gpt2":
        return None, f"tokenizers of kind {kind!r} are not split here, only byte-pair ones"
    if pre not in _CUTS:
        return None, f"the pre-tokeniser {pre!r} is not known here"
    try:
        # Late: a compiled library that only this comparison needs.
        from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
    except ImportError:
        return None, "splitting text needs the library tokenizers"
    steps: list[Any] = [pre_tokenizers.Split(Regex(cut), behavior="isolated") for cut in _CUTS[pre]]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    pairs = [(first, second) for first, _, second in (each.partition(" ") for each in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    try:
        model = models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=pre in _IGNORE_MERGES)
    except Exception as error:  # the library raises its bare Exception for merges that make no token
        return None, f"vocabulary and merges do not fit together: {' '.join(str(error).split())[:120]}"
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    whole = [token for token, type_ in zip(tokens, types, strict=False) if type_ in {CONTROL, USER_DEFINED} and token]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in whole])
    return _encoder(tokenizer), ""


def splitter_of_file(text: str) -> tuple[Encode | None, str, int | None]:
    """The splitter of a tokenizer.json or None, why, and the id that it puts before every text itself (None: none)."""
    try:
        # Late: as above.
        from tokenizers import Tokenizer
    except ImportError:
        return None, "splitting text needs the library tokenizers", None
    try:
        tokenizer = Tokenizer.from_str(text)
        before = tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids
    except Exception as error:  # the library raises its bare Exception for a file it cannot read
        return None, f"tokenizer.json cannot be used: {' '.join(str(error).split())[:120]}", None
    starts = before[0][: len(before[0]) - len(before[1])] if before[0][-len(before[1]) :] == before[1] else []
    return _encoder(tokenizer), "", starts[0] if starts else None


def _encoder(tokenizer: Any) -> Encode:
    return lambda text: [int(each) for each in tokenizer.encode(text, add_special_tokens=False).ids]
