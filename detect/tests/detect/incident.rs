//! The demo's two hours: the incident is found, rule by rule, and nothing else is said.

use std::collections::BTreeMap;

use corpus::fleet::Script;
use engine::State;
use serde_json::Value;

use crate::fixture::{NOON_US, Place};

#[tokio::test(flavor = "multi_thread")]
async fn the_incident_trips_four_rules_once_each_and_ordinary_work_none() {
    let tenants: Vec<String> = (0..12).map(|seed| format!("fleet-{seed}")).collect();
    let place = Place::new(&tenants.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let handle = place.start();
    for (seed, tenant) in (0..).zip(&tenants) {
        let script = Script::new(seed, u64::try_from(NOON_US).unwrap()).unwrap();
        let events: Vec<Value> =
            script.events().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        place.append(tenant, &events).await;
        if seed % 2 == 0 {
            place.store.seal().await.unwrap();
        }
        place.judged(&handle, tenant).await;
        let recorded = place.recorded(tenant);
        assert_eq!(recorded, place.expected(tenant));
        let mut opened: BTreeMap<&str, usize> = BTreeMap::new();
        for alert in recorded.iter().filter(|alert| alert.state == State::Open) {
            *opened.entry(&alert.rule_id).or_default() += 1;
        }
        let expected = [
            ("auth_failure_burst", 1),
            ("denial_ratio_ceiling", 1),
            ("revoked_credential_use", 1),
            ("unapproved_high_risk_write", 1),
        ];
        assert_eq!(opened, BTreeMap::from(expected), "seed {seed}");
        // Updates and closings belong to these four.
        let rules: Vec<&str> = recorded.iter().map(|alert| alert.rule_id.as_str()).collect();
        assert!(rules.iter().all(|rule| opened.contains_key(rule)), "{rules:?}");
        let revoked = recorded.iter().find(|alert| alert.rule_id == "revoked_credential_use").unwrap();
        assert!(revoked.observables.contains(&format!("credential_id={}", script.incident_credential())));
    }
    handle.shutdown().await;
    place.store.close().await.unwrap();
}
