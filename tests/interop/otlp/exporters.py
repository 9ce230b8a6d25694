"""Sets OpenTelemetry's SDK up as a user would: a provider of spans and one of logs, each with an OTLP exporter."""

import logging
import os

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def start(service):
    """By environment: OTLP_PROTOCOL (http or grpc), OTLP_ENDPOINT, OTLP_TOKEN, OTLP_COMPRESSION, OTLP_CA."""
    protocol, endpoint = os.environ["OTLP_PROTOCOL"], os.environ["OTLP_ENDPOINT"]
    token, certificate = os.environ["OTLP_TOKEN"], os.environ.get("OTLP_CA")
    compressed = os.environ.get("OTLP_COMPRESSION", "gzip") == "gzip"
    if protocol == "http":
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        options = {
            "headers": {"authorization": f"Bearer {token}"},
            "compression": Compression.Gzip if compressed else Compression.NoCompression,
            "certificate_file": certificate,
        }
        spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", **options)
        logs = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", **options)
    else:
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        credentials = None
        if certificate:
            with open(certificate, "rb") as file:
                credentials = grpc.ssl_channel_credentials(file.read())
        options = {
            "endpoint": endpoint,
            "headers": (("authorization", f"Bearer {token}"),),
            "compression": grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression,
            "insecure": credentials is None,
            "credentials": credentials,
        }
        spans, logs = OTLPSpanExporter(**options), OTLPLogExporter(**options)
    logging.basicConfig(level=logging.WARNING)
    resource = Resource.create({"service.name": service, "deployment.environment.name": "test"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    set_logger_provider(loggers)
    return tracers, loggers


def stop(tracers, loggers):
    """Everything is sent when this returns."""
    flushed = tracers.force_flush() and loggers.force_flush()
    tracers.shutdown()
    loggers.shutdown()
    assert flushed, "not everything could be sent"
