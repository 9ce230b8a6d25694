//! Statements that the door answers itself. They are read from tokens, without a parser: none of them nests.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::fault::Report;
use crate::Error;

mod words;

use words::{Words, syntax};

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// For the query core: it answers or refuses.
    Query,
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Release,
    RollbackTo,
    /// Some settings at once; `None` is the default.
    Set {
        all: Vec<(String, Option<String>)>,
        is_local: bool,
    },
    Reset(Option<String>),
    /// `None` for all.
    Show(Option<String>),
    Discard,
    Deallocate(Option<String>),
    Close(Option<String>),
    Unlisten,
    Declare {
        name: String,
        hold: bool,
        query: String,
    },
    /// `None` for all rows.
    Fetch {
        name: String,
        rows: Option<u64>,
    },
}

/// What one statement is.
///
/// # Errors
/// For what begins as one of the door's own and does not go on so.
pub(super) fn command(text: &str) -> Result<Command, Report> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| Report::of(&Error::Syntax { detail: error.message, position: None }))?;
    let says =
        |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF | Token::SemiColon);
    let mut words = Words { text, tokens: tokens.into_iter().filter(says).collect(), at: 0 };
    let first = words.keyword();
    words.at += 1;
    match first.as_str() {
        "BEGIN" => transaction(&mut words, Command::Begin),
        "START" if words.take("TRANSACTION") => transaction(&mut words, Command::Begin),
        "COMMIT" | "END" => ended(&mut words, Command::Commit),
        "ABORT" => ended(&mut words, Command::Rollback),
        "ROLLBACK" => rollback(&mut words),
        "SAVEPOINT" => words.name().and_then(|_| words.end()).map(|()| Command::Savepoint),
        "RELEASE" => {
            words.take("SAVEPOINT");
            words.name().and_then(|_| words.end()).map(|()| Command::Release)
        }
        "SET" => set(&mut words),
        "RESET" if words.take("ALL") => words.end().map(|()| Command::Reset(None)),
        "RESET" => setting(&mut words).and_then(|name| words.end().map(|()| Command::Reset(Some(name)))),
        "SHOW" if words.take("ALL") => words.end().map(|()| Command::Show(None)),
        "SHOW" => setting(&mut words).and_then(|name| words.end().map(|()| Command::Show(Some(name)))),
        "DISCARD" if words.take_any(&["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) => {
            words.end().map(|()| Command::Discard)
        }
        "DEALLOCATE" => {
            words.take("PREPARE");
            named_or_all(&mut words).map(Command::Deallocate)
        }
        "CLOSE" => named_or_all(&mut words).map(Command::Close),
        "UNLISTEN" => Ok(Command::Unlisten),
        "DECLARE" => declare(&mut words),
        "FETCH" => fetch(&mut words),
        _ => Ok(Command::Query),
    }
}

fn ended(words: &mut Words<'_>, command: Command) -> Result<Command, Report> {
    words.take_any(&["WORK", "TRANSACTION"]);
    if words.take("AND") {
        words.take("NO");
        if !words.take("CHAIN") {
            return Err(syntax("CHAIN"));
        }
    }
    words.end().map(|()| command)
}

fn rollback(words: &mut Words<'_>) -> Result<Command, Report> {
    words.take_any(&["WORK", "TRANSACTION"]);
    if words.take("TO") {
        words.take("SAVEPOINT");
        return words.name().and_then(|_| words.end()).map(|()| Command::RollbackTo);
    }
    ended(words, Command::Rollback)
}

/// `BEGIN` with its modes.
fn transaction(words: &mut Words<'_>, command: Command) -> Result<Command, Report> {
    words.take_any(&["WORK", "TRANSACTION"]);
    modes(words)?;
    Ok(command)
}

/// Modes of a transaction: every isolation is that of one snapshot a query, and none may write.
fn modes(words: &mut Words<'_>) -> Result<(), Report> {
    while words.peek().is_some() {
        if *words.peek().unwrap_or(&Token::EOF) == Token::Comma {
            words.at += 1;
        } else if words.take("ISOLATION") {
            let level = words.take("LEVEL")
                && (words.take("SERIALIZABLE")
                    || words.take("REPEATABLE") && words.take("READ")
                    || words.take("READ") && words.take_any(&["COMMITTED", "UNCOMMITTED"]));
            if !level {
                return Err(syntax("an isolation level"));
            }
        } else if words.take("READ") {
            if words.take("WRITE") {
                let what = "everything here is read only: no transaction may write";
                return Err(Report::new("25006", "read_only", what));
            }
            if !words.take("ONLY") {
                return Err(syntax("ONLY"));
            }
        } else if words.take("NOT") || words.take("DEFERRABLE") {
            words.take("DEFERRABLE");
        } else {
            return words.end();
        }
    }
    Ok(())
}

/// The name of a setting, which may be several words.
fn setting(words: &mut Words<'_>) -> Result<String, Report> {
    if words.take("TIME") {
        return if words.take("ZONE") { Ok("time zone".to_string()) } else { Err(syntax("ZONE")) };
    }
    if words.take("TRANSACTION") {
        let is_level = words.take("ISOLATION") && words.take("LEVEL");
        return if is_level {
            Ok("transaction_isolation".to_string())
        } else {
            Err(syntax("ISOLATION LEVEL"))
        };
    }
    if words.take("SESSION") {
        return if words.take("AUTHORIZATION") {
            Ok("session authorization".to_string())
        } else {
            Err(syntax("AUTHORIZATION"))
        };
    }
    let mut name = words.name()?;
    while words.peek() == Some(&Token::Period) {
        words.at += 1;
        name = format!("{name}.{}", words.name()?);
    }
    Ok(name)
}

fn set(words: &mut Words<'_>) -> Result<Command, Report> {
    let is_local = words.take("LOCAL");
    let is_session = !is_local && words.take("SESSION");
    if is_session && words.take("CHARACTERISTICS") {
        if !(words.take("AS") && words.take("TRANSACTION")) {
            return Err(syntax("AS TRANSACTION"));
        }
        return modes(words).map(|()| Command::Set { all: Vec::new(), is_local });
    }
    if is_session && words.keyword() == "AUTHORIZATION" {
        return Err(Report::new("42501", "setting_refused", "who asks is decided by the password"));
    }
    if words.keyword() == "TRANSACTION" {
        words.at += 1;
        return modes(words).map(|()| Command::Set { all: Vec::new(), is_local });
    }
    let is_zone = words.keyword() == "TIME";
    let name = setting(words)?;
    let is_names = name == "names";
    let has_sign = words.take("TO") || words.peek() == Some(&Token::Eq);
    if words.peek() == Some(&Token::Eq) {
        words.at += 1;
    }
    if !(has_sign || is_zone || is_names) {
        return Err(syntax("TO"));
    }
    Ok(Command::Set { all: vec![(name, words.value()?)], is_local })
}

fn named_or_all(words: &mut Words<'_>) -> Result<Option<String>, Report> {
    let name = if words.take("ALL") { None } else { Some(words.name()?) };
    words.end().map(|()| name)
}

fn declare(words: &mut Words<'_>) -> Result<Command, Report> {
    let name = words.name()?;
    let unsupported = |what: &str| {
        Err(Report::new(
            "0A000",
            "cursor_not_supported",
            format!("a cursor here goes forward and gives text: no {what}"),
        ))
    };
    loop {
        match words.keyword().as_str() {
            "BINARY" => return unsupported("BINARY"),
            "SCROLL" => return unsupported("SCROLL"),
            "NO" | "INSENSITIVE" | "ASENSITIVE" => {
                let is_no = words.keyword() == "NO";
                words.at += 1;
                if is_no && !words.take("SCROLL") {
                    return Err(syntax("SCROLL"));
                }
            }
            _ => break,
        }
    }
    if !words.take("CURSOR") {
        return Err(syntax("CURSOR"));
    }
    let hold = words.take("WITH");
    if (hold || words.take("WITHOUT")) && !words.take("HOLD") {
        return Err(syntax("HOLD"));
    }
    if !words.take("FOR") {
        return Err(syntax("FOR"));
    }
    match words.rest() {
        "" => Err(syntax("a query")),
        query => Ok(Command::Declare { name, hold, query: query.to_string() }),
    }
}

fn fetch(words: &mut Words<'_>) -> Result<Command, Report> {
    let backward = Report::new("55000", "cursor_forward_only", "a cursor here only goes forward");
    let mut rows = Some(1);
    if words.take("NEXT") {
        // One row, as without a word.
    } else if words.take("FORWARD")
        || matches!(words.peek(), Some(Token::Number(..) | Token::Minus))
        || words.keyword() == "ALL"
    {
        match words.peek() {
            Some(Token::Number(number, _)) => {
                rows = Some(number.parse().map_err(|_| syntax("a whole number"))?);
                words.at += 1;
            }
            Some(Token::Minus) => return Err(backward),
            _ => {
                if words.take("ALL") {
                    rows = None;
                }
            }
        }
    } else if matches!(
        words.keyword().as_str(),
        "PRIOR" | "FIRST" | "LAST" | "ABSOLUTE" | "RELATIVE" | "BACKWARD"
    ) {
        return Err(backward);
    }
    words.take_any(&["FROM", "IN"]);
    let name = words.name()?;
    words.end().map(|()| Command::Fetch { name, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: Option<&str>) -> Command {
        Command::Set { all: vec![(name.to_string(), value.map(str::to_string))], is_local: false }
    }

    #[test]
    fn what_clients_say_is_understood() {
        let nothing = Command::Set { all: Vec::new(), is_local: false };
        for (text, expected) in [
            ("begin", Command::Begin),
            ("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", Command::Begin),
            ("START TRANSACTION READ ONLY", Command::Begin),
            ("END", Command::Commit),
            ("ROLLBACK WORK", Command::Rollback),
            ("ROLLBACK TO SAVEPOINT \"A\"", Command::RollbackTo),
            ("SET extra_float_digits = 3", set("extra_float_digits", Some("3"))),
            ("SET application_name = 'A b'", set("application_name", Some("A b"))),
            ("SET SESSION search_path TO \"$user\", public", set("search_path", Some("$user, public"))),
            ("SET TIME ZONE 'UTC'", set("time zone", Some("UTC"))),
            ("SET NAMES 'utf8'", set("names", Some("utf8"))),
            ("SET DATESTYLE TO 'ISO'", set("datestyle", Some("ISO"))),
            ("SET x.y TO DEFAULT", set("x.y", None)),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", nothing.clone()),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", nothing),
            ("SHOW TRANSACTION ISOLATION LEVEL", Command::Show(Some("transaction_isolation".to_string()))),
            ("show timezone", Command::Show(Some("timezone".to_string()))),
            ("CLOSE \"Cur\"", Command::Close(Some("Cur".to_string()))),
            ("DEALLOCATE ALL", Command::Deallocate(None)),
            (
                "DECLARE \"c\" CURSOR WITH HOLD FOR SELECT ';'",
                Command::Declare { name: "c".to_string(), hold: true, query: "SELECT ';'".to_string() },
            ),
            ("FETCH FORWARD 100 FROM \"c\"", Command::Fetch { name: "c".to_string(), rows: Some(100) }),
            ("FETCH FORWARD ALL FROM c", Command::Fetch { name: "c".to_string(), rows: None }),
            ("FETCH c", Command::Fetch { name: "c".to_string(), rows: Some(1) }),
            ("SELECT 1", Command::Query),
            ("COPY x TO STDOUT", Command::Query),
            ("PREPARE x AS DELETE FROM events", Command::Query),
            ("\"begin\"", Command::Query),
        ] {
            assert_eq!(command(text).unwrap_or_else(|error| panic!("{text}: {error:?}")), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_to_be_had_is_refused() {
        for (text, code) in [
            ("BEGIN READ WRITE", "25006"),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "25006"),
            ("SET SESSION AUTHORIZATION x", "42501"),
            ("SET x", "42601"),
            ("FETCH BACKWARD 1 FROM c", "55000"),
            ("FETCH -1 FROM c", "55000"),
            ("DECLARE c SCROLL CURSOR FOR SELECT 1", "0A000"),
            ("COMMIT x", "42601"),
        ] {
            assert_eq!(command(text).unwrap_err().sqlstate, code, "{text}");
        }
    }
}
