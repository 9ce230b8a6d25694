//! `google.rpc.Status` and what goes into its details: the three messages of it that OTLP needs.

use prost::Message;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    /// A code of gRPC.
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// That it makes sense to come again after so many seconds.
pub(super) fn retry_after(seconds: i64) -> Any {
    let info = RetryInfo { retry_delay: Some(Delay { seconds }) };
    Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_string(), value: info.encode_to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_published_messages() {
        let status = Status { code: 8, message: "busy".to_string(), details: vec![retry_after(3)] };
        let info = b"\x0a\x02\x08\x03";
        let url = b"type.googleapis.com/google.rpc.RetryInfo";
        let any = [&b"\x0a\x28"[..], url, b"\x12\x04", info].concat();
        let expected = [&b"\x08\x08\x12\x04busy\x1a"[..], &[u8::try_from(any.len()).unwrap()], &any].concat();
        assert_eq!(status.encode_to_vec(), expected);
    }
}
