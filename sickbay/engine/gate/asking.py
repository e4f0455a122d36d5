"""What scorers that ask may use: the target under test, and the judge where one is named."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.endpoint import read_given
from sickbay.engine.evals.retry import RETRIED_REASONS, may_pass, retry_after_s, wait_s
from sickbay.engine.evals.scorer import Asking, Post, Spent
from sickbay.engine.gate.arm import Arm, open_arm
from sickbay.engine.model.base_url import base_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.http import StepHttp

__all__ = ["asking_for", "judge_secrets", "open_judge"]

TIMEOUT_S = 120.0
RETRIES, BACKOFF_S = 2, 0.5
"""A judge that is told to slow down has not judged: it is asked again, under the same budget."""
JUDGE_KEY = "SICKBAY_JUDGE_API_KEY"


def judge_secrets() -> dict[str, str]:
    """The judge's key, with what it is; for redaction."""
    key = os.environ.get(JUDGE_KEY, "").strip()
    return {key: "key of the judge"} if key else {}


@asynccontextmanager
async def asking_for(
    arm: Arm,
    judge_url: str,
    judge_model: str,
    environment: Environment,
    requests: int,
    *,
    raised_by: str = "--requests",
) -> AsyncIterator[Asking]:
    """The judge's connections live as long as the block. Its key is in SICKBAY_JUDGE_API_KEY, where it wants one."""
    if not judge_url:
        yield Asking(_post(arm), arm.endpoint.model)
        return
    async with open_judge(
        judge_url, judge_model, environment, requests=requests, run_id="judge", raised_by=raised_by
    ) as judge:
        yield replace(judge, target=_post(arm), target_model=arm.endpoint.model)


@asynccontextmanager
async def open_judge(
    judge_url: str,
    judge_model: str,
    environment: Environment,
    *,
    requests: int,
    run_id: str,
    raised_by: str = "--requests",
) -> AsyncIterator[Asking]:
    """The judge alone, for answers that are there already.

    Raises:
        ProbeError: it does not answer.
    """
    key = Secret(env=JUDGE_KEY) if os.environ.get(JUDGE_KEY) else None
    url = judge_url if "://" in judge_url else f"http://{judge_url}"
    target = Target(name="judge", url=base_url(url), model=judge_model, api_key=key)
    async with AsyncExitStack() as stack:
        try:
            judge = await stack.enter_async_context(
                open_arm(target, environment, requests=requests, run_id=run_id, files=False, raised_by=raised_by)
            )
        except ProbeError as error:
            raise ProbeError(error.reason, f"the judge does not answer: {error.detail}") from error
        spent = Spent()
        post = _post(judge, spent)
        yield Asking(post, judge.endpoint.model, post, judge.endpoint.model, _shown(judge), spent)


def _shown(judge: Arm) -> str:
    return f"{judge.endpoint.model} at {judge.endpoint.about.get('url', '')}"


def _post(arm: Arm, spent: Spent | None = None) -> Post:
    spent = spent or Spent()

    async def post(path: str, body: Mapping[str, Any]) -> Any:
        clock = arm.client.clock
        for attempt in range(RETRIES + 1):
            spent.requests += 1
            asked_s: float | None = None
            try:
                answer = await StepHttp(arm.client).request(
                    "POST", path, json=dict(body), timeout_s=TIMEOUT_S, generates=True
                )
            except ProbeError as error:
                if error.reason.value not in RETRIED_REASONS or attempt == RETRIES:
                    raise
            else:
                if not may_pass(answer.status) or attempt == RETRIES:
                    break
                asked_s = retry_after_s(answer.headers, clock.wall())
            await clock.sleep(wait_s(attempt, BACKOFF_S, asked_s))
        if answer.status != 200:
            raise ProbeError(
                UnknownReason.ABSENT, f"POST {path}: HTTP {answer.status}: {arm.endpoint.clean(answer.text)[:120]}"
            )
        made = answer.json()
        given = read_given(made)
        spent.prompt_tokens += given.prompt_tokens or 0
        spent.output_tokens += given.output_tokens or 0
        return made

    return post
