"""Whose metrics page is it, when it holds none of the engine's own families."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.engine.model.signal import UnknownReason

__all__ = ["none_of_it"]

OTHERS: Mapping[str, str] = {
    "smg_": "SGLang's router", "sgl_router_": "SGLang's router", "litellm_": "a LiteLLM proxy",
    "envoy_": "an Envoy proxy", "istio_": "an Istio proxy", "nginx_": "an nginx exporter",
    "dynamo_frontend_": "NVIDIA Dynamo's frontend", "llm_d_": "an llm-d gateway",
    "inference_extension_": "an inference gateway", "inference_pool_": "an inference gateway",
    "inference_objective_": "an inference gateway", "ray_": "Ray Serve", "lmdeploy:": "LMDeploy",
    "DCGM_FI_": "a DCGM exporter", "node_": "a node exporter", "vllm:": "vLLM", "sglang:": "SGLang",
    "llamacpp:": "llama.cpp", "tgi_": "Text Generation Inference", "trtllm_": "TensorRT-LLM", "nv_inference_": "Triton",
}  # fmt: skip
"""First characters of the families -> who publishes them: engines, and what stands before or beside them.

Sources: each project's metrics documentation (docs.litellm.ai/docs/proxy/prometheus, envoyproxy.io/docs,
sgl-project/sglang: sgl-model-gateway, docs.nvidia.com/dynamo, docs.ray.io/en/latest/serve/monitoring.html,
kubernetes-sigs/gateway-api-inference-extension: pkg/epp/metrics).
"""

_NAME = re.compile(r"^([a-zA-Z_:][\w:]*)", re.MULTILINE)
NAMES_MAX = 20_000


def none_of_it(text: str, spec: EngineSpec, where: str) -> ProbeError:
    """A page without the engine's families: somebody else's (inconsistent), or switched off (disabled)."""
    names = [match[1] for match, _ in zip(_NAME.finditer(text), range(NAMES_MAX), strict=False)]
    owner = _owner(names, spec)
    head = f"{where} answers 200, but has none of {spec.title}'s metrics"
    if owner:
        return ProbeError(
            UnknownReason.INCONSISTENT,
            f"{head}: it is the page of {owner}; give the engine's own page with direct_url or metrics_url",
        )
    return ProbeError(UnknownReason.DISABLED, f"{head}; {spec.endpoints['metrics'].off_hint or 'set metrics_url'}")


def _owner(names: list[str], spec: EngineSpec) -> str:
    own = {name for metric in spec.metrics.values() for name in metric.names}
    for start, title in OTHERS.items():
        if any(name.startswith(start) for name in names) and not any(name.startswith(start) for name in own):
            return title
    return ""
