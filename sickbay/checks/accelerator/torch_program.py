"""The measuring program of the active tests: run by path, by whatever Python has the torch to be tested.

`python torch_program.py '{"test": "matmul", …}'`. It needs torch and the standard library, nothing of sickbay, so that
an engine's own environment can run it. It prints one JSON object a line: `doing` before each thing that may hang,
`device` once a device, then measurements, `done` last. Times are seconds, sizes bytes. On an accelerator they are taken
with the device's own events; torch calls AMD's devices "cuda" too.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any, Callable, Iterator, List  # noqa: UP035  # older Pythons of engines run this file

sys.path[:1] = []  # our own folder: none of its names may stand in for a package of theirs
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # one workspace a stream: products repeat bit by bit

SEED = 20_260_101
MIB = 2**20
REPEATS = 5
"""Timed repeats of one measurement; all are reported, the best is judged (a pause of the host is no slow device)."""


def say(**found: Any) -> None:
    """One line out, at once: what was measured survives a later hang."""
    print(json.dumps(found), flush=True)  # noqa: T201


def main() -> int:
    """Run one test on every wanted device."""
    asked = json.loads(sys.argv[1])
    die_with_parent()
    try:
        import torch
    except ImportError as error:
        say(error="no-torch", detail=f"{sys.executable} has no torch: {error}")
        return 0
    torch.set_num_threads(max(1, int(asked.get("threads", 1))))
    if asked["test"] == "rank":
        return rank(torch, asked)
    devices = list(wanted(torch, asked))
    say(torch=torch.__version__, cuda=torch.version.cuda or torch.version.hip or "", python=sys.executable)
    if not devices:
        say(error="no-device", detail=f"torch {torch.__version__} sees no accelerator")
        return 0
    tests = {"bandwidth": bandwidth, "matmul": matmul, "numerics": numerics}
    if asked["test"] == "collective":
        collective(torch, asked, devices)
    else:
        for device in devices:
            say(doing=f"open {device}")
            say(device=describe(torch, device))
            tests[asked["test"]](torch, asked, device)
    say(done=True)
    return 0


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, whatever it hangs in then."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG, linux/prctl.h


def wanted(torch: Any, asked: dict[str, Any]) -> Iterator[Any]:
    """The devices to test: accelerators where there are any, else the processor; by index when told."""
    kind = asked["device"]
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        yield torch.device("cpu")
        return
    chosen = asked.get("indices") or range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    for index in chosen:
        if index < torch.cuda.device_count():
            yield torch.device("cuda", index)


def describe(torch: Any, device: Any) -> dict[str, Any]:
    """What names the device, here and in the kernel."""
    if device.type == "cpu":
        return {"id": "cpu", "kind": "cpu", "name": "processor", "total": 0, "free": 0, "pci": ""}
    torch.cuda.set_device(device)
    free, total = torch.cuda.mem_get_info(device)
    about = torch.cuda.get_device_properties(device)
    pci = ""
    if hasattr(about, "pci_bus_id"):  # torch 2.4 and newer
        pci = f"{about.pci_domain_id:04x}:{about.pci_bus_id:02x}:{about.pci_device_id:02x}.0"
    return {
        "id": str(device), "kind": "cuda", "name": about.name, "total": total, "free": free, "pci": pci,
        "capability": [about.major, about.minor],
    }  # fmt: skip


def settle(torch: Any, device: Any) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(torch: Any, device: Any, work: Callable[[], Any], least_s: float) -> List[float]:  # noqa: UP006
    """Seconds of one `work`, `REPEATS` times; each time is the mean of as many runs as fill `least_s`."""
    work()
    settle(torch, device)
    start = time.perf_counter()
    work()
    settle(torch, device)
    once = max(time.perf_counter() - start, 1e-7)
    runs = max(1, min(1000, int(least_s / once)))
    found = []
    for _ in range(REPEATS):
        if device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(runs):
                work()
            end.record()
            settle(torch, device)
            found.append(begin.elapsed_time(end) / 1000 / runs)
        else:
            start = time.perf_counter()
            for _ in range(runs):
                work()
            found.append((time.perf_counter() - start) / runs)
    return found


def bandwidth(torch: Any, asked: dict[str, Any], device: Any) -> None:
    """Copy inside the device's memory, then to and from the host, from pinned and from pageable memory."""
    size = int(asked["copy_bytes"]) if device.type == "cuda" else min(int(asked["copy_bytes"]), 64 * MIB)
    if device.type == "cuda":
        size = min(size, torch.cuda.mem_get_info(device)[0] // 4)
    say(doing=f"copy in the memory of {device}")
    source = torch.ones(size // 4, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    times = timed(torch, device, lambda: target.copy_(source), asked["least_s"])
    # Each byte is read once and written once; both cross the memory's bus.
    say(device_id=str(device), memory_bytes=2 * source.numel() * 4, memory_s=times)
    if device.type == "cuda":
        part = source[: min(source.numel(), 256 * MIB // 4)]
        for pinned in (True, False):
            host_copies(torch, device, part, pinned, asked["least_s"])


def host_copies(torch: Any, device: Any, part: Any, pinned: bool, least_s: float) -> None:
    """Copy one block to the device and back."""
    words = "pinned" if pinned else "pageable"
    say(doing=f"copy between {device} and {words} host memory")
    host = torch.ones(part.numel(), dtype=torch.int32, pin_memory=pinned)
    there = timed(torch, device, lambda: part.copy_(host, non_blocking=True), least_s)
    back = timed(torch, device, lambda: host.copy_(part, non_blocking=True), least_s)
    size = part.numel() * 4
    say(device_id=str(device), host_bytes=size, host_memory=words, to_device_s=there, from_device_s=back)


def products(torch: Any, asked: dict[str, Any], device: Any) -> Iterator[Any]:
    """Name, and a function that multiplies two random matrices [n, n], for each number format the device has."""
    n = side(asked, torch, device)
    torch.manual_seed(SEED)
    left, right = (torch.randn(n, n, device=device) for _ in range(2))
    gpu = device.type == "cuda"
    capability = torch.cuda.get_device_capability(device) if gpu else (0, 0)
    for name in asked["formats"]:
        if name in {"fp32", "tf32"}:
            if name == "tf32" and not (gpu and capability >= (8, 0)):
                continue
            torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
            yield name, left, right, lambda: torch.matmul(left, right)
        elif name in {"fp16", "bf16"}:
            if name == "bf16" and gpu and capability < (8, 0):
                continue  # emulated there: its rate says nothing of the device
            kind = torch.float16 if name == "fp16" else torch.bfloat16
            a, b = left.to(kind), right.to(kind)
            yield name, a, b, lambda a=a, b=b: torch.matmul(a, b)
        elif name == "fp8" and gpu and capability >= (8, 9) and hasattr(torch, "_scaled_mm"):
            a, b = left.to(torch.float8_e4m3fn), right.t().contiguous().to(torch.float8_e4m3fn).t()
            yield name, a, b, scaled(torch, a, b, fast=asked["test"] == "matmul")


def scaled(torch: Any, left: Any, right: Any, *, fast: bool) -> Callable[[], Any]:
    """The fp8 product of torch; `right` is stored by columns, as the hardware wants it.

    `fast` sums as serving does, in the tensor cores' own narrow adders; else the sums are moved to fp32 as they grow.
    """
    one = torch.tensor(1.0, device=left.device)
    options = {"scale_a": one, "scale_b": one, "out_dtype": torch.bfloat16, "use_fast_accum": fast}
    return lambda: torch._scaled_mm(left, right, **options)  # noqa: SLF001


def side(asked: dict[str, Any], torch: Any, device: Any) -> int:
    """Side of the square matrices: large enough to fill the device, small enough for the time."""
    if asked["size"]:
        return int(asked["size"])
    if device.type == "cpu":
        return 512
    return 8192 if torch.cuda.get_device_capability(device) >= (8, 0) else 4096


def matmul(torch: Any, asked: dict[str, Any], device: Any) -> None:
    """Rate of a large product for each number format: normally distributed values, one fixed seed."""
    formats = list(asked["formats"])
    for name in formats:
        say(doing=f"multiply {name} on {device}")
        made = False
        try:
            for _, left, _, work in products(torch, {**asked, "formats": [name]}, device):
                made = True
                n = left.shape[0]
                times = timed(torch, device, work, asked["least_s"])
                say(device_id=str(device), format=name, n=n, operations=2 * n**3, seconds=times)
        except (RuntimeError, NotImplementedError) as error:  # this build lacks the kernel, or memory ran out
            say(device_id=str(device), format=name, refused=str(error).splitlines()[0][:200])
            continue
        if not made:
            say(device_id=str(device), format=name, refused="not in hardware")


def numerics(torch: Any, asked: dict[str, Any], device: Any) -> None:
    """The same product again and again, its digest, its error against the processor, and memory patterns."""
    ends_at = time.monotonic() + asked["seconds"] / 3
    # Partial sums in the narrow format would be within no bound worth holding.
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    asked = {**asked, "size": asked["size"] or (4096 if device.type == "cuda" else 256)}
    for name in asked["formats"]:
        say(doing=f"repeat a {name} product on {device}")
        try:
            for product in products(torch, {**asked, "formats": [name]}, device):
                repeat_product(torch, product, device, asked["repeats"], ends_at)
        except (RuntimeError, NotImplementedError) as error:
            say(device_id=str(device), format=name, refused=str(error).splitlines()[0][:200])
    say(doing=f"write and read patterns in the memory of {device}")
    patterns(torch, asked, device)


def repeat_product(torch: Any, product: Any, device: Any, repeats: int, ends_at: float) -> None:
    """Compare `repeats` products bit by bit, scan them for what is no number, and hold some rows against the processor.

    The bound is the one every summing order keeps (Higham, Accuracy and Stability, 3.5): n eps |A||B| for the sums, and
    half a unit in the last place of the result's own format; so it never fails a sound device.
    """
    name, *pair, work = product
    first = work()
    odd, done = 0, 0
    while done < repeats and (done < 2 or time.monotonic() < ends_at):
        odd += int(not torch.equal(work(), first))
        done += 1
    left, right = (each.float().cpu().double() for each in pair)
    result = first.float().cpu()
    rows = list(range(0, left.shape[0], max(1, left.shape[0] // 16)))[:16]
    exact = left[rows] @ right
    size = left[rows].abs() @ right.abs()
    # Sums are kept in fp32, or in TF32's and fp8's narrower adders: 2**-13 bounds what is published of those.
    unit = 2.0**-13 if name in {"tf32", "fp8"} else 2.0**-24
    own = torch.finfo(first.dtype).eps
    bound = left.shape[1] * unit * size + own * exact.abs() + (2.0**-10 * size if name == "tf32" else 0)
    wrong = int(((result[rows].double() - exact).abs() > bound).sum())
    say(
        device_id=str(device), format=name, repeats=done, different=odd,
        nonfinite=int((~torch.isfinite(result)).sum()), wrong=wrong, compared=exact.numel(),
        digest=hashlib.sha256(result.numpy().tobytes()).hexdigest()[:16],
    )  # fmt: skip


def patterns(torch: Any, asked: dict[str, Any], device: Any) -> None:
    """Fill a share of the free memory, read it back inverted and addressed, give it back."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what the products left behind
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 64 * MIB
    goal = int(free * asked["fraction"])
    ends_at = time.monotonic() + asked["seconds"] / 3
    step = min(1024 * MIB, max(MIB, goal // 4))
    held: List[Any] = []  # noqa: UP006
    bad, refused = 0, ""
    try:
        while sum(each.numel() * 8 for each in held) + step <= goal:
            held.append(torch.empty(step // 8, dtype=torch.int64, device=device))
    except RuntimeError as error:  # torch's OutOfMemoryError is one
        refused = str(error).splitlines()[0][:200]
    passes = 0
    for word in (
        0x5555555555555555,
        -0x5555555555555556,
        None,
    ):  # alternating bits, their inverse, each its own address
        if passes and time.monotonic() > ends_at:
            break
        for number, each in enumerate(held):
            if word is None:
                torch.arange(number * each.numel(), (number + 1) * each.numel(), out=each)
            else:
                each.fill_(word)
        for number, each in enumerate(held):
            first = number * each.numel()
            wanted = torch.arange(first, first + each.numel(), device=device) if word is None else word
            bad += int((each != wanted).sum())
        passes += 1
    tested = sum(each.numel() * 8 for each in held)
    say(
        device_id=str(device),
        pattern_bytes=tested,
        free=free,
        goal=goal,
        passes=passes,
        miscompares=bad,
        refused=refused,
    )


def collective(torch: Any, asked: dict[str, Any], devices: List[Any]) -> None:  # noqa: UP006
    """One process a device (two on the processor): sums that are known, their latency and their rate."""
    gpu = devices[0].type == "cuda"
    places = [str(device) for device in devices] if gpu else ["cpu", "cpu"]
    for place in sorted(set(places)):
        say(device=describe(torch, torch.device(place)))
    with tempfile.TemporaryDirectory(prefix="sickbay-") as folder:
        say(doing=f"all-reduce over {len(places)} processes with {'nccl' if gpu else 'gloo'}")
        # One machine: what sets connections up needs no other way than the loopback.
        env = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo", **os.environ}
        order = {**asked, "test": "rank", "world": len(places), "file": os.path.join(folder, "meet")}  # noqa: PTH118
        ranks = [
            subprocess.Popen(
                [sys.executable, __file__, json.dumps({**order, "rank": number, "place": place})],
                stdout=subprocess.PIPE, env=env, text=True,
            )
            for number, place in enumerate(places)
        ]  # fmt: skip
        for process in ranks:
            out, _ = process.communicate()
            for line in out.splitlines():
                print(line, flush=True)  # noqa: T201
            if process.returncode:
                say(error="rank", detail=f"a rank of the collective ended with {process.returncode}")


def rank(torch: Any, asked: dict[str, Any]) -> int:
    """One process of the collective."""
    import torch.distributed as group

    device = torch.device(asked["place"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    number, world = asked["rank"], asked["world"]
    group.init_process_group(backend, init_method=f"file://{asked['file']}", rank=number, world_size=world)
    large = int(asked["reduce_bytes"]) if device.type == "cuda" else min(int(asked["reduce_bytes"]), 8 * MIB)
    whole = torch.full((large // 4,), float(number + 1), device=device)
    group.all_reduce(whole)
    wrong = int((whole != world * (world + 1) / 2).sum())  # whole numbers: exact in fp32, in any order
    small = torch.ones(256, device=device)
    latencies = []
    for _ in range(20):
        start = time.perf_counter()
        group.all_reduce(small)
        settle(torch, device)
        latencies.append(time.perf_counter() - start)
    times = []
    for _ in range(REPEATS):
        whole.fill_(1.0)
        settle(torch, device)
        group.barrier()
        start = time.perf_counter()
        group.all_reduce(whole)
        settle(torch, device)
        times.append(time.perf_counter() - start)
    group.destroy_process_group()
    say(
        rank=number, world=world, backend=backend, device_id=str(device), wrong=wrong, elements=large // 4,
        latency_s=sorted(latencies[5:]), reduce_bytes=large, reduce_s=times,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
