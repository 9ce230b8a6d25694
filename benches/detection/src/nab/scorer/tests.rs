use std::slice::from_ref;

use super::*;

fn file(rows: usize, windows: &[(usize, usize)]) -> Labelled {
    Labelled {
        name: String::new(),
        seconds: (0..rows as i64).map(|at| at * 300).collect(),
        values: vec![0.0; rows],
        windows: windows.iter().map(|(first, last)| Window { first: *first, last: *last }).collect(),
    }
}

/// Scores of 0 but for some.
fn sparse(rows: usize, some: &[(usize, f64)]) -> Vec<f64> {
    let mut scores = vec![0.0; rows];
    for (at, score) in some {
        scores[*at] = *score;
    }
    scores
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
}

fn judged<'a>(files: &'a [Labelled], scores: &'a [Vec<f64>]) -> Vec<Judged<'a>> {
    files.iter().zip(scores.iter().map(Vec::as_slice)).collect()
}

const STANDARD: Profile = PROFILES[0];

/// Twenty records, of which floor(0.15 * 20) = 3 do not count; windows 6..=9 and 14..=15.
///
/// | record | score | what it is | worth |
/// |---|---|---|---|
/// | 1 | 9 | within the first three | nothing |
/// | 4 | 5 | before any window | -0.11 |
/// | 7 | 5 | y = -(9 - 7 + 1) / 4 = -3/4; S = 2 / (1 + e^-3.75) - 1 = 2 / 1.0235177 - 1 = 0.9540446 | / 0.9866143 = 0.9669884 |
/// | 8 | 9 | y = -(9 - 8 + 1) / 4 = -1/2; S = 2 / (1 + e^-2.5) - 1 = 2 / 1.0820850 - 1 = 0.8482836 | / 0.9866143 = 0.8597925 |
/// | 11 | 7 | y = (11 - 9) / (4 - 1) = 2/3; S = 2 / (1 + e^(10/3)) - 1 = 2 / 29.0316249 - 1 = -0.9311096 | * 0.11 = -0.1024221 |
/// | 18 | 5 | y = (18 - 15) / (2 - 1) = 3, far | -0.11 |
///
/// with S(-1) = 2 / (1 + e^-5) - 1 = 2 / 1.0067379 - 1 = 0.9866143. No record of the second window scores: -1.
#[test]
fn a_case_worked_out_by_hand() {
    let file = file(20, &[(6, 9), (14, 15)]);
    let scores = sparse(20, &[(1, 9.0), (4, 5.0), (7, 5.0), (8, 9.0), (11, 7.0), (18, 5.0)]);
    let at = |threshold| at_threshold(&file, &scores, threshold, &STANDARD);
    close(at(10.0).score, -2.0);
    close(at(9.0).score, 0.8597925 - 1.0);
    close(at(7.0).score, 0.8597925 - 0.1024221 - 1.0);
    // At 5 the window is worth its first detection, record 7, and not record 8.
    close(at(5.0).score, -0.11 + 0.9669884 - 0.1024221 - 1.0 - 0.11);
    let counted = FileScore { score: at(5.0).score, hits: 2, false_alarms: 3, windows_seen: 1, windows: 2 };
    assert_eq!(at(5.0), counted);

    // At 0 every record is a detection: 1 for each window; 3, 4 and 5 cost 0.33; 10 to 13 are at y = 1/3, 2/3, 1 and 4/3, where S is
    // -0.6822618, -0.9311096, -0.9866143 and -0.9974579; 16 to 19 at 1, 2, 3 and 4, where it is -0.9866143, -0.9999092, -1 and -1.
    let (threshold, sum) = best_threshold(&[(&file, &scores)], &STANDARD);
    assert_eq!(threshold, 0.0);
    close(sum, 2.0 - 0.33 - 0.11 * 3.597_443_6 - 0.11 * 3.986_523_5);
    // Silence is -2, perfection 2: (0.8357636 + 2) / 4.
    close(normalised(from_ref(&file), sum, &STANDARD), 70.894_09);
    // False alarms at double price, and misses at double price.
    close(at_threshold(&file, &scores, 5.0, &PROFILES[1]).score, -0.22 + 0.9669884 - 0.2048441 - 1.0 - 0.22);
    close(at_threshold(&file, &scores, 5.0, &PROFILES[2]).score, -0.11 + 0.9669884 - 0.1024221 - 2.0 - 0.11);
}

/// Three files whose scores come from `x = (1103 x + 12345) mod 65536`, x mod 97, from x = 7; the figures are those of another
/// program.
#[test]
fn sums_and_thresholds_are_those_of_an_independent_program() {
    let files = [file(60, &[(20, 29), (40, 44)]), file(40, &[(2, 4), (30, 39)]), file(50, &[])];
    let mut x = 7_u64;
    let mut draw = || {
        x = (x * 1_103 + 12_345) % 65_536;
        (x % 97) as f64
    };
    let scores: Vec<Vec<f64>> =
        files.iter().map(|file| (0..file.values.len()).map(|_| draw()).collect()).collect();
    assert_eq!(scores[2][..5], [25.0, 24.0, 65.0, 5.0, 49.0]);
    let expected = [
        (1.1065812066416392, 58.66544580916627, [0.7625827884753013, -0.6585731031264654, -2.31]),
        (-0.34803248214660865, 37.88525025504845, [-0.45194126397200074, -2.308441504295228, -4.62]),
        (1.1065812066416392, 71.06581206641638, [0.7625827884753013, -0.6585731031264654, -2.31]),
    ];
    for (profile, (sum, scale, at_60)) in PROFILES.iter().zip(expected) {
        let (threshold, found) = best_threshold(&judged(&files, &scores), profile);
        assert_eq!(threshold, 87.0);
        close(found, sum);
        close(normalised(&files, found, profile), scale);
        for ((file, scores), expected) in files.iter().zip(&scores).zip(at_60) {
            close(at_threshold(file, scores, 60.0, profile).score, expected);
        }
        let each =
            files.iter().zip(&scores).map(|(file, scores)| at_threshold(file, scores, 87.0, profile).score);
        close(each.sum(), sum);
    }
}

#[test]
fn the_first_records_do_not_count_and_are_at_most_750() {
    assert_eq!([0, 6, 7, 20, 4_032, 5_000, 22_695].map(probation), [0, 0, 1, 3, 604, 750, 750]);
}

/// Of 100 records 15 do not count. A window in them costs no miss, but is one that perfection would have seen; of one that
/// reaches out of them the rest counts, at its true position.
#[test]
fn windows_at_the_start() {
    let inside = file(100, &[(3, 12)]);
    let early = sparse(100, &[(5, 1.0)]);
    assert_eq!(at_threshold(&inside, &early, 1.0, &STANDARD), FileScore::default());
    assert_eq!(best_threshold(&[(&inside, &early)], &STANDARD), (f64::INFINITY, 0.0));
    close(normalised(from_ref(&inside), 0.0, &STANDARD), 0.0);
    // Record 15 is (15 - 12) / 9 behind it: S(1/3) = 2 / (1 + e^(5/3)) - 1 = -0.6822618.
    let behind = sparse(100, &[(15, 1.0)]);
    close(at_threshold(&inside, &behind, 1.0, &STANDARD).score, -0.11 * 0.682_261_8);

    let across = file(100, &[(10, 19)]);
    close(at_threshold(&across, &early, 1.0, &STANDARD).score, -1.0);
    // Record 15 is at y = -(19 - 15 + 1) / 10 = -1/2.
    let scores = sparse(100, &[(11, 1.0), (15, 1.0)]);
    close(at_threshold(&across, &scores, 1.0, &STANDARD).score, 0.859_792_5);
}

#[test]
fn edges_of_a_window() {
    let file = file(100, &[(40, 49)]);
    let worth = |at| at_threshold(&file, &sparse(100, &[(at, 1.0)]), 1.0, &STANDARD).score;
    close(worth(40), 1.0);
    // The last record: S(-1/10) = 2 / (1 + e^-0.5) - 1 = 0.2449187, / 0.9866143 = 0.2482416.
    close(worth(49), 0.248_241_6);
    close(worth(39), -1.0 - 0.11);
    // The next: S(1/9) = 2 / (1 + e^(5/9)) - 1 = -0.2708471.
    close(worth(50), -1.0 - 0.11 * 0.270_847_1);
    // y = 3 at 49 + 27.
    close(worth(75), -1.0 - 0.11 * -sigmoid(26.0 / 9.0));
    close(worth(76), -1.0 - 0.11);
    close(worth(99), -1.0 - 0.11);
}

#[test]
fn a_window_of_one_record() {
    let file = file(100, &[(40, 40)]);
    let worth = |at| at_threshold(&file, &sparse(100, &[(at, 1.0)]), 1.0, &STANDARD).score;
    close(worth(40), 1.0);
    close(worth(41), -1.0 - 0.11);
}

#[test]
fn without_windows_it_is_best_to_be_silent() {
    let file = file(100, &[]);
    let scores = sparse(100, &[(50, 1.0)]);
    close(at_threshold(&file, &scores, 1.0, &STANDARD).score, -0.11);
    assert_eq!(best_threshold(&[(&file, &scores)], &STANDARD), (f64::INFINITY, 0.0));
}

/// Equal scores cross the threshold together, in all files; of two thresholds of equal sums the higher is taken.
#[test]
fn ties() {
    let files = [file(100, &[(40, 49)]), file(100, &[])];
    let scores = [sparse(100, &[(40, 2.0)]), sparse(100, &(20..60).map(|at| (at, 2.0)).collect::<Vec<_>>())];
    // 1 for the window less 40 * 0.11 is worse than -1.
    assert_eq!(best_threshold(&judged(&files, &scores), &STANDARD), (f64::INFINITY, -1.0));
    // A second detection in the window changes nothing, so that 3 is as good as 2 and as 1.
    let later = [sparse(100, &[(40, 3.0), (44, 2.0), (45, 1.0)]), sparse(100, &[])];
    let (threshold, sum) = best_threshold(&judged(&files, &later), &STANDARD);
    assert_eq!(threshold, 3.0);
    close(sum, 1.0);
}
