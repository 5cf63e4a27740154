"""What is counted for GET /metrics? Nothing here is named by what a caller sends."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orionlm.inference.server.admission import Gate

ROUTES = ("/v1/completions", "/v1/chat/completions", "/v1/models", "/health", "/metrics")
FIRST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STEP = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The server's own counts, and the engine's as its last line told them."""

    def __init__(self, gate: Gate) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "orion_requests", "Answered requests; status 499: the caller left first.", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        first = Histogram(
            "orion_time_to_first_token_seconds", "From handing a request to the engine to its first token.",
            buckets=FIRST, registry=self.registry,
        )  # fmt: skip
        step = Histogram(
            "orion_inter_token_seconds", "Between two steps of the engine; each gives every running sample a token.",
            buckets=STEP, registry=self.registry,
        )  # fmt: skip
        gate.engine.on_first, gate.engine.on_step = first.observe, step.observe
        self.registry.register(_Engine(gate))

    def count(self, path: str, status: int) -> None:
        route = "/v1/models" if path.startswith("/v1/models/") else path
        self.requests.labels(route if route in ROUTES else "other", str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Engine(Collector):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def collect(self) -> Iterable[Metric]:
        engine = self.gate.engine
        gauges = {
            "running": "Samples being decoded.",
            "waiting": "Samples waiting inside the engine.",
            "cache_tokens": "Tokens the key-value cache has room for.",
            "cache_tokens_used": "Tokens in the key-value cache.",
        }
        for name, meaning in gauges.items():
            yield GaugeMetricFamily(f"orion_{name}", meaning, engine.stats.get(name, 0))
        yield GaugeMetricFamily("orion_unfinished", "Samples asked for and not ended.", engine.unfinished)
        yield GaugeMetricFamily("orion_active_requests", "Requests being answered.", self.gate.active)
        yield GaugeMetricFamily("orion_queue_limit", "Samples that may wait beyond the slots.", self.gate.queue)
        yield GaugeMetricFamily("orion_ready", "1 while requests are let in.", float(self.gate.state == "ready"))
        counters = {
            "steps": "Steps of the engine.",
            "prompt_tokens": "Tokens of prompts that were read.",
            "shared_tokens": "Tokens of prompts that were in the cache already.",
            "generated_tokens": "Tokens generated.",
        }
        for name, meaning in counters.items():
            yield CounterMetricFamily(f"orion_{name}", meaning, engine.stats.get(name, 0))
