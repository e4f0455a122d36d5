"""The torch reference, as a program of its own: `PYTHON torch_child.py < request.json > answer.json`.

It imports nothing of sickbay, so that any interpreter with torch and transformers can run it. Weights are read in
float32 from a safetensors folder or a GGUF file (transformers turns its blocks back into numbers).

Request: {"path": …, "adapter": …, "cases": [{"prompt": [ids], "output": [ids]}], "threads": n}
Answer: {"cases": [{"logprobs": [of each output id], "best": [likeliest id], "best_logprobs": [its log probability]}],
"versions": {…}, "load_s": …} or {"error": …}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

__all__ = ["main", "score"]


def load(path: str, adapter: str) -> Any:
    """The model in float32, evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
    if path.lower().endswith(".gguf"):
        folder, name = os.path.split(path)
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, **options)
    else:
        # Never a pickle: a reference must not run what it is meant to judge.
        model = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, trust_remote_code=False, **options)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter, is_trainable=False)
    return model.eval()


def score(model: Any, prompt: list[int], output: list[int]) -> dict[str, Any]:
    """Log probabilities of `output` after `prompt` under the model, all at once (teacher forcing)."""
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([prompt + output])).logits[0]
        rows = torch.log_softmax(logits[len(prompt) - 1 : len(prompt) - 1 + len(output)].double(), dim=-1)
        best, places = rows.max(dim=-1)
        own = rows.gather(1, torch.tensor(output).unsqueeze(1)).squeeze(1)
    return {"logprobs": own.tolist(), "best": places.tolist(), "best_logprobs": best.tolist()}


def main() -> int:
    """One request, one answer; errors are answers."""
    request = json.load(sys.stdin)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    began = time.monotonic()
    try:
        import torch
        import transformers

        torch.set_num_threads(int(request.get("threads") or 1))
        model = load(request["path"], request.get("adapter", ""))
        loaded_s = time.monotonic() - began
        answer: dict[str, Any] = {
            "cases": [score(model, case["prompt"], case["output"]) for case in request["cases"]],
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "load_s": round(loaded_s, 2),
        }
    except Exception as error:  # whatever a library raises is this program's answer
        answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
