//! Formats that alerts are delivered in: what a line and its values may hold. Lengths are of what a reader has after it undid the escapes.

/// What stands at the end of a value that was cut.
pub const SINK_CUT_MARK: &str = "[cut]";
/// Bytes of one line of CEF or LEEF: what rsyslog takes by default (8 KiB), less the header of syslog.
pub const SINK_LINE_BYTES_MAX: usize = (8 << 10) - 512;
/// Bytes of such a line that are kept for saying what of it was cut.
pub const SINK_LINE_REMARK_BYTES_MAX: usize = 512;
/// Bytes of a field of such a line's header.
pub const SINK_HEADER_BYTES_MAX: usize = 256;
/// Bytes of most of CEF's texts, by its dictionary; of all of LEEF's.
pub const SINK_TEXT_BYTES_MAX: usize = 1023;
/// Bytes of CEF's `cs1` to `cs6`, by its dictionary.
pub const SINK_CUSTOM_TEXT_BYTES_MAX: usize = 4000;
/// Bytes of CEF's `externalId`, by its dictionary.
pub const SINK_EXTERNAL_ID_BYTES_MAX: usize = 40;
/// Bytes of CEF's `deviceExternalId`, by its dictionary.
pub const SINK_DEVICE_ID_BYTES_MAX: usize = 255;
/// Bytes of CEF's `dvchost`, by its dictionary.
pub const SINK_HOST_BYTES_MAX: usize = 100;
/// Bytes of CEF's `act` and `outcome`, by its dictionary.
pub const SINK_WORD_BYTES_MAX: usize = 63;
/// The greatest `cnt` of CEF, an integer of 32 bits by its dictionary.
pub const SINK_COUNT_MAX: i64 = i32::MAX as i64;
/// Bytes of one value in a chat message.
pub const SINK_CHAT_VALUE_BYTES_MAX: usize = 1024;
/// Bytes of a message's id and key, which a longer one is cut to: its beginning and its hash.
pub const SINK_MESSAGE_ID_BYTES_MAX: usize = 256;
