"""A judge behind an endpoint: share of the ideal throughput, and memory over many calls.

.venv/bin/python benchmarks/judge_throughput.py      # about a minute, no network

The endpoint is a process of its own on the loopback that takes 200 ms for every call. Ideal is
32 calls at a time without a moment between them.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

LATENCY, CONCURRENCY = 0.2, 32
FEW, MANY = 500, 2000
ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement")


def main() -> None:
    processes = get_context("spawn")
    ours, theirs = processes.Pipe()
    endpoint = processes.Process(target=serve, args=(theirs,), daemon=True)
    endpoint.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    peaks = {}
    for calls in (FEW, MANY):
        # A process for each: the peak of a process never falls.
        with processes.Pool(1) as pool:
            seconds, cpu, peaks[calls], grown = pool.apply(judge, (url, calls))
        ideal = calls * LATENCY / CONCURRENCY
        print(f"{calls} calls: {seconds:.2f} s, {ideal / seconds:.1%} of the ideal throughput; "
              f"{1000 * cpu / calls:.1f} ms CPU a call")  # fmt: skip
        print(f"  peak {peaks[calls]:.0f} MB, {grown:.1f} MB above the first tenth of the calls")
    print(f"peak of {MANY} calls against {FEW}: {peaks[MANY] / peaks[FEW]:.3f}")
    endpoint.terminate()


def judge(url: str, calls: int) -> tuple[float, float, float, float]:
    """Rate so many cases: seconds, CPU seconds, peak memory in MB, its growth after a tenth."""
    from alignlab.judging.cases import Case
    from alignlab.judging.config import ApiJudgeConfig, resolved_rubric
    from alignlab.judging.openai_judge import judge_at

    entry = ApiJudgeConfig(
        kind="openai",
        model="loopback",
        base_url=url,
        key=None,
        max_tokens=512,
        price={"prompt": 1.0, "completion": 1.0},
        concurrency=CONCURRENCY,
        timeout=30.0,
        retries=2,
    )
    answer = "An answer of a usual length says a little more than this sentence does. " * 20
    texts = [{"query": str(i), "conversation": "", "answer": answer} for i in range(calls)]
    cases = [Case(f"d/{i}", 0, 0, text) for i, text in enumerate(texts)]
    rubric = resolved_rubric("judge/quality")
    with tempfile.TemporaryDirectory() as folder:
        judge = judge_at(entry, Path(folder) / "replies.jsonl", max_usd=1000.0)
        rates = judge.judge(rubric, cases)
        start, cpu, early = time.perf_counter(), time.process_time(), 0.0
        for done, (_, scores) in enumerate(rates, 1):
            assert all(score.status == "scored" for score in scores)
            early = peak() if done == calls // 10 else early
        assert done == calls
        return time.perf_counter() - start, time.process_time() - cpu, peak(), peak() - early


def peak() -> float:
    """Of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(pipe) -> None:
    """Answer every call after the latency, until terminated."""
    verdict = {"reason": "It does what was asked for, in a few clear words. " * 3, "score": "4"}
    content = json.dumps(dict.fromkeys(ASPECTS, verdict))
    body = json.dumps(
        {
            "choices": [{"message": {"content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 300},
        }
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    answer = f"{head}\r\n\r\n{body}".encode()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while headers := await until_blank(reader):
            length = next(h for h in headers.splitlines() if h.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            await asyncio.sleep(LATENCY)
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def forever() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


async def until_blank(reader: asyncio.StreamReader) -> bytes:
    """The headers of a request, in small letters; nothing when the connection ends."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).lower()
    except asyncio.IncompleteReadError:
        return b""


if __name__ == "__main__":
    main()
