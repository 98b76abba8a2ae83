//! What describes show: late, whole or not at all, and with the tags as they are now.

use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass::{Denied, Invalid, NotFound, Throttled};
use fleet_scaler::domain::ids::{InstanceId, LaunchId, OwnerName, SubnetId};
use fleet_scaler::domain::launch::TemplateRef;
use fleet_scaler::domain::tags;
use fleet_scaler::provider::InstanceState;
use fleet_scaler::provider::simulated::model::admin::ForeignInstance;
use fleet_scaler::provider::simulated::options::parts::Span;
use serde_json::json;

use super::{Door, Subject, ids, is, through_both_doors, told};
use crate::simulated::{quiet, request};

through_both_doors!(
    describes_lag_behind_launches_and_tokens_do_not,
    instances_are_found_by_their_owner_and_nobody_elses,
    instances_are_found_by_their_launch_whatever_their_state,
    tags_changed_by_hand_are_seen,
    instances_are_found_by_their_ids_whatever_their_tags,
    a_list_over_several_pages_is_whole_or_an_error,
    template_versions_are_looked_up,
    subnets_come_as_they_were_asked_for,
    dry_runs_say_whether_it_is_permitted,
);

async fn describes_lag_behind_launches_and_tokens_do_not(door: Door) {
    let mut options = quiet();
    options.visibility_lag = Span::exactly(Duration::from_secs(8));
    let subject = Subject::start(door, options).await;
    let new = subject.launch("t1", "subnet-a", 1).await;
    assert!(subject.shown().await.is_empty());
    let unseen = told(subject.cloud.terminate(&new).await);
    assert_eq!(unseen, is(NotFound, "InvalidInstanceID.NotFound"));
    assert_eq!(subject.launch("t1", "subnet-a", 1).await, new);
    subject.bench.pass(8);
    assert_eq!(ids(&subject.shown().await), new);

    subject.fault(&json!({ "fault": "visibility_lag", "ms": 60_000 }));
    subject.launch("t2", "subnet-a", 1).await;
    subject.bench.pass(59);
    assert_eq!(subject.shown().await.len(), 1);
    subject.bench.pass(1);
    assert_eq!(subject.shown().await.len(), 2);
}

async fn instances_are_found_by_their_owner_and_nobody_elses(door: Door) {
    let subject = Subject::quiet(door).await;
    let ours = subject.launch("t1", "subnet-a", 2).await;
    for owner in ["prod-10", "PROD-1", "prod"] {
        let tags = [(tags::OWNER.to_owned(), owner.to_owned())].into();
        let foreign = ForeignInstance { tags, ..ForeignInstance::default() };
        subject.bench.cloud().with_model(|model| model.add_instances(&foreign).map(|_| ())).unwrap();
    }
    assert_eq!(ids(&subject.shown().await), ours);
    assert!(subject.cloud.instances(&OwnerName::new("prod-2")).await.unwrap().is_empty());
}

async fn instances_are_found_by_their_launch_whatever_their_state(door: Door) {
    let subject = Subject::quiet(door).await;
    let launch = LaunchId(uuid::Uuid::from_u128(7));
    let mut tagged = request("t1", "subnet-c", 2);
    tagged.template.tags.insert(tags::LAUNCH.to_owned(), launch.to_string());
    tagged.template.tags.insert("odd".to_owned(), "a<b & \"c\" = ü/é".to_owned());
    tagged.template.tags.insert("empty".to_owned(), String::new());
    let new = ids(&subject.cloud.run_instances(&tagged).await.unwrap().instances);
    subject.launch("t2", "subnet-c", 1).await;
    subject.cloud.terminate(&new[..1]).await.unwrap();
    subject.bench.pass(60);
    let found = subject.cloud.instances_of_launch(launch).await.unwrap();
    assert_eq!(ids(&found), new);
    assert_eq!((found[0].state, found[1].state), (InstanceState::Terminated, InstanceState::Running));
    assert_eq!((&found[0].subnet, found[0].address), (&None, None), "a dead one has no network");
    assert_eq!(found[1].subnet, Some(SubnetId::new("subnet-c")));
    assert!(found.iter().all(|one| one.tags == tagged.template.tags && one.zone.as_str() == "eu-west-1c"));
    let nobody = subject.cloud.instances_of_launch(LaunchId(uuid::Uuid::from_u128(8))).await.unwrap();
    assert!(nobody.is_empty());
}

async fn tags_changed_by_hand_are_seen(door: Door) {
    let subject = Subject::quiet(door).await;
    let launch = LaunchId(uuid::Uuid::from_u128(7));
    let mut tagged = request("t1", "subnet-a", 1);
    tagged.template.tags.insert(tags::LAUNCH.to_owned(), launch.to_string());
    let ours = ids(&subject.cloud.run_instances(&tagged).await.unwrap().instances);
    let set = json!({ "fault": "change_tags", "instance": ours[0], "set": { "team": "ops" } });
    subject.fault(&set);
    assert_eq!(subject.shown().await[0].tags["team"], "ops");
    let change = json!({ "fault": "change_tags", "instance": ours[0], "remove": [tags::OWNER] });
    subject.fault(&change);
    assert!(subject.shown().await.is_empty(), "without the owner's tag its list does not have it");
    assert_eq!(
        ids(&subject.cloud.instances_of_launch(launch).await.unwrap()),
        ours,
        "it is there all the same"
    );

    let foreign = subject.bench.cloud().with_model(|model| {
        model.add_instances(&ForeignInstance::default()).map(|made| made[0].id.clone()).unwrap()
    });
    let owner = json!({ tags::OWNER: "prod-1" });
    subject.fault(&json!({ "fault": "change_tags", "instance": foreign, "set": owner }));
    assert_eq!(ids(&subject.shown().await), [foreign]);
}

async fn instances_are_found_by_their_ids_whatever_their_tags(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = subject.launch("t1", "subnet-a", 450).await;
    let remove: Vec<&str> = vec![tags::OWNER, tags::FLEET];
    subject.fault(&json!({ "fault": "change_tags", "instance": hosts[0], "remove": remove }));
    subject.cloud.terminate(&hosts[1..2]).await.unwrap();
    subject.bench.pass(31);
    let nowhere = InstanceId::new("i-00000000000000000");
    let mut asked = [&hosts[..], &[nowhere.clone(), hosts[0].clone()]].concat();
    asked.reverse();
    let found = subject.cloud.instances_named(&asked).await.unwrap();
    assert_eq!(ids(&found), hosts, "each once, by id, and one that is not there is no error");
    assert_eq!((found[0].state, found[1].state), (InstanceState::Running, InstanceState::Terminated));
    assert!(found[0].tags.is_empty());
    assert!(subject.cloud.instances_named(&[nowhere]).await.unwrap().is_empty());
    assert!(subject.cloud.instances_named(&[]).await.unwrap().is_empty(), "none is none, not all");
}

async fn a_list_over_several_pages_is_whole_or_an_error(door: Door) {
    let subject = Subject::quiet(door).await;
    for token in ["t1", "t2", "t3"] {
        subject.launch(token, "subnet-a", 700).await;
    }
    let all = subject.shown().await;
    assert_eq!(all.len(), 2100);
    assert!(all.is_sorted_by(|a, b| a.id < b.id), "ordered by id, and none twice");
    assert_eq!(subject.sent("DescribeInstances"), 3);
    // The bucket has the first two pages in it, and not the third.
    subject.fault(&json!({ "fault": "throttle", "op": "DescribeInstances", "size": 2.0 }));
    let owner = OwnerName::new("prod-1");
    assert_eq!(told(subject.cloud.instances(&owner).await), is(Throttled, "RequestLimitExceeded"));
    assert_eq!(subject.sent("DescribeInstances"), 6, "it was the third page that failed");
}

async fn template_versions_are_looked_up(door: Door) {
    let subject = Subject::quiet(door).await;
    let (by_id, by_name) = (TemplateRef::Id("lt-demo".to_owned()), TemplateRef::Name("web".to_owned()));
    for (version, number) in [("$Latest", 3), ("$Default", 1), ("2", 2)] {
        for template in [&by_id, &by_name] {
            assert_eq!(subject.cloud.template_version(template, version).await, Ok(number));
        }
    }
    let (no_id, no_name) = (TemplateRef::Id("lt-none".to_owned()), TemplateRef::Name("none".to_owned()));
    for (template, version, class, code) in [
        (&by_id, "4", NotFound, "InvalidLaunchTemplateId.VersionNotFound"),
        (&by_id, "0", NotFound, "InvalidLaunchTemplateId.VersionNotFound"),
        (&by_id, "latest", Invalid, "InvalidLaunchTemplateVersion.Malformed"),
        (&no_id, "$Latest", NotFound, "InvalidLaunchTemplateId.NotFound"),
        (&no_name, "$Latest", NotFound, "InvalidLaunchTemplateName.NotFoundException"),
    ] {
        let refusal = told(subject.cloud.template_version(template, version).await);
        assert_eq!(refusal, is(class, code), "{template} {version}");
    }
}

async fn subnets_come_as_they_were_asked_for(door: Door) {
    let subject = Subject::quiet(door).await;
    let named = |names: &[&str]| names.iter().map(|name| SubnetId::new(*name)).collect::<Vec<_>>();
    let wanted = named(&["subnet-b", "subnet-a", "subnet-b"]);
    let found = subject.cloud.subnets(&wanted).await.unwrap();
    let zones: Vec<&str> = found.iter().map(|one| one.zone.as_str()).collect();
    assert_eq!(zones, ["eu-west-1b", "eu-west-1a", "eu-west-1b"]);
    assert!(subject.cloud.subnets(&[]).await.unwrap().is_empty(), "none is none, not all");
    let error = subject.cloud.subnets(&named(&["subnet-a", "subnet-z"])).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (NotFound, "InvalidSubnetID.NotFound"));
    assert!(error.message.contains("subnet-z"), "{error}");
}

async fn dry_runs_say_whether_it_is_permitted(door: Door) {
    let subject = Subject::quiet(door).await;
    subject.cloud.may_launch(&request("t1", "subnet-a", 1)).await.unwrap();
    let nowhere = told(subject.cloud.may_launch(&request("t1", "subnet-z", 1)).await);
    assert_eq!(nowhere, is(NotFound, "InvalidSubnetID.NotFound"));
    let mut no_version = request("t1", "subnet-a", 1);
    no_version.template.version = 9;
    let refusal = told(subject.cloud.may_launch(&no_version).await);
    assert_eq!(refusal, is(NotFound, "InvalidLaunchTemplateId.VersionNotFound"));
    subject.fault(&json!({ "fault": "error", "op": "RunInstances", "code": "UnauthorizedOperation" }));
    let denied = told(subject.cloud.may_launch(&request("t1", "subnet-a", 1)).await);
    assert_eq!(denied, is(Denied, "UnauthorizedOperation"));
    assert!(subject.shown().await.is_empty(), "a dry run launches nothing");
}
