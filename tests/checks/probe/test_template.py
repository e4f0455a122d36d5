"""Chat templates as strangers' programs: what the field's templates use, and what must not hang or reach out."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from sickbay.checks.probe.reference import Reference
from sickbay.checks.probe.template import Case, render, render_all
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

pytest.importorskip("jinja2")

USER = ({"role": "user", "content": "Grüß"},)
TOOL = ({"type": "function", "function": {"name": "f"}},)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        pytest.param("{% for m in messages %}{{ m.content }}{% break %}{% endfor %}", "Grüß", id="loop-controls"),
        pytest.param("{% generation %}{{ messages[0].content }}{% endgeneration %}", "Grüß", id="generation-tag"),
        pytest.param("{{ messages | tojson(ensure_ascii=False) }}", '[{"role": "user", "content": "Grüß"}]', id="json"),
        pytest.param("{{ {'b': 1, 'a': 2}|tojson(separators=(',', ':'), sort_keys=True) }}", '{"a":2,"b":1}', id="x"),
        pytest.param("{{ pad_token }}{{ unk_token is defined }}", "<pad>False", id="other-special-tokens"),
        pytest.param("{{ strftime_now('%d %b %Y') }}", "17 Sep 2025", id="fixed-day"),
        pytest.param("{% if documents %}x{% endif %}{{ none_such | default('-') }}", "-", id="undefined"),
    ],
)  # fmt: skip
def test_what_templates_use(template: str, rendered: str) -> None:
    assert render_all([template], [Case(messages=USER)], special={"pad_token": "<pad>"}) == [rendered]


@pytest.mark.parametrize(
    ("template", "reason", "said"),
    [
        pytest.param(
            "{{ 'a' * 10**10 }}", UnknownReason.MALFORMED,
            "the chat template refuses: it needs over 1 GiB of memory", id="memory",
        ),
        pytest.param(
            "{% for i in range(10**9) %}{% endfor %}", UnknownReason.MALFORMED,
            "the chat template refuses: Range too big. The sandbox blocks ranges larger than", id="range",
        ),
        pytest.param(
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", UnknownReason.MALFORMED,
            "the chat template refuses: maximum recursion depth exceeded", id="recursion",
        ),
        pytest.param("{{ {{ }}", UnknownReason.MALFORMED, "refuses: TemplateSyntaxError: ", id="syntax"),
        pytest.param(
            "{{ cycler.__init__.__globals__ }}", UnknownReason.MALFORMED, "refuses: access to", id="escape",
        ),
    ],
)  # fmt: skip
def test_a_hostile_template_is_stopped(template: str, reason: UnknownReason, said: str) -> None:
    with pytest.raises(ProbeError, match=re.escape(said)) as caught:
        render(template, USER, start="", end="")
    assert caught.value.reason is reason


def test_an_endless_template_is_stopped() -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(ProbeError) as caught:
        render(loop, USER, start="", end="")
    # Where this host gives the process no second of computing, its time ends it.
    assert caught.value.detail in {
        "the chat template does not end: it was stopped while it computed",
        "no prompt in 20 s: this host is overloaded",
    }
    assert caught.value.reason is UnknownReason.TIMEOUT


def test_one_endless_conversation_leaves_the_others() -> None:
    template = (
        "{% if tools %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}ok"
    )
    first, second = render_all([template], [Case(messages=USER), Case(messages=USER, tools=TOOL)], special={})
    assert first == "ok"
    assert isinstance(second, ProbeError)


def test_a_dated_prompt_has_the_forms_of_today() -> None:
    template = "{% if strftime_now is defined %}{{ strftime_now('%Y-%m-%d') }}{% else %}no clock{% endif %}"
    [found] = Reference(path="/m", template=template).rendered_all([Case(messages=USER)])
    assert not isinstance(found, ProbeError)
    assert found.text == "2025-09-17"
    assert {"no clock", found.text} < set(found.forms)
    assert len(found.forms) == 5
    assert found.forms[0] in {datetime.now().strftime("%Y-%m-%d"), *found.forms[1:3]}  # noqa: DTZ005 - as engines do


@pytest.mark.parametrize(
    ("template", "forms"),
    [
        pytest.param("plain {{ messages[0].content }}", {"plain Grüß"}, id="nothing-to-choose"),
        pytest.param("{% if not enable_thinking %}</think>{% endif %}.", {"</think>.", "."}, id="thinking"),
        pytest.param("{% for p in messages[0].content %}{{ p.type }}{% endfor %}", {"", "text"}, id="parts"),
    ],
)
def test_an_engine_may_choose(template: str, forms: set[str]) -> None:
    [found] = Reference(path="/m", template=template).rendered_all([Case(messages=USER)])
    assert not isinstance(found, ProbeError)
    assert set(found.forms) == forms


@pytest.mark.parametrize(
    ("template", "forms"),
    [
        pytest.param(
            "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
            {"Hi", "Brief.\nHi"},
            id="left-out",
        ),
        pytest.param("{% for m in messages %}{{ m.content }}{% endfor %}", {"Brief.Hi"}, id="taken"),
    ],
)
def test_a_system_message_without_a_place(template: str, forms: set[str]) -> None:
    messages = ({"role": "system", "content": "Brief."}, {"role": "user", "content": "Hi"})
    [found] = Reference(path="/m", template=template).rendered_all([Case(messages=messages)])
    assert not isinstance(found, ProbeError)
    assert set(found.forms) == forms


def test_an_engine_may_tell_the_day() -> None:
    template = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}"
    [found] = Reference(path="/m", template=template).rendered_all([Case(messages=USER)])
    assert not isinstance(found, ProbeError)
    assert (found.text, len(found.forms)) == ("26 Jul 2024", 4)


def test_tools_have_a_template_of_their_own() -> None:
    files = Reference(path="/m", template="plain", tool_template="{{ tools[0].function.name }}")
    cases = [Case(messages=USER), Case(messages=USER, tools=TOOL)]
    assert [each.text for each in files.rendered_all(cases) if not isinstance(each, ProbeError)] == ["plain", "f"]
