"""What a process mounts where others send to: a body and headers of one customer to samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from optiinfra.adapters.collectors.otlp import OtlpDecoder, OtlpProblem
from optiinfra.adapters.collectors.page import Labels, PageError
from optiinfra.adapters.collectors.received import ReceivedSeries, SeriesReceiver
from optiinfra.adapters.collectors.refusals import Refusal, RefusedError
from optiinfra.adapters.collectors.remote_write import decode_remote_write
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch

Headers = Mapping[str, str]
PROMETHEUS_LABELS = ("job", "instance")
_PLACES = ("deployment_id", "instance_id")


@dataclass(frozen=True, slots=True)
class TargetNaming:
    """Which labels name a target; they do not go out with its series."""

    customer_id: UUID
    kind: str
    labels: tuple[str, str]

    def find(self, labels: Labels) -> tuple[Target, Labels]:
        """The target that a series names, and its labels without those that went into it."""
        named = dict(labels)
        group, one = (named.pop(label, "") for label in self.labels)
        deployment_id, instance_id = (named.pop(label, "") for label in _PLACES)
        name = "/".join(part for part in (self.kind, group, one) if part)
        target = Target(self.customer_id, name, "", deployment_id, instance_id)
        return target, tuple(sorted(named.items()))


class Receiver:
    """Takes requests of one customer, who is known by other means than what is sent."""

    def __init__(
        self,
        naming: TargetNaming,
        decode: Callable[[bytes, Headers], list[ReceivedSeries]],
        *,
        decoding_problems: Mapping[OtlpProblem, int] = MappingProxyType({}),
    ) -> None:
        self._decode = decode
        self.decoding_problems = decoding_problems  # what the decoder left out, as it counts on
        self.series = SeriesReceiver(naming.find)

    def receive(self, body: bytes, headers: Headers, now_ns: int) -> SampleBatch:
        """The samples of a request.

        Raises:
            RefusedError: it cannot be used; `refusal` is the HTTP status.
        """
        try:
            return self.series.receive(self._decode(body, headers), now_ns)
        except PageError as error:
            raise RefusedError(Refusal.BAD_CONTENT, error.problem) from error


def make_remote_write_receiver(customer_id: UUID) -> Receiver:
    """For Prometheus' remote write 1.0; a target is a job and an instance."""
    naming = TargetNaming(customer_id, "remote-write", PROMETHEUS_LABELS)
    return Receiver(naming, decode_remote_write)


def make_otlp_receiver(customer_id: UUID) -> Receiver:
    """For OTLP metrics over HTTP; a target is a service and one of its instances."""
    naming = TargetNaming(customer_id, "otlp", ("service_name", "service_instance_id"))
    decoder = OtlpDecoder()
    return Receiver(naming, decoder.decode, decoding_problems=decoder.problems)
