//! Every function that SQL may call, by DataFusion's name of it; its aliases come with it. What is not here is not
//! registered, so that a new version of DataFusion adds nothing by itself.

#[rustfmt::skip]
pub(super) const SCALAR: [&str; 168] = [
    // Values and structures.
    "arrow_typeof", "coalesce", "get_field", "greatest", "least", "named_struct", "nullif", "nvl",
    "nvl2", "overlay", "struct", "union_extract", "union_tag",
    // Digests.
    "digest", "md5", "sha224", "sha256", "sha384", "sha512",
    // Times.
    "current_date", "current_time", "date_bin", "date_part", "date_trunc", "from_unixtime", "make_date",
    "make_time", "now", "to_char", "to_date", "to_local_time", "to_time", "to_timestamp",
    "to_timestamp_micros", "to_timestamp_millis", "to_timestamp_nanos", "to_timestamp_seconds",
    "to_unixtime",
    // Encodings.
    "decode", "encode",
    // Numbers.
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh",
    "cot", "degrees", "exp", "factorial", "floor", "gcd", "isnan", "iszero", "lcm", "ln", "log",
    "log10", "log2", "nanvl", "pi", "power", "radians", "random", "round", "signum", "sin", "sinh",
    "sqrt", "tan", "tanh", "trunc",
    // Regular expressions.
    "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_replace",
    // Text.
    "ascii", "bit_length", "btrim", "character_length", "chr", "concat", "concat_ws", "contains",
    "ends_with", "find_in_set", "initcap", "left", "levenshtein", "lower", "lpad", "ltrim",
    "octet_length", "repeat", "replace", "reverse", "right", "rpad", "rtrim", "split_part",
    "starts_with", "strpos", "substr", "substr_index", "to_hex", "translate", "upper", "uuid",
    // Lists and maps.
    "array_add", "array_any_value", "array_append", "array_avg", "array_compact", "array_concat",
    "array_dims", "array_distance", "array_distinct", "array_element", "array_except", "array_has",
    "array_has_all", "array_has_any", "array_intersect", "array_length", "array_max", "array_min",
    "array_ndims", "array_normalize", "array_pop_back", "array_pop_front", "array_position",
    "array_positions", "array_prepend", "array_product", "array_remove", "array_remove_all",
    "array_remove_n", "array_replace", "array_replace_all", "array_replace_n", "array_reverse",
    "array_scale", "array_slice", "array_sort", "array_subtract", "array_sum", "array_to_string",
    "array_union", "arrays_zip", "cardinality", "cosine_distance", "empty", "flatten", "inner_product",
    "make_array", "map", "map_entries", "map_extract", "map_keys", "map_values", "string_to_array",
];

#[rustfmt::skip]
pub(super) const HIGHER_ORDER: [&str; 4] = [
    "array_any_match", "array_filter", "array_first", "array_transform",
];

#[rustfmt::skip]
pub(super) const AGGREGATE: [&str; 39] = [
    "any_value", "approx_distinct", "approx_median", "approx_percentile_cont",
    "approx_percentile_cont_with_weight", "array_agg", "avg", "bit_and", "bit_or", "bit_xor",
    "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp", "first_value", "grouping",
    "last_value", "max", "median", "min", "nth_value", "percentile_cont", "regr_avgx", "regr_avgy",
    "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy",
    "stddev", "stddev_pop", "string_agg", "sum", "var", "var_pop",
];

#[rustfmt::skip]
pub(super) const WINDOW: [&str; 11] = [
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile",
    "percent_rank", "rank", "row_number",
];

/// Known and left out: they show file names, versions or metadata, make 64-bit strings or unbounded lists. Only the test
/// needs them, to tell them from functions that nobody has decided on.
#[cfg(test)]
#[rustfmt::skip]
pub(super) const LEFT_OUT: [&str; 14] = [
    "array_repeat", "array_resize", "arrow_cast", "arrow_field", "arrow_metadata", "arrow_try_cast",
    "cast_to_type", "file_row_index", "generate_series", "input_file_name", "range", "try_cast_to_type",
    "version", "with_metadata",
];
