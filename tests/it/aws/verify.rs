//! `check --online`: every finding says what, where, and what would be right.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_scaler::config::fleet::{
    BalancerConfig, FleetConfig, HostMetricsConfig, LaunchConfig, MetricsConfig,
};
use fleet_scaler::decide::policy::{Cooldown, Mode, Safety, ScaleIn, SizePolicy, VictimOrder};
use fleet_scaler::domain::ids::{FleetName, InstanceType, SubnetId, TargetGroupArn};
use fleet_scaler::domain::launch::{Market, TemplateRef};
use fleet_scaler::provider::CloudProvider;
use fleet_scaler::provider::verify::{Finding, Verdict, verify};

use super::balancer::group_reply;
use super::connect;
use super::moto::{World, owner};
use super::server::{Asked, Reply, Server};

const MINUTE: Duration = Duration::from_mins(1);

fn fleet(template: TemplateRef, subnets: Vec<SubnetId>, groups: Vec<TargetGroupArn>) -> FleetConfig {
    FleetConfig {
        name: FleetName::new("web"),
        mode: Mode::Live,
        interval: MINUTE,
        size: SizePolicy { min: 1, max: 5, step_out_max: None, step_in_max: 1 },
        schedules: Vec::new(),
        candidates: Vec::new(),
        launch: LaunchConfig {
            template,
            template_version: "$Latest".to_owned(),
            subnets,
            instance_types: vec![InstanceType::new("t3.micro"), InstanceType::new("t3.small")],
            market: Market::OnDemand,
            boot_timeout: MINUTE,
            pool_cooldown: MINUTE,
            pool_cooldown_max: MINUTE,
            tags: BTreeMap::new(),
        },
        balancer: BalancerConfig { target_groups: groups, drain_timeout: None, health_grace: MINUTE },
        metrics: MetricsConfig {
            host: HostMetricsConfig {
                port: 9100,
                path: "/metrics".to_owned(),
                timeout: MINUTE,
                max_bytes: 1_000,
                quorum: 0.75,
                allow_loopback: false,
            },
            host_needed: false,
            queries: Vec::new(),
            scrapes: Vec::new(),
        },
        rules: Vec::new(),
        targets: Vec::new(),
        cooldown: Cooldown { scale_out: MINUTE, scale_in: MINUTE },
        scale_in: ScaleIn { window: MINUTE, order: VictimOrder::Oldest, protect_tag: "protect".to_owned() },
        safety: Safety {
            halt_unhealthy: 0.2,
            budget_count: 5,
            budget_per: MINUTE,
            launch_failures_max: 3,
            breaker_reset: MINUTE,
        },
    }
}

fn keys(findings: &[Finding], verdict: Verdict) -> Vec<&str> {
    findings.iter().filter(|finding| finding.verdict == verdict).map(|finding| finding.key.as_str()).collect()
}

/// A fleet whose every name is right, and one whose every name is wrong, against a cloud that has the former.
pub(super) async fn sound_and_broken(cloud: &dyn CloudProvider, world: &World, of_addresses: TargetGroupArn) {
    let sound = fleet(world.template.clone(), world.subnets.clone(), vec![world.group.clone()]);
    let findings = verify(cloud, &owner(), &sound).await;
    assert_eq!(keys(&findings, Verdict::Good).len(), findings.len(), "{findings:#?}");
    let zoned = format!("{} is in eu-west-1", world.subnets[0]);
    assert!(findings.iter().any(|finding| finding.what.starts_with(&zoned)), "{findings:#?}");

    let subnets = vec![world.subnets[0].clone(), SubnetId::new("subnet-0000dead")];
    let gone = TargetGroupArn::new(world.group.as_str().replace("targetgroup/", "targetgroup/no-"));
    let mut broken = fleet(world.template.clone(), subnets, vec![world.group.clone(), of_addresses, gone]);
    broken.launch.template_version = String::from("999");
    broken.balancer.drain_timeout = Some(Duration::from_secs(1));
    let findings = verify(cloud, &owner(), &broken).await;
    assert_eq!(
        keys(&findings, Verdict::Bad),
        [
            "launch.launch_template_version",
            "launch.subnets[1]",
            "balancer.target_groups[1]",
            "balancer.target_groups[2]"
        ],
        "{findings:#?}"
    );
    assert_eq!(keys(&findings, Verdict::Doubtful), ["balancer.drain_timeout"]);
    for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Good) {
        assert!(finding.remedy.is_some(), "{finding}");
    }
}

fn answer(asked: &Asked) -> Reply {
    match asked.action().as_str() {
        "DescribeInstances" => {
            Reply::ok("<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>")
        }
        "DescribeLaunchTemplateVersions" => Reply::ok(
            "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item><versionNumber>3</versionNumber>\
             </item></launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>",
        ),
        "DescribeSubnets" => Reply::ok(
            "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-a</subnetId><availabilityZone>eu-west-1a\
             </availabilityZone></item></subnetSet></DescribeSubnetsResponse>",
        ),
        "RunInstances" => match asked.form()["InstanceType"].as_str() {
            "t3.micro" => Reply::ec2_error(403, "UnauthorizedOperation", "You are not authorized."),
            _ => Reply::ec2_error(
                400,
                "VcpuLimitExceeded",
                "You have requested more vCPU capacity than your limit",
            ),
        },
        "DescribeTargetHealth" => Reply::elb_error(503, "ServiceUnavailable", "try later"),
        action => group_reply(action, "instance", Some("60")),
    }
}

#[tokio::test]
async fn a_refusal_names_the_permission_and_no_answer_is_no_refusal() {
    let server = Server::start(|asked, _| answer(asked)).await;
    let cloud = connect(&server.url(), Duration::from_secs(20)).await;
    let group = TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1");
    let fleet = fleet(TemplateRef::Id("lt-1".to_owned()), vec![SubnetId::new("subnet-a")], vec![group]);
    let findings = verify(&cloud, &owner(), &fleet).await;
    assert_eq!(keys(&findings, Verdict::Bad), ["launch.subnets[0]"]);
    let denied = findings.iter().find(|finding| finding.verdict == Verdict::Bad).unwrap().to_string();
    assert!(denied.starts_with("error: fleets/web.toml: launch.subnets[0]: "), "{denied}");
    assert!(denied.contains("ec2:RunInstances") && denied.contains("t3.micro in eu-west-1a"), "{denied}");
    assert_eq!(keys(&findings, Verdict::Doubtful), ["launch.instance_types[1]"]);
    assert_eq!(keys(&findings, Verdict::Unanswered), ["balancer.target_groups[0]"]);
    let launches: Vec<_> =
        server.asked().into_iter().filter(|asked| asked.action() == "RunInstances").collect();
    assert_eq!(launches.len(), 2);
    for launch in launches {
        assert_eq!(launch.form()["DryRun"], "true");
        assert_eq!(launch.form()["LaunchTemplate.Version"], "3");
    }
}
