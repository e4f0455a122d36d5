"""probe.sampling, judged: a temperature as meant is not all; what is cut off beside it shows in what is chosen."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from sickbay.checks.probe.answer import Answer, Token
from sickbay.checks.probe.answer_text import look_at_text
from sickbay.checks.probe.asking import Row
from sickbay.checks.probe.choice import choices_of
from sickbay.checks.probe.sampling import ProbeSampling
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome


def _token(share: float, *, likeliest: bool) -> Token:
    other = math.log((1 - share) / 2)
    return Token("a" if likeliest else "b", math.log(share) if likeliest else other, math.log(share), other)


def judged(
    *, chosen: int, best: float, tokens: int = 60, meant: float = 0.8, default: float | None = 0.8,
    wanted: tuple[str, ...] = (),
) -> Result:  # fmt: skip
    """So many of the tokens were the likeliest, each of which has probability `best`."""
    likeliest = Token("a", math.log(best), math.log(best), math.log((1 - best) / 2))
    other = Token("b", math.log((1 - best) / 2), math.log(best), math.log((1 - best) / 2))
    answer = Answer(
        status=200,
        finish="stop",
        text=look_at_text("x", wanted=wanted),
        tokens=(likeliest,) * chosen + (other,) * (tokens - chosen),
    )
    raw: dict[str, Any] = {
        "rows": [{"arm": "plain", "number": 0, "answer": answer.to_json()}],
        "stopped": "",
        "context": {} if default is None else {"serving.default_temperature": default},
    }
    check = ProbeSampling()
    params = {name: part["default"] for name, part in check.params["properties"].items()}
    return check.judge(json.loads(json.dumps(raw)), {**params, "temperature_meant": meant})


@pytest.mark.parametrize(
    ("given", "as_intended"),
    [
        pytest.param({"chosen": 48, "best": 0.8}, True, id="as-the-model-has-it"),
        pytest.param({"chosen": 60, "best": 0.7}, False, id="only-the-likeliest-though-warm"),
        pytest.param({"chosen": 60, "best": 0.98}, True, id="only-the-likeliest-of-sure-answers"),
        pytest.param({"chosen": 60, "best": 0.7, "meant": 0.2, "default": 0.2}, True, id="cold-as-meant"),
        pytest.param({"chosen": 24, "best": 0.8, "meant": 1.6, "default": 1.6}, None, id="no-cut-off-and-hot-as-meant"),
        pytest.param({"chosen": 48, "best": 0.8, "default": 1.0}, False, id="another-temperature"),
        pytest.param({"chosen": 5, "best": 0.8, "tokens": 6}, True, id="too-few-tokens-to-see-more"),
    ],
)
def test_sampling_as_intended(given: dict[str, Any], as_intended: bool | None) -> None:
    reading = judged(**given).signals["output.sampling_as_intended"]
    assert reading.value is as_intended, reading.source or reading.detail


def test_it_says_what_it_saw() -> None:
    reading = judged(chosen=60, best=0.7).signals["output.sampling_as_intended"]
    assert reading.source == (
        "the default temperature is 0.8, as meant, but 100% of 60 tokens were the likeliest, the model itself gives "
        "them 70%: something beside it allows only the likeliest"
    )


def test_wrong_answers_without_settings_are_counted() -> None:
    raw: dict[str, Any] = {"rows": [], "stopped": "", "context": {}}
    for number, text in enumerate(("Paris.", "no", "no")):
        answer = Answer(status=200, text=look_at_text(text, wanted=("paris",)))
        raw["rows"].append({"arm": "plain", "number": number, "answer": answer.to_json()})
    check = ProbeSampling()
    params = {name: part["default"] for name, part in check.params["properties"].items()}
    result = check.judge(raw, params)
    assert result.outcome is Outcome.WARN
    assert result.signals["output.default_failing_ratio"].source == (
        "2 of 3 answers without settings do not hold the known word"
    )


@pytest.mark.parametrize(
    ("chosen", "default", "meant", "known"),
    [
        pytest.param(46, None, -1.0, False, id="as-the-model-has-it-and-nobody-says-what-is-meant"),
        pytest.param(46, 1.0, -1.0, False, id="the-plain-default-told"),
        pytest.param(39, None, -1.0, False, id="fewer-than-the-model-has-it-by-chance"),
        pytest.param(36, None, -1.0, True, id="flattened"),
        pytest.param(60, None, -1.0, False, id="colder-than-the-model-has-it"),
        pytest.param(52, 0.8, -1.0, False, id="an-engines-own-default-told"),
        pytest.param(46, 1.5, -1.0, True, id="a-hot-default-told-that-something-cools"),
        pytest.param(46, None, 0.2, True, id="another-temperature-is-meant"),
    ],
)
def test_wrong_answers_at_the_models_own_temperature_are_no_settings_fault(
    chosen: int, default: float | None, meant: float, known: bool
) -> None:
    result = judged(chosen=chosen, best=0.8, meant=meant, default=default, wanted=("paris",))
    reading = result.signals["output.default_failing_ratio"]
    assert reading.known is known, reading
    if not known:
        assert "the model itself has it (80%): nothing heats the choice" in reading.detail
        assert result.outcome is not Outcome.WARN


def test_fewer_likeliest_tokens_than_chance_leaves_are_hotter_than_any_default() -> None:
    reading = judged(chosen=30, best=0.8, meant=-1.0, default=None).signals["output.sampling_as_intended"]
    assert reading.value is False
    assert reading.source.endswith("the model itself gives them 80%: hotter than any default that is meant")


@pytest.mark.parametrize("seed", range(20))
def test_a_sound_choice_is_never_called_hot(seed: int) -> None:
    """Tokens drawn from the model's own probabilities, as a weak model at temperature 1 draws them."""
    dice = random.Random(seed)
    likely = [dice.uniform(0.4, 0.9) for _ in range(110)]
    tokens = tuple(_token(share, likeliest=dice.random() < share) for share in likely)
    rows = [Row(arm="plain", number=0, answer=Answer(status=200, tokens=tokens))]
    choices = choices_of(rows)
    assert choices.as_the_model
    assert not choices.flattened
