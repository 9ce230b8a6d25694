"""Calls of gRPC that are wrong, by a real client: what each is told, and that the next good one is taken."""

import gzip
import os
import sys

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def good(first, count, large=0, depth=0):
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(first, first + count):
        span = scope.spans.add(
            trace_id=b"\x07" * 16,
            span_id=number.to_bytes(8, "big"),
            start_time_unix_nano=1795203651658566355,
            end_time_unix_nano=1795203651662507773,
        )
        span.attributes.add(key="gen_ai.tool.name").value.string_value = "search"
        if large:
            span.attributes.add(key="large").value.string_value = "x" * large
        if depth:
            value = span.attributes.add(key="deep").value
            for _ in range(depth):
                value = value.array_value.values.add()
            value.int_value = 1
    return request.SerializeToString()


def main():
    address = sys.argv[1]
    channel = grpc.insecure_channel(
        address, options=[("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    )
    collector, auditor = os.environ["OTLP_TOKEN"], os.environ["OTLP_WRONG_ROLE"]

    def call(path, body, token=collector, compression=None):
        metadata = [("authorization", f"Bearer {token}")] if token else []
        method = channel.unary_unary(path)
        try:
            answer = method(body, metadata=metadata, timeout=60, compression=compression)
            return grpc.StatusCode.OK, answer
        except grpc.RpcError as error:
            return error.code(), error.details()

    code = grpc.StatusCode
    expected = [
        ("no token", TRACES, good(1, 1), None, code.UNAUTHENTICATED),
        ("unknown token", TRACES, good(1, 1), "tacho_nobody", code.UNAUTHENTICATED),
        ("wrong role", LOGS, b"", auditor, code.PERMISSION_DENIED),
        ("no protobuf", TRACES, b"{}", collector, code.INVALID_ARGUMENT),
        ("broken lengths", TRACES, b"\x0a\xff\xff\xff\xff\x0f", collector, code.INVALID_ARGUMENT),
        ("another signal", METRICS, b"", collector, code.UNIMPLEMENTED),
        ("another service", "/nobody.Knows/It", b"", collector, code.UNIMPLEMENTED),
        ("too large", TRACES, b"x" * (20 << 20), collector, code.RESOURCE_EXHAUSTED),
        ("all too deep", TRACES, good(1, 1, depth=40), collector, code.INVALID_ARGUMENT),
        ("good", TRACES, good(1, 5), collector, code.OK),
        ("10 MB in one attribute", TRACES, good(10, 1, large=10 << 20), collector, code.OK),
        ("nothing", LOGS, b"", collector, code.OK),
    ]
    for what, path, body, token, wanted in expected:
        found, said = call(path, body, token)
        assert found == wanted, f"{what}: {found}, {said}"
    bomb = b"\x0a" * (80 << 20)
    assert len(gzip.compress(bomb)) < 1 << 20
    found, said = call(TRACES, bomb, compression=grpc.Compression.Gzip)
    assert found == code.RESOURCE_EXHAUSTED, f"bomb: {found}, {said}"
    mixed = ExportTraceServiceRequest.FromString(good(20, 2))
    mixed.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
    found, answer = call(TRACES, mixed.SerializeToString(), compression=grpc.Compression.Gzip)
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (found, partial.rejected_spans) == (code.OK, 1), (found, partial)
    assert partial.error_message.startswith("bad_id"), partial
    print("hostile: done")


if __name__ == "__main__":
    main()
