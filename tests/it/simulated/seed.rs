//! A cloud is its seed: the same calls at the same times make the same story. What launching itself promises is tested
//! through both doors, in `cloud_contract`.

use fleet_scaler::provider::CloudProvider;
use fleet_scaler::provider::simulated::options::CloudOptions;

use super::{Bench, request};

#[tokio::test]
async fn the_same_seed_is_the_same_cloud() {
    let story = async |seed: u64| {
        let bench = Bench::start(CloudOptions::default().with_host_port(None).with_seed(seed)).await;
        for step in 0..5 {
            bench.cloud().run_instances(&request(&format!("t{step}"), "subnet-a", 3)).await.unwrap();
            bench.pass(7);
        }
        bench.pass(600);
        bench.journal()
    };
    let (one, again, other) = (story(5).await, story(5).await, story(6).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    let boots: Vec<&str> = one
        .iter()
        .filter(|entry| entry["kind"] == "instance" && entry["to"] == "running")
        .map(|entry| entry["at"].as_str().unwrap())
        .collect();
    assert_eq!(boots.len(), 15);
    assert!(boots.windows(2).all(|pair| pair[0] <= pair[1]), "what is due happens in order");
    assert_ne!(boots[0], boots[14], "and not all at once");
}
