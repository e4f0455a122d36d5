"""promptfoo configurations as teams have them: files beside files, variables in assertions, the CSV mini-language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.evals.load import Loaded, load_eval_set
from sickbay.engine.evals.scorer import Scorer


def loaded(tmp_path: Path, scorers: Mapping[str, Scorer], text: str, **files: str) -> Loaded:
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    return load_eval_set(tmp_path / "p.yaml", scorers)


def asked(found: Loaded) -> list[Any]:
    return [
        item.messages[0]["content"] if len(item.messages) == 1 else [each["content"] for each in item.messages]
        for item in found.evalset.items
    ]


def told(found: Loaded) -> list[tuple[int, str]]:
    return [(problem.at.line, problem.message) for problem in found.warnings]


def uses(found: Loaded, place: int = 0) -> list[tuple[str, dict[str, Any]]]:
    return [(use.scorer, dict(use.params)) for use in found.evalset.items[place].scorers]


def test_prompts_from_files(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = """\
prompts: [in/main.txt, "file://in/chat.json", "file://in/chat.yaml", "file://in/*.md"]
tests: [{vars: {q: "Say \\"hi\\"\\nnow"}, assert: [{type: contains, value: hi}]}]
"""
    found = loaded(
        tmp_path, scorers, text,
        in__main_txt="One: {{q}}\n---\nTwo: {{ q }}\n",
        in__chat_json='[{"role": "system", "content": "Be kind"}, {"role": "user", "content": "{{q}}"}]',
        in__chat_yaml='- role: system\n  content: Be brief\n- role: user\n  content: "{{q}}"\n',
        in__a_md="# {{q}}\n",
    )  # fmt: skip
    said = 'Say "hi"\nnow'
    assert asked(found) == [f"One: {said}", f"Two: {said}", ["Be kind", said], ["Be brief", said], f"# {said}\n"]


def test_a_chat_prompt_in_place_may_be_yaml(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = """\
prompts:
  - |
    - role: system
      content: Be kind
    - role: user
      content: "{{q}}"
tests: [{vars: {q: Hello}, assert: [{type: contains, value: Hi}]}]
"""
    assert asked(loaded(tmp_path, scorers, text)) == [["Be kind", "Hello"]]


def test_variables_in_assertions_and_from_files(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = """\
prompts: ["{{doc}} {{user.name}} {{n}} {{none}}"]
defaultTest: file://default.yaml
tests:
  - vars: {doc: file://doc.txt, city: Paris, user: {name: Ada}, n: true, none: null}
    assert:
      - {type: contains, value: "{{city}}"}
      - {type: contains-any, value: ["{{city}}", Rome]}
      - {type: contains, value: true}
  - vars: file://vars.yaml
    assert: [{type: contains, value: "{{ city | upper }}"}]
  - vars: {doc: file://gen.py, user: {name: x}, n: 1, none: ""}
"""
    found = loaded(
        tmp_path, scorers, text, doc_txt="My policy\n",
        vars_yaml="{doc: d, user: {name: Bo}, n: 2, none: x, city: Rom}",
        default_yaml="assert: [{type: not-contains, value: sorry}]",
    )  # fmt: skip
    assert asked(found) == ["My policy Ada true "]
    assert [params["value"] for _, params in uses(found)] == [["sorry"], ["Paris"], ["Paris", "Rome"], ["true"]]
    assert told(found) == [
        (10, "the value of the promptfoo assertion 'contains' has Nunjucks blocks or filters; the test is left out"),
        (11, "no variable 'doc'; the test is left out"),
    ]


def test_tests_from_files_take_the_defaults(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = """\
prompts: ["{{tone}}: {{q}}"]
defaultTest: {vars: {tone: kind}, metadata: {team: a}, assert: [{type: not-contains, value: sorry}]}
tests: ["file://t/*.yaml", t.jsonl, file://t.csv]
"""
    test = "- vars: {q: %s}\n  assert: [{type: contains, value: x}]\n"
    found = loaded(
        tmp_path, scorers, text, t__a_yaml=test % "one", t__b_yaml=test % "two",
        t_csv="q,__expected\nfour,contains: y\n",
        t_jsonl='{"vars": {"q": "three"}, "assert": [{"type": "contains", "value": "x"}]}\n',
    )  # fmt: skip
    assert asked(found) == ["kind: one", "kind: two", "kind: three", "kind: four"]
    assert [name for name, _ in uses(found, 3)] == ["contains", "contains"]
    assert found.evalset.items[3].fields == {"tone": "kind", "q": "four", "team": "a"}
    assert found.evalset.items[1].position.path.endswith("t/b.yaml")


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("contains: a, b", ("contains", ["a, b"])),
        ('contains-any: "a, b", c', ("contains", ["a, b", "c"])),
        ("Note: bring a coat", ("exact", "Note: bring a coat")),
        ("is-json", ("json-schema", {})),
        ("grade: is polite", ("judge", "is polite")),
        ("similar(0.8): Paris", None),
        ("not-similar: Paris", None),
        ("factuality: Paris is large", None),
        ("latency(500)", None),
        ("fn: output.length < 3", None),
        ("file://check.js", None),
        ("contains(0.5): a", None),
    ],
)
def test_csv_cells(cell: str, wanted: Any, tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    row = "z,x\n" if wanted is None else ""
    quoted = cell.replace('"', '""')
    found = loaded(tmp_path, scorers, "prompts: ['{{q}}']\ntests: t.csv\n", t_csv=f'q,__expected\na,"{quoted}"\n{row}')
    if wanted is None:
        assert asked(found) == ["z"]
        assert "is not scored here; the test is left out" in told(found)[0][1]
    else:
        ((name, params),) = uses(found)
        assert (name, params["value"]) == wanted


def test_what_changes_a_test_is_told(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = """\
prompts: ["{{q}}"]
tests:
  - {vars: {q: a}, assert: [{type: assert-set, assert: [{type: contains, value: a}, {type: contains, value: b}]}]}
  - {vars: {q: b}, assert: [{type: assert-set, threshold: 0.5, assert: [{type: contains, value: a}]}]}
  - {vars: {q: c}, assert: [{type: llm-rubric, value: nice, threshold: 0.8}]}
  - {vars: {q: d}, assert: [{type: llm-rubric, value: nice}], options: {rubricPrompt: "hard"}}
  - {vars: {q: e}, assert: [{type: is-json, value: "}{"}]}
  - t.csv
  - {vars: {q: [j, k]}, options: {disableVarExpansion: true}, assert: [{type: equals, value: x}]}
  - {vars: {q: l}, assert: [{$ref: "#/assertionTemplates/short"}]}
  - {vars: {q: m}, assert: [{$ref: "#/assertionTemplates/none"}]}
  - {vars: {q: n}, assert: [{value: x}]}
assertionTemplates: {short: {type: icontains, value: "{{q}}"}}
"""
    cells = (
        "q,__expected,__threshold,__prefix,__config:__expected:threshold\nf,x,0.5,,\ng,x,,Please,\nh,x,,,0.3\ni,x,,,\n"
    )
    found = loaded(tmp_path, scorers, text, t_csv=cells)
    assert asked(found) == ["a", "i", "l"]
    assert [name for name, _ in uses(found)] == ["contains", "contains"]
    assert found.evalset.items[2].scorers[0].params["value"] == ["l"]
    assert told(found) == [
        (4, "the promptfoo assertion 'assert-set' with threshold is not scored here; the test is left out"),
        (5, "the promptfoo assertion 'llm-rubric' with threshold is not scored here; the test is left out"),
        (6, "'options.rubricPrompt' is not done here; the test is left out"),
        (7, "the value of 'is-json' is no JSON Schema; the test is left out"),
        (9, "'options.disableVarExpansion' is not done here; the test is left out"),
        (11, "a promptfoo assertion by '$ref' is not scored here; the test is left out"),
        (12, "a promptfoo assertion without a type is not scored here; the test is left out"),
        (2, "the column '__threshold' is not done here; the test is left out"),
        (3, "the column '__prefix' is not done here; the test is left out"),
        (4, "the column '__config:__expected:threshold' is not done here; the test is left out"),
    ]


def test_json_and_javascript_patterns(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = """\
prompts: ["{{q}}"]
tests:
  - vars: {q: a}
    assert:
      - {type: is-json, value: file://schema.json}
      - {type: is-json, value: "type: object\\nrequired: [name]"}
      - {type: equals, value: {name: Bo}}
      - {type: regex, value: "(?<year>[0-9]{4})"}
"""
    schema = '{"type": "object"}'
    found = loaded(tmp_path, scorers, text, schema_json=schema)
    assert [params["value"] for _, params in uses(found)] == [
        {"type": "object"}, {"type": "object", "required": ["name"]}, {"const": {"name": "Bo"}}, "(?P<year>[0-9]{4})",
    ]  # fmt: skip
    assert [params["fenced"] for name, params in uses(found) if name == "json-schema"] == [False] * 3


def test_it_is_asked_as_promptfoo_asks(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = "prompts: ['{{q}}']\ntests: [{vars: {q: a}, assert: [{type: contains, value: x}]}]\n"
    plain = loaded(tmp_path, scorers, text).evalset.asked
    assert (plain.temperature, plain.max_tokens, plain.samples) == (0.0, 1024, 1)
    more = """\
evaluateOptions: {repeat: 3}
providers:
  - {id: openai:a, config: {temperature: 0.7, max_tokens: 64, top_p: 0.9, seed: many, tools: [{}]}}
  - openai:b: {config: {temperature: 0.7, max_tokens: 32, top_p: 0.9, seed: many}}
"""
    found = loaded(tmp_path, scorers, text + more)
    asked_so = found.evalset.asked
    assert (asked_so.temperature, asked_so.max_tokens, asked_so.top_p, asked_so.samples) == (0.7, 1024, 0.9, 3)
    assert told(found) == [
        (4, "'tools' of its providers are not sent here"),
        (4, "its providers differ in 'max_tokens'; the default is sent here"),
        (4, "seed 'many' of its provider is not sent here"),
    ]


def test_json_files_are_json_and_not_yaml(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    """Tabs, and smileys as `json.dumps` writes them."""
    first = '{"vars": {"q": "a\\/b \\ud83d\\ude00"},\n\t "assert": [{"type": "is-json"}]}'
    second = '{"vars": {"q": "c"},\n\t "assert": [{"type": "javascript"}]}'
    text = "prompts: ['{{q}}']\ntests: t.json\n"
    found = loaded(tmp_path, scorers, text, t_json=f"[\n\t{first},\n\t{second}\n]\n")
    assert asked(found) == ["a/b \U0001f600"]
    assert (found.evalset.items[0].position.line, told(found)[0][0]) == (2, 5)


def test_what_is_too_much_is_told(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    deep = "[" * 900 + '"{{q}}"' + "]" * 900
    big = "x" * 200_000
    text = f"""\
prompts: ["{{{{q}}}}", '{deep}']
tests: [{{vars: {{q: a}}, assert: [{{type: contains-any, value: '"{big}", b'}}]}}]
"""
    found = loaded(tmp_path, scorers, text)
    assert told(found) == [(2, "the prompt has more levels than can be filled in; the test is left out")]
    assert uses(found)[0][1]["value"][1] == "b"
