//! moto as the independent witness of the wire format.
//!
//! The scripted server answers in a format that we wrote down ourselves, so it cannot prove that we read AWS's. moto was
//! written by others, against AWS's own service model. What it cannot witness is AWS's behaviour: it ignores client
//! tokens, launches one instance where up to three are asked, and knows neither boot time nor draining.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::ids::{
    ClientToken, FleetName, InstanceId, InstanceType, LaunchId, OwnerName, Pool, SubnetId, TargetGroupArn,
};
use fleet_scaler::domain::launch::{LaunchTemplate, Market, RunRequest, TemplateRef};
use fleet_scaler::domain::tags;
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::provider::{CloudProvider, InstanceState, SubnetInfo, TargetHealth, TargetState};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::connect;

const SECONDS: Duration = Duration::from_secs(20);
/// The first start compiles moto's Python; eight of them may share two cores.
const START_MAX: Duration = Duration::from_mins(2);

/// A moto of one's own; gone when it is dropped.
pub(super) struct Moto {
    url: String,
    _process: Child,
}

impl Moto {
    /// Starts it on a free port.
    pub(super) async fn start() -> Self {
        let program = program();
        let mut process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let url = tokio::time::timeout(START_MAX, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, url)) = line.split_once("Running on ") {
                    return url.trim().to_owned();
                }
                said.push(line);
            }
            panic!("moto ended before it listened: {said:#?}")
        })
        .await
        .expect("moto listens in time");
        // Its log goes on; a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url, _process: process }
    }

    /// What `endpoint_url` is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

fn program() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let program = std::env::var_os("MOTO_SERVER").map_or(root.join(".venv/bin/moto_server"), PathBuf::from);
    assert!(
        program.is_file(),
        "{} is missing: run `python3 -m venv .venv && .venv/bin/pip install -r tests/moto-requirements.txt`, or set \
         MOTO_SERVER to a moto_server that is installed elsewhere",
        program.display()
    );
    program
}

/// What a fleet needs to be there before it can launch.
pub(super) struct World {
    /// A launch template.
    pub(super) template: TemplateRef,
    /// Subnets, in different zones.
    pub(super) subnets: Vec<SubnetId>,
    /// A group of instances.
    pub(super) group: TargetGroupArn,
}

/// The bare clients, for what the scaler itself never does: making templates and groups.
struct Maker {
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
}

impl Maker {
    fn new(url: &str) -> Self {
        let http: SharedHttpClient = aws_smithy_http_client::Builder::new().build_http();
        let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
        let region = Region::new("eu-west-1");
        let ec2 = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .http_client(http.clone());
        let elb = aws_sdk_elasticloadbalancingv2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(region)
            .credentials_provider(credentials)
            .http_client(http);
        Self {
            ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
            elb: aws_sdk_elasticloadbalancingv2::Client::from_conf(elb.build()),
        }
    }

    async fn template(&self, name: &str) -> TemplateRef {
        let images = self.ec2.describe_images().send().await.unwrap();
        let image = images.images()[0].image_id().unwrap();
        let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder()
            .image_id(image)
            .instance_type("t3.micro".into())
            .build();
        let made = self.ec2.create_launch_template().launch_template_name(name).launch_template_data(data);
        let made = made.send().await.unwrap();
        TemplateRef::Id(made.launch_template().unwrap().launch_template_id().unwrap().to_owned())
    }

    async fn group(&self, name: &str, kind: TargetTypeEnum) -> TargetGroupArn {
        let vpcs = self.ec2.describe_vpcs().send().await.unwrap();
        let made = self
            .elb
            .create_target_group()
            .name(name)
            .protocol(ProtocolEnum::Http)
            .port(8080)
            .vpc_id(vpcs.vpcs()[0].vpc_id().unwrap())
            .target_type(kind);
        let made = made.send().await.unwrap();
        TargetGroupArn::new(made.target_groups()[0].target_group_arn().unwrap())
    }
}

/// Makes a template and a group in moto, beside the subnets that it comes with.
pub(super) async fn world(url: &str) -> World {
    let maker = Maker::new(url);
    let subnets = maker.ec2.describe_subnets().send().await.unwrap();
    let mut subnets: Vec<SubnetId> =
        subnets.subnets().iter().map(|subnet| SubnetId::new(subnet.subnet_id().unwrap())).collect();
    subnets.sort();
    World {
        template: maker.template("web").await,
        subnets,
        group: maker.group("web", TargetTypeEnum::Instance).await,
    }
}

/// The fleet's owner in all of these tests.
pub(super) fn owner() -> OwnerName {
    OwnerName::new("prod-1")
}

/// One whole life of one host, through the trait alone. It is what the loop does, in the loop's order, and waits where
/// the cloud takes its time, so that it runs against any cloud that speaks EC2 and ELBv2.
pub(super) async fn life_of_a_host(cloud: &dyn CloudProvider, world: &World) {
    let version = cloud.template_version(&world.template, "$Latest").await.unwrap();
    let subnets = cloud.subnets(&world.subnets).await.unwrap();
    assert_eq!(subnets.len(), world.subnets.len());
    let group = cloud.target_group(&world.group).await.unwrap();
    assert_eq!(group.target_type, "instance");
    assert!(group.deregistration_delay <= Duration::from_hours(1));

    let launch = LaunchId(uuid::Uuid::from_u128(0x0000_0001_0000_4000_8000_0000_0000_0001));
    let request = frozen(world, version, &subnets[0], launch);
    cloud.may_launch(&request).await.unwrap();
    let reply = cloud.run_instances(&request).await.unwrap();
    assert_eq!(reply.instances.len(), 1);
    let host = reply.instances[0].id.clone();
    assert_eq!(reply.instances[0].zone, subnets[0].zone);
    assert!(carries(&reply.instances[0].tags, &request.template.tags), "{:?}", reply.instances[0].tags);

    until("it runs", || async { state_of(cloud, &host).await == Some(InstanceState::Running) }).await;
    let seen = cloud.instances(&owner()).await.unwrap();
    let seen = seen.iter().find(|instance| instance.id == host).unwrap();
    assert_eq!((&seen.zone, &seen.subnet), (&subnets[0].zone, &Some(world.subnets[0].clone())));
    assert!(carries(&seen.tags, &request.template.tags), "{:?}", seen.tags);
    assert_eq!(seen.instance_type.as_str(), "t3.micro");
    assert!(seen.address.is_some());
    let of_launch = cloud.instances_of_launch(launch).await.unwrap();
    assert_eq!(of_launch.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&host]);

    cloud.register(&world.group, std::slice::from_ref(&host)).await.unwrap();
    until("it is registered", || async { health_of(cloud, world, &host).await.is_some() }).await;
    let target = health_of(cloud, world, &host).await.unwrap();
    assert_eq!(target.target.port, group.port);
    assert!(
        matches!(target.state, TargetState::Initial | TargetState::Healthy | TargetState::Unused),
        "{target:?}"
    );

    cloud.deregister(&world.group, &[target.target]).await.unwrap();
    until("it is drained", || async {
        health_of(cloud, world, &host).await.is_none_or(|health| health.state == TargetState::Unused)
    })
    .await;
    cloud.terminate(std::slice::from_ref(&host)).await.unwrap();
    until("it is gone", || async {
        matches!(state_of(cloud, &host).await, None | Some(InstanceState::Terminated))
    })
    .await;
}

/// What is not there is said not to be there.
pub(super) async fn what_is_missing(cloud: &dyn CloudProvider, world: &World) {
    let gone = TargetGroupArn::new(world.group.as_str().replace("targetgroup/", "targetgroup/no-"));
    assert_eq!(cloud.target_group(&gone).await.unwrap_err().class, FailureClass::NotFound);
    assert_eq!(cloud.target_health(&gone).await.unwrap_err().class, FailureClass::NotFound);
    let subnet = SubnetId::new("subnet-00000000");
    assert_eq!(cloud.subnets(&[subnet]).await.unwrap_err().class, FailureClass::NotFound);
    let error = cloud.template_version(&world.template, "999").await.unwrap_err();
    assert_eq!(error.class, FailureClass::NotFound, "{error}");
    let host = InstanceId::new("i-00000000000000000");
    assert_eq!(cloud.terminate(&[host]).await.unwrap_err().class, FailureClass::NotFound);
    assert_eq!(cloud.instances(&OwnerName::new("somebody-else")).await.unwrap(), []);
}

fn frozen(world: &World, version: u64, subnet: &SubnetInfo, launch: LaunchId) -> RunRequest {
    let tags = tags::of_launch(
        &owner(),
        &FleetName::new("web"),
        launch,
        Timestamp::UNIX_EPOCH,
        &BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
    );
    RunRequest {
        client_token: ClientToken::new("fs-00000000000000000000000000000001"),
        template: LaunchTemplate {
            template: world.template.clone(),
            version,
            market: Market::OnDemand,
            tags,
        },
        subnet: subnet.subnet.clone(),
        pool: Pool { zone: subnet.zone.clone(), instance_type: Some(InstanceType::new("t3.micro")) },
        max_count: 1,
    }
}

/// EC2 adds tags of its own, `aws:ec2launchtemplate:id` and `:version`.
fn carries(tags: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> bool {
    let added = tags.keys().filter(|key| !ours.contains_key(*key));
    ours.iter().all(|(key, value)| tags.get(key) == Some(value))
        && added.into_iter().all(|key| key.starts_with("aws:"))
}

async fn state_of(cloud: &dyn CloudProvider, host: &InstanceId) -> Option<InstanceState> {
    let seen = cloud.instances(&owner()).await.unwrap();
    seen.iter().find(|instance| instance.id == *host).map(|instance| instance.state)
}

async fn health_of(cloud: &dyn CloudProvider, world: &World, host: &InstanceId) -> Option<TargetHealth> {
    let health = cloud.target_health(&world.group).await.unwrap();
    health.into_iter().find(|health| health.target.host == *host)
}

/// Asks until it holds.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited a minute in vain: {what}");
}

#[tokio::test]
async fn moto_understands_what_we_send_and_we_what_it_answers() {
    let moto = Moto::start().await;
    let world = world(moto.url()).await;
    let cloud = connect(moto.url(), SECONDS).await;
    life_of_a_host(&cloud, &world).await;
    what_is_missing(&cloud, &world).await;
}

#[tokio::test]
async fn moto_has_what_a_sound_fleet_names_and_lacks_what_a_broken_one_does() {
    let moto = Moto::start().await;
    let world = world(moto.url()).await;
    let of_addresses = Maker::new(moto.url()).group("addresses", TargetTypeEnum::Ip).await;
    let cloud = connect(moto.url(), SECONDS).await;
    super::verify::sound_and_broken(&cloud, &world, of_addresses).await;
}
