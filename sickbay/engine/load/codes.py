"""Every code a problem may carry. Codes are stable: people grep for them and silence them. See docs/lint.md."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Code"]


class Code(StrEnum):
    """What kind of mistake it is."""

    # the file as YAML
    NOT_READABLE = "not-readable"
    NOT_UTF8 = "not-utf8"
    CONTROL_CHARACTER = "control-character"
    TOO_LARGE = "too-large"
    TOO_DEEP = "too-deep"
    ALIAS_BOMB = "alias-bomb"
    YAML_SYNTAX = "yaml-syntax"
    YAML_TAG = "yaml-tag"
    YAML_BOOL = "yaml-bool"
    YAML_KEY = "yaml-key"
    MERGE_KEY = "merge-key"
    MANY_DOCUMENTS = "many-documents"
    EMPTY_FILE = "empty-file"
    DUPLICATE_KEY = "duplicate-key"
    NOT_FINITE = "not-finite"
    # shape
    UNKNOWN_KIND = "unknown-kind"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    WRONG_TYPE = "wrong-type"
    WRONG_VALUE = "wrong-value"
    OUT_OF_RANGE = "out-of-range"
    EMPTY = "empty"
    REPEATED_ITEM = "repeated-item"
    # expressions
    EXPRESSION_SYNTAX = "expression-syntax"
    EXPRESSION_TYPE = "expression-type"
    EXPRESSION_LIMIT = "expression-limit"
    NOT_A_CONDITION = "not-a-condition"
    UNKNOWN_NAME = "unknown-name"
    UNIT = "unit"
    # names
    UNKNOWN_CHECK = "unknown-check"
    UNKNOWN_CAUSE = "unknown-cause"
    UNKNOWN_SIGNAL = "unknown-signal"
    UNKNOWN_INPUT = "unknown-input"
    UNKNOWN_STEP = "unknown-step"
    UNKNOWN_TARGET = "unknown-target"
    UNKNOWN_RUNBOOK = "unknown-runbook"
    DUPLICATE_NAME = "duplicate-name"
    NAME_AND_FILE = "name-and-file"
    # runbooks
    INPUT_DEFAULT = "input-default"
    UNUSED_INPUT = "unused-input"
    PARAMETER = "parameter"
    STEP_ORDER = "step-order"
    STEP_NEVER_RUNS = "step-never-runs"
    CONSTANT_CONDITION = "constant-condition"
    ALWAYS_FAILS = "always-fails"
    SIGNAL_NOT_MEASURED = "signal-not-measured"
    SIGNAL_TOO_EARLY = "signal-too-early"
    EFFECT_OVER_BUDGET = "effect-over-budget"
    BUDGET_TOO_SMALL = "budget-too-small"
    CANNOT_FAIL = "cannot-fail"
    BANDS_INVERTED = "bands-inverted"
    CAUSE_NOT_ASSESSED = "cause-not-assessed"
    REQUIRES_NOT_MEASURED = "requires-not-measured"
    # causes
    BECAUSE = "because"
    # configuration
    SECRET_IN_FILE = "secret-in-file"
    BAD_URL = "bad-url"
    BAD_DURATION = "bad-duration"
    # reports as signals
    NOT_A_REPORT = "not-a-report"
    # eval sets and gates
    JSON_SYNTAX = "json-syntax"
    UNKNOWN_SCORER = "unknown-scorer"
    NOT_SCORABLE = "not-scorable"
    NOT_SUPPORTED = "not-supported"
    AMBIGUOUS = "ambiguous"
    EMPTY_SLICE = "empty-slice"
    OVERLAP = "overlap"
    WAIVER = "waiver"
