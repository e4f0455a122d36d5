"""Where the engine's metrics page is, and what a refusal of it means."""

from __future__ import annotations

from urllib.parse import urlsplit

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.engine.model.look import HttpResponse, Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

__all__ = ["page_problem", "page_request", "page_url"]


def page_url(target: Target, spec: EngineSpec) -> str:
    """The metrics page: the target's own `metrics_url`, or the engine's usual path (or port, as ":8002/metrics").

    Raises:
        ProbeError: this engine has no metrics page.
    """
    if target.metrics_url:
        return target.metrics_url
    endpoint = spec.endpoints.get("metrics")
    if endpoint is None or spec.metrics_format != "prometheus":
        raise ProbeError(
            UnknownReason.UNSUPPORTED, f"{spec.title} has no metrics page; its timing comes from probes only"
        )
    if not endpoint.path.startswith(":"):
        return endpoint.path
    base = urlsplit(target.direct_url or target.url)
    host = f"[{base.hostname}]" if ":" in (base.hostname or "") else base.hostname
    return f"{base.scheme}://{host}{endpoint.path}"


async def page_request(look: Look, spec: EngineSpec, *, timeout_s: float) -> tuple[HttpResponse, str]:
    """One read of the page, any status, and how errors call it.

    Raises:
        ProbeError: no page, or no answer.
    """
    url = page_url(look.target, spec)
    answer = await look.http.request("GET", url, timeout_s=timeout_s, direct=True)
    return answer, f"GET {answer.url}"


def page_problem(answer: HttpResponse, spec: EngineSpec, where: str) -> ProbeError | None:
    """Why an answer with another status than 200, or one out of a cache, is no page; None for a fresh 200."""
    if answer.status == 200:
        return _cached(answer, where)
    endpoint = spec.endpoints.get("metrics")
    hint = endpoint.off_hint if endpoint else ""
    if answer.status in {401, 403}:
        return ProbeError(
            UnknownReason.AUTH,
            f"{where} answers {answer.status}: the metrics page wants the API key as well; give it with --api-key-env",
        )
    if endpoint is not None and answer.status in endpoint.off_statuses:
        return ProbeError(UnknownReason.DISABLED, f"{where} answers {answer.status}: metrics are off; {hint}")
    if answer.status == 503:
        return ProbeError(UnknownReason.DISABLED, f"{where} answers 503: the server is still loading, or shutting down")
    return ProbeError(
        UnknownReason.ABSENT, f"{where} answers {answer.status}, wanted 200" + (f"; {hint}" if hint else "")
    )


def _cached(answer: HttpResponse, where: str) -> ProbeError | None:
    """A page that a cache kept would show an engine that stands still (RFC 9111, section 5.1: Age)."""
    age = answer.headers.get("age", "").strip()
    if not age.isdigit() or int(age) == 0:
        return None
    return ProbeError(
        UnknownReason.INCONSISTENT,
        f"{where}: a cache on the way answers with a page of {age} s ago (Age header); give the engine's own address "
        "with direct_url or metrics_url",
    )
