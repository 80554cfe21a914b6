"""What several processes should take, of the time of a step and the time to add up gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


def gradient_bytes(sizes: Sequence[int]) -> list[int]:
    """Bytes of the gradient of each training: of each stage, and of the stack.

    A layer of n inputs and m units has n*m weights and m biases to encode, and m*n weights and n
    biases to decode, in single precision.
    """
    stages = [4 * (2 * n * m + n + m) for n, m in pairwise(sizes)]
    return [*stages, sum(stages)]


@dataclass(frozen=True)
class Network:
    """What two processes need to add up gradients: ``latency + bytes / bandwidth``.

    Attributes:
        latency: Seconds.
        bandwidth: Bytes a second.
    """

    latency: float
    bandwidth: float

    @classmethod
    def fitted(cls, seconds: Mapping[int, float]) -> Network:
        """The latency is that of the smallest, the bandwidth that of least squared errors.

        Args:
            seconds: Measured between two processes, by bytes.
        """
        smallest = min(seconds)
        latency = seconds[smallest]
        points = [(n, s - latency) for n, s in seconds.items() if n != smallest]
        slope = sum(n * s for n, s in points) / sum(n * n for n, _ in points)
        return cls(latency, 1 / slope if slope > 0 else math.inf)

    def seconds(self, n_bytes: float, processes: int) -> float:
        """Of a ring: each process sends 2(N-1)/N of the bytes, in 2(N-1) messages.

        Two processes send two messages each, so the latency measured is that of two.
        """
        if processes == 1:
            return 0.0
        sent = 2 * (processes - 1) / processes * n_bytes
        return (processes - 1) * self.latency + sent / self.bandwidth


@dataclass(frozen=True)
class Model:
    """What a run should take, and how that comes about.

    Attributes:
        network: Between the processes.
        mean_bytes: Of the gradient, averaged over the trainings.
        begin: Seconds to begin the trainings, by one process and by two; more take as long as two.
        batch: Of all processes together.
        steps: Of the whole run.
    """

    network: Network
    mean_bytes: float
    begin: Mapping[int, float]
    batch: int
    steps: int

    def run(self, processes: int, seconds: float, steps: int) -> tuple[float, list[str]]:
        """Seconds of the run, and the arithmetic in lines.

        Args:
            processes: How many.
            seconds: That one process takes for a run whose batch is its share.
            steps: Of that run.
        """
        n, share = processes, self.batch // processes
        compute = (seconds - self.begin[1]) / steps
        step, shown = self._step(n, compute)
        total = self.begin[2] + self.steps * step
        start = f"t_compute({share}) = ({seconds:.2f} - {self.begin[1]:.2f} s) / {steps:,}"
        whole = f"t_run({n}) = {self.begin[2]:.2f} s + {self.steps:,} * {1e3 * step:.3f} ms"
        return total, [
            f"{start} = {1e3 * compute:.3f} ms",
            f"t_step({n}) = t_compute({share}) + t_allreduce = {shown}",
            f"{whole} = {total:.2f} s",
        ]

    def _step(self, n: int, compute: float) -> tuple[float, str]:
        added = self.network.seconds(self.mean_bytes, n)
        latency, rate = 1e3 * self.network.latency, self.network.bandwidth / 1e6
        sent = f"2*{n - 1}/{n} * {self.mean_bytes / 1e6:.3f} MB / {rate:.0f} MB/s"
        ring = f"{n - 1} * {latency:.3f} + {sent} = {1e3 * added:.3f}"
        step = compute + added
        return step, f"{1e3 * compute:.3f} + ({ring}) = {1e3 * step:.3f} ms"
