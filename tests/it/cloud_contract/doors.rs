//! Both doors to one and the same cloud, side by side: every answer of one is the answer of the other.

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::domain::failure::CloudError;
use fleet_scaler::domain::ids::{ClientToken, InstanceId, InstanceType, OwnerName, SubnetId, TargetGroupArn};
use fleet_scaler::domain::launch::{Market, TemplateRef};
use fleet_scaler::provider::{CloudProvider, TargetId};
use serde_json::json;

use super::{Door, door_of, ids};
use crate::simulated::{Bench, group, quiet, request, with_wire};

/// Two ways to one cloud.
struct Both {
    bench: Bench,
    direct: Arc<dyn CloudProvider>,
    sdk: Arc<dyn CloudProvider>,
}

impl Both {
    async fn start() -> Self {
        let bench = Bench::start(with_wire(quiet())).await;
        let timeout = Duration::from_secs(20);
        let direct = door_of(&bench, Door::Trait, timeout).await;
        let sdk = door_of(&bench, Door::Sdk, timeout).await;
        Self { bench, direct, sdk }
    }

    /// Compares every read there is.
    async fn compare(&self, when: &str) {
        let (a, b) = (&self.direct, &self.sdk);
        let owner = OwnerName::new("prod-1");
        assert_eq!(plain(a.instances(&owner).await), plain(b.instances(&owner).await), "{when}");
        for arn in [group(), TargetGroupArn::new("arn:none")] {
            assert_eq!(plain(a.target_group(&arn).await), plain(b.target_group(&arn).await), "{when}");
            assert_eq!(plain(a.target_health(&arn).await), plain(b.target_health(&arn).await), "{when}");
        }
        let subnets = [SubnetId::new("subnet-c"), SubnetId::new("subnet-a")];
        assert_eq!(plain(a.subnets(&subnets).await), plain(b.subnets(&subnets).await), "{when}");
        let template = TemplateRef::Name("web".to_owned());
        for version in ["$Latest", "$Default", "3", "4", "x", ""] {
            let (a, b) =
                (a.template_version(&template, version).await, b.template_version(&template, version).await);
            assert_eq!(plain(a), plain(b), "{when}: {version:?}");
        }
    }
}

/// An answer without what differs from call to call: the id of the request.
fn plain<T>(answer: Result<T, CloudError>) -> Result<T, CloudError> {
    answer.map_err(|error| CloudError { request_id: None, ..error })
}

#[tokio::test]
async fn they_say_the_same_at_every_moment_of_a_hosts_life() {
    let both = Both::start().await;
    both.compare("before anything").await;
    let hosts = ids(&both.sdk.run_instances(&request("t1", "subnet-b", 3)).await.unwrap().instances);
    both.compare("pending").await;
    both.bench.pass(31);
    both.direct.register(&group(), &hosts).await.unwrap();
    both.compare("running, in its first checks").await;
    both.bench.pass(21);
    both.compare("healthy").await;
    both.bench.fault(&json!({ "fault": "kill_instance", "instance": hosts[1], "how": "unresponsive" }));
    both.compare("one is silent").await;
    both.sdk.deregister(&group(), &[TargetId { host: hosts[0].clone(), port: 80 }]).await.unwrap();
    both.compare("draining").await;
    both.direct.terminate(&hosts).await.unwrap();
    both.compare("shutting down").await;
    both.bench.pass(400);
    both.compare("terminated").await;
}

#[tokio::test]
async fn a_token_is_the_same_token_at_both() {
    let both = Both::start().await;
    let mut requests = vec![request("t1", "subnet-a", 2); 3];
    requests[1].template.market = Market::Spot;
    requests[2].pool.instance_type = Some(InstanceType::new("c7g.large"));
    for (index, wanted) in requests.iter_mut().enumerate() {
        wanted.client_token = ClientToken::new(format!("token-{index}"));
        let first = both.direct.run_instances(wanted).await.unwrap();
        let again = both.sdk.run_instances(wanted).await.unwrap();
        assert_eq!(first.instances, again.instances, "{wanted:?}");
    }
    assert_eq!(both.direct.instances(&OwnerName::new("prod-1")).await.unwrap().len(), 6);
}

#[tokio::test]
async fn they_are_refused_in_the_same_words() {
    let both = Both::start().await;
    both.bench.fault(&json!({ "fault": "capacity", "zone": "eu-west-1a", "left": 0 }));
    both.bench.fault(&json!({ "fault": "quota", "vcpus": 0 }));
    for subnet in ["subnet-a", "subnet-b", "subnet-z"] {
        let wanted = request(&format!("t-{subnet}"), subnet, 1);
        let (a, b) = (both.direct.run_instances(&wanted).await, both.sdk.run_instances(&wanted).await);
        assert_eq!(plain(a).unwrap_err(), plain(b).unwrap_err());
        let (a, b) = (both.direct.may_launch(&wanted).await, both.sdk.may_launch(&wanted).await);
        assert_eq!(plain(a), plain(b));
    }
    let nobody = ["i-0000000000000000a", "i-0000000000000000b"].map(InstanceId::new);
    assert_eq!(plain(both.direct.terminate(&nobody).await), plain(both.sdk.terminate(&nobody).await));
    let (a, b) = (both.direct.register(&group(), &nobody).await, both.sdk.register(&group(), &nobody).await);
    assert_eq!(plain(a), plain(b));
}
