//! OpenTelemetry's protocol: its records, and HTTP/2 under gRPC.

/// Levels of arrays and maps in one OTLP value. Decoders bound their recursion well above it.
pub const OTLP_VALUE_DEPTH_MAX: usize = 24;
/// Fields and items of one OTLP record, its resource or its scope: what memory it takes beyond its bytes.
pub const OTLP_ITEMS_MAX: usize = 131_072;
/// Bytes of the texts that the records of one export request become: a resource is repeated in each of its records.
pub const OTLP_TEXT_BYTES_MAX: usize = 96 << 20;
/// Binary logarithm of the largest window that a zstd frame may ask for: 8 MiB, as RFC 8878 recommends.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Requests at once on one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 64;
/// Bytes of the headers of one HTTP/2 request.
pub const HTTP2_HEADER_BYTES_MAX: u32 = 16 << 10;
/// Bytes that a client may have under way on one HTTP/2 connection before they are read.
pub const HTTP2_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of an error that is put into OTLP's words; the service's own are short.
pub const OTLP_PROBLEM_BYTES_MAX: usize = 64 << 10;
