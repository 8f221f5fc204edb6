"""What a flaky server costs, and how soon throughput is back after an outage.

    python benchmarks/server_faults.py [--only mixed recovery clients] [--repeats 3]

The server of `tests/support/fault_server.py`, a process of its own that answers after a set latency, stands in for
one that samples: only this side is measured. `mixed`: the same requests without faults and with faults at set rates,
one after the other, each through `run_engine_task` with its journal. `recovery`: for each kind of outage, seconds from
its end to a second of at least half the throughput from before it. `clients`: the same requests over aiohttp and over
httpx, 64 at a time, without the rest of Synthflow. Prints one JSON line on stdout and progress on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from measuring import machine, print_json, say

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.fault_load import MIXED, OUTAGES, policy, recovery, requests
from support.fault_server import FaultServer, text_of
from synthflow.backends import open_backend
from synthflow.execute.engines import close_engines
from synthflow.execute.sampling import run_engine_task
from synthflow.execute.tasks import EngineTask, RunContext

OPEN = 64


def sample(n: int, rates: dict[str, float]) -> dict[str, float]:
    """Sample `n` requests into a fresh journal: wall and CPU seconds of this process, and tries an answer."""
    with FaultServer(4, rates=rates, seed=1, latency_s=0.02) as servers, tempfile.TemporaryDirectory() as folder:
        served = policy(servers, timeout_s=1.0, max_concurrency=32)
        context = RunContext(Path(folder), 1, 0, 0, {"policy": served}, {})
        began, cpu = time.monotonic(), time.process_time()
        results = run_engine_task(EngineTask(context, "policy", "rollouts", tuple(requests(n)), frozenset()))
        found = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
        asked = sum(servers.counts()["asked"].values())
        close_engines()
    if len(results) != n:
        raise SystemExit(f"{len(results)} results for {n} requests")
    return {**found, "per_s": n / found["wall_s"], "tries": asked / n}


def mixed(n: int, repeats: int) -> dict[str, Any]:
    clean, faulty = [], []
    for i in range(repeats):
        say(f"mixed, repeat {i + 1} of {repeats}")
        clean.append(sample(n, {}))
        faulty.append(sample(n, MIXED))
    middle = {arm: {k: median(r[k] for r in runs) for k in runs[0]} for arm, runs in _arms(clean, faulty)}
    return {"requests": n, "rates": MIXED, "timeout_s": 1.0, **middle}


def _arms(clean: list[dict[str, float]], faulty: list[dict[str, float]]) -> list[tuple[str, list[dict[str, float]]]]:
    return [("clean", clean), ("faulty", faulty)]


def recoveries(repeats: int) -> dict[str, list[float]]:
    """Seconds to recovery for each kind of outage, sorted."""
    found: dict[str, list[float]] = {}
    for kind, rates in OUTAGES.items():
        say(f"recovery from: {kind}")
        for _ in range(repeats):
            with FaultServer(latency_s=0.1, retry_after="") as servers:
                backend = open_backend(policy(servers, max_concurrency=16, timeout_s=1.0))
                backend.start()
                try:
                    found.setdefault(kind, []).append(recovery(backend, servers, rates))
                finally:
                    backend.close()
    return {kind: sorted(times) for kind, times in found.items()}


async def _drive(n: int, post: Callable[[bytes], Awaitable[bytes]]) -> dict[str, float]:
    seeds, latencies = iter(range(n)), list[float]()

    async def worker() -> None:
        for seed in seeds:
            began = time.monotonic()
            body = await post(json.dumps({"seed": seed, "messages": []}).encode())
            latencies.append(time.monotonic() - began)
            if text_of(seed).encode() not in body:
                raise SystemExit("a wrong answer")

    began, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(OPEN)))
    spent = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
    return {**spent, "median_s": median(latencies), "longest_s": max(latencies)}


async def _aiohttp(n: int, url: str) -> dict[str, float]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(body: bytes) -> bytes:
            async with session.post(url, data=body) as response:
                return await response.read()

        return await _drive(n, post)


async def _httpx(n: int, url: str) -> dict[str, float]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:

        async def post(body: bytes) -> bytes:
            return (await client.post(url, content=body)).content

        return await _drive(n, post)


def clients(n: int, repeats: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {"aiohttp": [], "httpx": []}
    with FaultServer(latency_s=0.01) as servers:
        url = f"{servers.urls[0]}/chat/completions"
        for i in range(repeats):
            say(f"clients, repeat {i + 1} of {repeats}")
            found["aiohttp"].append(asyncio.run(_aiohttp(n, url)))
            found["httpx"].append(asyncio.run(_httpx(n, url)))
    return {name: {k: median(r[k] for r in runs) for k in runs[0]} for name, runs in found.items()} | {"requests": n}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["mixed", "recovery", "clients"], help="leave the others out")
    parser.add_argument("--requests", type=int, default=2000, help="requests of `mixed` and `clients`")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    chosen = args.only or ["mixed", "recovery", "clients"]
    found: dict[str, Any] = {}
    if "mixed" in chosen:
        found["mixed"] = mixed(args.requests, args.repeats)
    if "recovery" in chosen:
        found["recovery_s"] = recoveries(args.repeats)
    if "clients" in chosen:
        found["clients"] = clients(args.requests, args.repeats)
    print_json({**found, "machine": machine()})


if __name__ == "__main__":
    main()
