//! Count series of the Numenta Anomaly Benchmark: five-minute counts and the windows in which people saw something.

use std::path::Path;

/// Length of a bucket.
pub const BUCKET_SECONDS: i64 = 300;
/// Buckets of a day.
pub const DAY: usize = 288;

/// One series; all series of a set begin in the same bucket.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: String,
    /// Number of the first bucket since 1970 (UTC).
    pub first: i64,
    pub counts: Vec<u64>,
    /// Whether a bucket lies in a labelled window.
    pub labelled: Vec<bool>,
}

/// The series of a folder, by name.
pub fn load(directory: &Path, folder: &str) -> Result<Vec<Series>, String> {
    let windows = read(&directory.join("windows.json"))?;
    let windows: serde_json::Value = serde_json::from_str(&windows).map_err(|error| error.to_string())?;
    let path = directory.join(folder);
    let entries = std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".csv"))
        .collect();
    names.sort();
    let of_file = |name: &String| {
        let labels = &windows[format!("{folder}/{name}")];
        parse(name, &read(&path.join(name))?, labels)
            .ok_or_else(|| format!("{name}: not timestamp,value by five minutes"))
    };
    names.iter().map(of_file).collect()
}

pub fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(name: &str, text: &str, windows: &serde_json::Value) -> Option<Series> {
    let mut series = Series {
        name: name.trim_end_matches(".csv").trim_start_matches("Twitter_volume_").to_owned(),
        first: 0,
        counts: Vec::new(),
        labelled: Vec::new(),
    };
    let mut spans = Vec::new();
    for window in windows.as_array()? {
        spans.push((seconds(window[0].as_str()?)?, seconds(window[1].as_str()?)?));
    }
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',')?;
        let second = seconds(time)?;
        let bucket = second.div_euclid(BUCKET_SECONDS);
        if series.counts.is_empty() {
            series.first = bucket;
        }
        if bucket != series.first + series.counts.len() as i64 {
            return None;
        }
        series.counts.push(value.parse::<f64>().ok()?.max(0.0).round() as u64);
        series.labelled.push(spans.iter().any(|(from, to)| (*from..=*to).contains(&second)));
    }
    Some(series)
}

/// Seconds since 1970 of `YYYY-MM-DD hh:mm:ss`, whatever follows.
pub fn seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Days by the civil calendar, the year beginning in March (Hinnant 2013, "chrono-compatible date algorithms").
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    Some(days * 86_400 + number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_buckets_and_labels() {
        let text = "timestamp,value\n1970-01-02 00:02:53,7\n1970-01-02 00:07:53,0\n1970-01-02 00:12:53,3\n";
        let windows = serde_json::json!([["1970-01-02 00:07:53.000000", "1970-01-02 00:08:00.000000"]]);
        let series = parse("Twitter_volume_X.csv", text, &windows).unwrap();
        assert_eq!(
            (series.first, series.counts, series.labelled),
            (288, vec![7, 0, 3], vec![false, true, false])
        );
        assert_eq!(series.name, "X");
        assert!(parse("gap", &text.replace("00:07:53,", "00:17:53,"), &windows).is_none());
    }

    #[test]
    fn seconds_are_those_of_the_calendar() {
        assert_eq!(seconds("1970-01-01 00:00:00"), Some(0));
        assert_eq!(seconds("2015-02-26 21:42:53.000000"), Some(1_424_986_973));
        assert_eq!(seconds("2000-02-29 00:00:00"), Some(951_782_400));
    }
}
