//! The queries of `docs/runbooks` are there to be copied: each must be answered.

use std::path::PathBuf;

use super::fixture::{World, ask};

#[tokio::test]
async fn every_query_of_every_runbook_is_answered() {
    let world = World::with_events(300, 200, 50);
    let query = world.query();
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
    let mut asked = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\ntacho replay SESSION\n"), "{}", path.display());
        for rest in text.split("tacho sql \"").skip(1) {
            let (sql, _) = rest.split_once('"').unwrap();
            assert!(!sql.contains(['$', '`', '\\', '!']), "a shell would change it: {sql}");
            if let Err(error) = ask(&query, sql).await {
                panic!("{}: {sql}\n{error}", path.display());
            }
            asked += 1;
        }
    }
    assert!(asked > 12, "{asked}");
}
