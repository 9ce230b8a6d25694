//! Mapping files, the records they read, and what is derived from these.

/// Bytes of one mapping file.
pub const MAPPING_FILE_BYTES_MAX: usize = 256 << 10;
/// Mappings in force.
pub const MAPPINGS_MAX: usize = 1000;
/// Events of which one record may be several.
pub const MAPPING_PARTS_MAX: usize = 256;
/// Bytes that canonical encoding may add per attribute.
pub const MAPPING_KEY_OVERHEAD_BYTES: usize = 16;
/// Destinations of one call.
pub const DESTINATIONS_MAX: usize = 64;
/// Levels of objects and arrays below a call's arguments in which destinations are looked for.
pub const DESTINATIONS_DEPTH_MAX: usize = 3;
