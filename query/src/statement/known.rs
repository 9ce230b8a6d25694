//! Pieces of what well-known clients ask of the catalogue that the engine cannot plan, and what is asked in
//! their place. They are found token by token, whatever the white space.
//!
//! A piece stands for the same rows here: there is one schema in the search path, and there are no arrays of
//! arrays. What is put in its place passes the same walls as if the client had written it.

use std::sync::LazyLock;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// What clients write, and what stands for it.
const KNOWN: [(&str, &str); 9] = [
    // Grafana: the schemas of the search path.
    (
        r#"SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
           FROM generate_series(
               array_lower(string_to_array(current_setting('search_path'),','),1),
               array_upper(string_to_array(current_setting('search_path'),','),1)
           ) as i, string_to_array(current_setting('search_path'),',') s"#,
        "'public'",
    ),
    // pgjdbc, for a type it has not met: the place of a schema in the search path.
    (
        "( select s.r, (current_schemas(false))[s.r] as nspname
           from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) )",
        "(SELECT 1 AS r, 'public' AS nspname)",
    ),
    // The same, of a procedure by its name: the column has names.
    ("'pg_catalog.array_in'::regproc", "'array_in'"),
    ("'array_in'::regproc", "'array_in'"),
    // pgjdbc and psql: whether a type is that of rows. There are none.
    ("(SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)", "false"),
    // psql: how a table is stored, which says nothing here.
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from \
         pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
    // DBeaver: the name of a schema where its oid belongs.
    ("c.relnamespace='public'", "c.relnamespace=2200"),
    // DBeaver and pgjdbc: reserved words.
    ("pg_catalog.pg_get_keywords()", "pg_catalog.pg_get_keywords"),
    ("pg_get_keywords()", "pg_catalog.pg_get_keywords"),
];

struct Known {
    written: Vec<Token>,
    instead: Vec<Token>,
}

static TOKENS: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known =
        KNOWN.iter().map(|(written, instead)| Known { written: words(written), instead: words(instead) });
    known.collect()
});

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::EOF)
}

fn words(sql: &str) -> Vec<Token> {
    // All of them are in this file, and a test goes through them.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap_or_default();
    tokens.into_iter().filter(|token| !is_space(token)).collect()
}

fn same(written: &Token, found: &Token) -> bool {
    match (written, found) {
        (Token::Word(written), Token::Word(found)) => {
            written.quote_style == found.quote_style && written.value.eq_ignore_ascii_case(&found.value)
        }
        _ => written == found,
    }
}

/// The tokens with known pieces replaced.
pub(super) fn replace(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => {
            let words =
                ["generate_series", "pg_get_keywords", "regproc", "relkind", "relnamespace", "reloptions"];
            words.iter().any(|known| word.value.eq_ignore_ascii_case(known))
        }
        _ => false,
    };
    // All known pieces are about these.
    if !tokens.iter().any(is_word) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let found = TOKENS.iter().find_map(|known| Some((known, length(&known.written, rest)?)));
        match found {
            Some((known, length)) => {
                let span = first.span;
                out.extend(known.instead.iter().map(|token| TokenWithSpan { token: token.clone(), span }));
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                out.push(first.clone());
                rest = after;
            }
        }
    }
    out
}

/// How many of `tokens` are `written`, if they begin with it.
fn length(written: &[Token], tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut at = 0;
    for word in written {
        while at > 0 && tokens.get(at).is_some_and(|token| is_space(&token.token)) {
            at += 1;
        }
        if !same(word, &tokens.get(at)?.token) {
            return None;
        }
        at += 1;
    }
    (!written.is_empty()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(sql: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        replace(tokens).iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn known_pieces_are_replaced_and_nothing_else() {
        for (written, _) in KNOWN {
            assert!(!words(written).is_empty(), "{written}");
        }
        assert_eq!(
            replaced("SELECT string_agg(word, ',') FROM  PG_CATALOG.pg_get_keywords ( ) WHERE 1=1"),
            "SELECT string_agg(word, ',') FROM  pg_catalog.pg_get_keywords WHERE 1=1"
        );
        for same in ["SELECT 1", "SELECT * FROM generate_series(1, 2)", "SELECT 'pg_get_keywords()'"] {
            assert_eq!(replaced(same), same);
        }
    }
}
