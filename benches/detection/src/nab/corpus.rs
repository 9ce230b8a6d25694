//! Labelled series as the benchmark keeps them: `folder/name.csv` and `windows.json`, which names the windows of each.

use std::path::Path;

use crate::series::{read, seconds};

/// Records that people found unusual, by their positions, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub first: usize,
    pub last: usize,
}

/// One file: values in the order in which they came, and its windows, which do not overlap, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// `folder/name.csv`.
    pub name: String,
    /// Seconds since 1970 as written, without a zone.
    pub seconds: Vec<i64>,
    pub values: Vec<f64>,
    pub windows: Vec<Window>,
}

/// Every file that `windows.json` names and the directory has, by name, and how many it has not.
pub fn load(directory: &Path) -> Result<(Vec<Labelled>, usize), String> {
    let text = read(&directory.join("windows.json"))?;
    let windows: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let files = windows.as_object().ok_or("windows.json: not an object of files")?;
    let (mut all, mut absent) = (Vec::new(), 0);
    for (name, windows) in files {
        let path = directory.join(name);
        if path.exists() {
            let one = parse(name, &read(&path)?, windows);
            all.push(one.ok_or_else(|| format!("{name}: not timestamp,value, or its windows are none"))?);
        } else {
            absent += 1;
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if all.is_empty() {
        return Err(format!("{}: none of the files that windows.json names", directory.display()));
    }
    Ok((all, absent))
}

fn parse(name: &str, text: &str, windows: &serde_json::Value) -> Option<Labelled> {
    let mut one =
        Labelled { name: name.to_owned(), seconds: Vec::new(), values: Vec::new(), windows: Vec::new() };
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',')?;
        one.seconds.push(seconds(time)?);
        one.values.push(value.trim().parse().ok().filter(|value: &f64| value.is_finite())?);
    }
    for window in windows.as_array()? {
        let (from, to) = (seconds(window[0].as_str()?)?, seconds(window[1].as_str()?)?);
        let first = one.seconds.iter().position(|second| *second >= from)?;
        let last = one.seconds.iter().rposition(|second| *second <= to)?;
        if last < first {
            return None;
        }
        one.windows.push(Window { first, last });
    }
    one.windows.sort_by_key(|window| window.first);
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_numbers_and_its_windows_become_positions() {
        let text =
            "timestamp,value\n2014-04-01 00:00:00,-1.5\n2014-04-01 00:05:00,2\n2014-04-01 00:35:00,3e2\n";
        let windows = serde_json::json!([["2014-04-01 00:05:00.000000", "2014-04-01 00:40:00.000000"]]);
        let one = parse("a/b.csv", text, &windows).unwrap();
        assert_eq!(one.values, [-1.5, 2.0, 300.0]);
        assert_eq!(one.seconds[2] - one.seconds[0], 2_100);
        assert_eq!(one.windows, [Window { first: 1, last: 2 }]);
        for other in ["x", "NaN", "inf", ""] {
            assert_eq!(parse("no number", &text.replace("3e2", other), &windows), None, "{other}");
        }
        let outside = serde_json::json!([["2014-04-01 00:06:00", "2014-04-01 00:07:00"]]);
        assert_eq!(parse("an empty window", text, &outside), None);
    }
}
