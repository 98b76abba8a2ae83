//! What the journal remembers of a termination. What target groups promise is tested through both doors, in
//! `cloud_contract`.

use std::collections::BTreeMap;

use fleet_scaler::domain::ids::InstanceId;
use fleet_scaler::provider::{CloudProvider, TargetId, TargetState};
use serde_json::json;

use super::{Bench, group, quiet};

fn at_80(host: &InstanceId) -> TargetId {
    TargetId { host: host.clone(), port: 80 }
}

async fn health(bench: &Bench) -> BTreeMap<InstanceId, (TargetState, String)> {
    let found = bench.cloud().target_health(&group()).await.unwrap();
    found.into_iter().map(|one| (one.target.host, (one.state, one.reason))).collect()
}

/// Runs, registered and healthy.
async fn serving(bench: &Bench, token: &str, subnet: &str, count: u32) -> Vec<InstanceId> {
    let hosts = bench.running(token, subnet, count).await;
    bench.cloud().register(&group(), &hosts).await.unwrap();
    bench.pass(20);
    let seen = health(bench).await;
    assert!(hosts.iter().all(|host| seen[host].0 == TargetState::Healthy), "{seen:?}");
    hosts
}

#[tokio::test]
async fn the_journal_says_of_each_termination_how_much_the_host_still_served() {
    let bench = Bench::start(quiet()).await;
    let hosts = serving(&bench, "t1", "subnet-a", 4).await;
    let new = bench.running("t2", "subnet-a", 1).await;
    bench.cloud().deregister(&group(), &[at_80(&hosts[0])]).await.unwrap();
    bench.pass(301);
    bench.cloud().deregister(&group(), &[at_80(&hosts[1])]).await.unwrap();
    bench.fault(&json!({ "fault": "kill_instance", "instance": hosts[3] }));
    bench.cloud().terminate(&[&hosts[..], &new[..]].concat()).await.unwrap();
    let verdicts: BTreeMap<String, String> = bench
        .journal()
        .iter()
        .filter(|entry| entry["kind"] == "termination")
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("instance"), text("verdict"))
        })
        .collect();
    let expected = ["drained", "still_draining", "still_registered", "already_dead"];
    for (host, verdict) in hosts.iter().zip(expected) {
        assert_eq!(verdicts[host.as_str()], verdict);
    }
    assert_eq!(verdicts[new[0].as_str()], "never_registered");
}
