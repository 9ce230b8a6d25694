//! Our scorer against the benchmark's: numenta/NAB keeps the windowed Gaussian's raw score of every file beside its code
//! (`results/windowedGaussian/windowedGaussian_{standard,reward_low_FP_rate,reward_low_FN_rate}_scores.csv`).

use std::path::Path;

use super::corpus::load;
use super::scorer::{PROFILES, at_threshold};
use super::scores;
use super::simple::WindowedGaussian;

/// File, true and false positives (records), and the score under each profile.
type Row = (&'static str, usize, usize, [f64; 3]);

const PUBLISHED: [Row; 21] = [
    ("artificialNoAnomaly/art_daily_no_noise.csv", 0, 0, [0.0; 3]),
    ("artificialNoAnomaly/art_daily_perfect_square_wave.csv", 0, 0, [0.0; 3]),
    ("artificialNoAnomaly/art_daily_small_noise.csv", 0, 0, [0.0; 3]),
    ("artificialNoAnomaly/art_flatline.csv", 0, 0, [0.0; 3]),
    ("artificialNoAnomaly/art_noisy.csv", 0, 0, [0.0; 3]),
    ("artificialWithAnomaly/art_daily_flatmiddle.csv", 0, 0, [-1.0, -1.0, -2.0]),
    ("artificialWithAnomaly/art_daily_jumpsdown.csv", 0, 0, [-1.0, -1.0, -2.0]),
    ("artificialWithAnomaly/art_daily_jumpsup.csv", 0, 0, [-1.0, -1.0, -2.0]),
    ("artificialWithAnomaly/art_daily_nojump.csv", 0, 0, [-1.0, -1.0, -2.0]),
    ("artificialWithAnomaly/art_increase_spike_density.csv", 0, 0, [-1.0, -1.0, -2.0]),
    (
        "artificialWithAnomaly/art_load_balancer_spikes.csv",
        18,
        15,
        [-0.692444609523, -2.34244460952, -0.692444609523],
    ),
    ("realTweets/Twitter_volume_AAPL.csv", 42, 24, [1.51399683626, -0.818874447425, 1.51399683626]),
    ("realTweets/Twitter_volume_AMZN.csv", 10, 20, [1.55848299457, -0.492077441917, 1.55848299457]),
    ("realTweets/Twitter_volume_CRM.csv", 10, 0, [0.763845764094, 0.763845764094, -0.236154235906]),
    ("realTweets/Twitter_volume_CVS.csv", 22, 18, [0.773682061394, -1.19909218022, 0.773682061394]),
    ("realTweets/Twitter_volume_FB.csv", 6, 15, [0.119750278191, -1.53024917684, 0.119750278191]),
    ("realTweets/Twitter_volume_GOOG.csv", 23, 9, [-0.146777355167, -1.13677708866, -1.14677735517]),
    ("realTweets/Twitter_volume_IBM.csv", 14, 25, [-0.799109479229, -3.39078756281, -0.799109479229]),
    ("realTweets/Twitter_volume_KO.csv", 22, 33, [-0.914196106944, -4.54309831466, -0.914196106944]),
    ("realTweets/Twitter_volume_PFE.csv", 7, 12, [0.26557999349, -1.05441789301, -0.73442000651]),
    ("realTweets/Twitter_volume_UPS.csv", 57, 63, [-2.2051646682, -8.82184583733, -2.2051646682]),
];

/// The published threshold is 1, of scores that were written with twelve digits.
const THRESHOLD: f64 = 1.0 - 0.5e-12;
/// When these scores were made a false alarm exactly three window lengths away cost `-S(3) = 0.9999994`; in version 1.1 it
/// costs 1. There is one, in UPS.
const TOLERANCE: f64 = 2e-7;

#[test]
#[allow(clippy::print_stdout)]
fn the_published_scores_of_the_windowed_gaussian_are_reproduced() {
    let directory = Path::new(crate::DATA);
    if !directory.join("windows.json").exists() {
        println!("SKIPPED: published scores: no ../shared/data/nab beside the project");
        return;
    }
    let (files, _) = load(directory).unwrap();
    let scores = scores(&files, || Box::new(WindowedGaussian::default()));
    let mut wrong = Vec::new();
    for (name, hits, false_alarms, published) in PUBLISHED {
        let at = files.iter().position(|file| file.name == name).unwrap();
        for (profile, published) in PROFILES.iter().zip(published) {
            let found = at_threshold(&files[at], &scores[at], THRESHOLD, profile);
            if (found.hits, found.false_alarms) != (hits, false_alarms)
                || (found.score - published).abs() > TOLERANCE
            {
                wrong.push(format!(
                    "{name} {}: {found:?}, not {hits} {false_alarms} {published}",
                    profile.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
