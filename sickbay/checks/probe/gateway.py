"""Whether something stands between client and engine, from response headers. Pure.

Header names as the products document them: RFC 9110 (Via), RFC 9211 (Cache-Status), Envoy, nginx, Cloudflare, AWS,
Kong, LiteLLM, Akamai, Fastly.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["gateway_signs"]

_NAMES = frozenset({"via", "cf-ray", "x-served-by", "x-cache", "x-amz-cf-id", "apigw-requestid", "cache-status"})
_PREFIXES = (
    "x-envoy-",
    "x-accel-",
    "x-kong-",
    "x-amzn-",
    "x-litellm-",
    "x-akamai-",
    "x-fastly-",
    "x-azure-ref",
    "x-goog-",
)
_SERVERS = (
    "nginx", "openresty", "envoy", "istio", "haproxy", "traefik", "caddy", "cloudflare", "kong", "awselb", "apache",
    "litellm", "akamai", "gws", "google frontend",
)  # fmt: skip
_OWN = frozenset({"x-accel-buffering"})
"""Engines send this one themselves, to ask a proxy not to buffer."""


def gateway_signs(headers: Mapping[str, str]) -> list[str]:
    """The headers (names in lower case) that a proxy adds, as "name" or "server: product"; sorted."""
    signs = [name for name in headers if name not in _OWN and (name in _NAMES or name.startswith(_PREFIXES))]
    server = headers.get("server", "").lower()
    signs += [f"server: {product}" for product in _SERVERS if server.startswith(product)]
    return sorted(signs)
