//! Golden text of each format.

use std::io::Cursor;

use arrow::array::RecordBatch;
use schemas::principal::Role;

use super::fixture::{World, principal};
use crate::format::Encoded;
use crate::{Format, Result};

const SQL: &str = "SELECT * FROM (VALUES \
    (1, 'plain', TIMESTAMP '2026-11-20 01:02:03.5', 0.5, true, make_array('a', 'b')), \
    (-2, 'q\"uote, \u{1b}[31m', TIMESTAMP '2026-11-20 01:02:03.000001', 1e300, false, make_array('c\nd')), \
    (NULL, '', NULL, NULL, NULL, NULL)) AS t (n, s, t, f, b, l)";

async fn encode(sql: &str, format: Format) -> Result<Vec<u8>> {
    let world = World::with_events(10, 10, 0);
    let request = crate::Request { sql: sql.to_string(), ..Default::default() };
    let answer = world.query().sql(&principal(Role::Responder), request).await?;
    let mut encoded = Encoded::new(answer, format)?;
    let mut out = Vec::new();
    while let Some(chunk) = encoded.next().await {
        out.extend_from_slice(&chunk?);
    }
    Ok(out)
}

async fn text(sql: &str, format: Format) -> String {
    String::from_utf8(encode(sql, format).await.unwrap()).unwrap()
}

#[tokio::test]
async fn ndjson() {
    assert_eq!(
        text(SQL, Format::Ndjson).await,
        concat!(
            r#"{"n":1,"s":"plain","t":"2026-11-20T01:02:03.500Z","f":0.5,"b":true,"l":["a","b"]}"#,
            "\n",
            r#"{"n":-2,"s":"q\"uote, \u001b[31m","t":"2026-11-20T01:02:03.000001Z","f":1"#,
            "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            r#","b":false,"l":["c\nd"]}"#,
            "\n",
            r#"{"n":null,"s":"","t":null,"f":null,"b":null,"l":null}"#,
            "\n",
            r#"{"$end":{"rows":3}}"#,
            "\n",
        )
    );
}

#[tokio::test]
async fn json_csv_and_table() {
    let sql = "SELECT n, s FROM (VALUES (1, 'a'), (2, 'b,\"c\"'), (3, ''), (4, NULL)) AS t (n, s)";
    assert_eq!(
        text(sql, Format::Json).await,
        "[{\"n\":1,\"s\":\"a\"},\n{\"n\":2,\"s\":\"b,\\\"c\\\"\"},\n{\"n\":3,\"s\":\"\"},\n{\"n\":4,\"s\":null}]\n"
    );
    assert_eq!(text("SELECT 1 AS a WHERE false", Format::Json).await, "[]\n");
    assert_eq!(text(sql, Format::Csv).await, "n,s\r\n1,a\r\n2,\"b,\"\"c\"\"\"\r\n3,\"\"\r\n4,\r\n");
    assert_eq!(text("SELECT 1 AS a WHERE false", Format::Csv).await, "a\r\n");
    assert_eq!(
        text("SELECT * FROM (VALUES (1, 'a'), (22, '\u{202e}evil\u{1b}[2J')) AS t (n, s)", Format::Table)
            .await,
        "n   s\n--  ---------------------\n1   a\n22  \\u{202e}evil\\u{1b}[2J\n(2 rows)\n"
    );
}

#[tokio::test]
async fn binary_maps_and_wide_numbers_have_a_json_form() {
    assert_eq!(
        text(
            "SELECT X'00ff' AS b, map(['k'], [1]) AS m, named_struct('a', 1, 'b', 'x') AS s, \
             9223372036854775807 AS i, CAST(1.50 AS DECIMAL(10, 2)) AS d, DATE '2026-11-20' AS day, \
             CAST('NaN' AS DOUBLE) AS nan",
            Format::Ndjson
        )
        .await
        .lines()
        .next()
        .unwrap(),
        r#"{"b":"AP8=","m":{"k":1},"s":{"a":1,"b":"x"},"i":9223372036854775807,"d":1.50,"day":"2026-11-20","nan":"NaN"}"#
    );
}

#[tokio::test]
async fn arrow_and_parquet_hold_the_same_rows() {
    let sql = "SELECT log_index, time, user_id, scopes FROM events ORDER BY log_index";
    let arrow_bytes = encode(sql, Format::Arrow).await.unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(Cursor::new(arrow_bytes), None).unwrap();
    let from_arrow: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    let parquet_bytes = bytes::Bytes::from(encode(sql, Format::Parquet).await.unwrap());
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet_bytes)
        .unwrap()
        .build()
        .unwrap();
    let from_parquet: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    assert_eq!(from_arrow.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    let schema = from_arrow[0].schema();
    let join = |batches: &[RecordBatch]| arrow::compute::concat_batches(&schema, batches).unwrap();
    assert_eq!(join(&from_arrow).columns(), join(&from_parquet).columns());
}

#[tokio::test]
async fn two_columns_of_one_name_are_no_json_object() {
    let sql = "SELECT * FROM (SELECT 1 AS a) x JOIN (SELECT 1 AS a) y ON x.a = y.a";
    assert_eq!(encode(sql, Format::Json).await.unwrap_err().code(), "duplicate_column");
    assert_eq!(encode(sql, Format::Csv).await.unwrap(), b"a,a\r\n1,1\r\n");
}
