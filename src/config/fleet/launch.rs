//! Reads `[launch]` and `[balancer]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::fleet::read::{DAY, MINUTE, MONTH, SHORTEST};
use crate::config::fleet::{BalancerConfig, LaunchConfig};
use crate::config::reader::numbers::span;
use crate::config::reader::text::{Choice, Pairs, list, text};
use crate::config::reader::{Section, key};
use crate::domain::ids::{InstanceType, SubnetId, TargetGroupArn};
use crate::domain::launch::{Market, TemplateRef};
use crate::domain::tags;

/// EC2 allows 50 tags; six are the scaler's own, and one is spare for the protect tag.
const MOST_TAGS: usize = 43;

pub(super) fn read_launch(section: &mut Section<'_, '_>) -> Option<LaunchConfig> {
    let template = read_template(section);
    let template_version = section.or(
        key(
            "launch_template_version",
            "Its version: a number, \"$Latest\" or \"$Default\"; resolved to a number before a launch is committed.",
        ),
        &text("7", "^([1-9][0-9]{0,9}|\\$Latest|\\$Default)$", parse_version),
        "$Default".to_owned(),
    );
    let subnets = section.required(
        key("subnets", "Where hosts are launched; the subnets' zones are looked up.")
            .example("[\"subnet-…\"]"),
        &list(
            text("subnet-0123456789abcdef0", "^subnet-[A-Za-z0-9-]{1,60}$", |text| {
                has_shape(text, "subnet-").then(|| SubnetId::new(text)).ok_or_else(|| {
                    "is not a subnet's id: write one such as \"subnet-0123456789abcdef0\"".to_owned()
                })
            }),
            1,
            100,
        ),
    );
    let instance_types = section.or(
        key("instance_types", "What is launched, in order of preference; without it what the template says."),
        &list(text("m7g.large", "^[a-z0-9-]+\\.[a-z0-9-]+$", parse_instance_type), 0, 40),
        Vec::new(),
    );
    let market = section.or(
        key("market", "How instances are bought."),
        &Choice(&[("on-demand", Market::OnDemand), ("spot", Market::Spot)]),
        Market::OnDemand,
    );
    let boot_timeout = section.or(
        key(
            "boot_timeout",
            "A host that is not healthy by then is terminated and counts as a failed launch.",
        ),
        &span(SHORTEST, MONTH),
        15 * MINUTE,
    );
    let (pool_cooldown, pool_cooldown_max) = read_pool_cooldown(section);
    let tags = section.or(
        key("tags", "Tags beside the scaler's own."),
        &Pairs {
            check_key: check_tag_key,
            check_value: check_tag_value,
            most: MOST_TAGS,
            example: "team = \"payments\"",
        },
        BTreeMap::new(),
    );
    Some(LaunchConfig {
        template: template?,
        template_version,
        subnets: subnets?.value,
        instance_types,
        market,
        boot_timeout,
        pool_cooldown,
        pool_cooldown_max,
        tags,
    })
}

fn read_template(section: &mut Section<'_, '_>) -> Option<TemplateRef> {
    let id = section.optional(
        key("launch_template_id", "The launch template, by id."),
        &text("lt-0123456789abcdef0", "^lt-[A-Za-z0-9-]{1,60}$", |text| {
            has_shape(text, "lt-").then(|| TemplateRef::Id(text.to_owned())).ok_or_else(|| {
                "is not a launch template's id: write one such as \"lt-0123456789abcdef0\", or name the template \
                 with `launch_template_name`"
                    .to_owned()
            })
        }),
    );
    let name = section.optional(
        key("launch_template_name", "The launch template, by name."),
        &text("web", "^[A-Za-z0-9().\\-/_]{3,128}$", |text| {
            let fits = (3..=128).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "().-/_".contains(c));
            fits.then(|| TemplateRef::Name(text.to_owned())).ok_or_else(|| {
                "is not a launch template's name: write 3 to 128 letters, digits and ( ) . - / _".to_owned()
            })
        }),
    );
    section.exactly_one(
        &["launch_template_id", "launch_template_name"],
        "write `launch_template_id = \"lt-…\"` or `launch_template_name = \"…\"`",
    );
    id.or(name).map(|template| template.value)
}

/// Each of the two gives way to the other unless both are written: a longer first pause alone must not be an error.
fn read_pool_cooldown(section: &mut Section<'_, '_>) -> (Duration, Duration) {
    let first = section.setting(
        key(
            "pool_cooldown",
            "A pool (zone × type) that refused for capacity is left alone so long, doubling…",
        ),
        &span(SHORTEST, MONTH),
        3 * MINUTE,
    );
    let most = section.setting(
        key("pool_cooldown_max", "…up to this; at least pool_cooldown."),
        &span(SHORTEST, MONTH),
        30 * MINUTE,
    );
    match (first.start, most.start) {
        (Some(start), Some(_)) if first.value > most.value => {
            section.wrong(start, "pool_cooldown", "is longer than `pool_cooldown_max`: make it at most that");
            (first.value, most.value)
        }
        (None, Some(_)) => (first.value.min(most.value), most.value),
        _ => (first.value, most.value.max(first.value)),
    }
}

fn parse_version(text: &str) -> Result<String, String> {
    let number =
        text.len() <= 10 && !text.starts_with('0') && text.parse::<u64>().is_ok_and(|number| number > 0);
    if number && text.bytes().all(|byte| byte.is_ascii_digit()) || ["$Latest", "$Default"].contains(&text) {
        return Ok(text.to_owned());
    }
    Err("is not a version: write its number in quotes, such as \"7\", or \"$Latest\" or \"$Default\""
        .to_owned())
}

fn parse_instance_type(text: &str) -> Result<InstanceType, String> {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    match text.split_once('.') {
        Some((family, size)) if text.len() <= 64 && part(family) && part(size) => Ok(InstanceType::new(text)),
        _ => Err("is not an instance type: write one such as \"m7g.large\"".to_owned()),
    }
}

/// Whether a text is a resource's id with this prefix.
fn has_shape(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (1..=60).contains(&rest.len()) && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

fn check_tag_key(key: &str) -> Result<(), String> {
    if key.starts_with("fleet-scaler:") || [tags::SOURCE, tags::TIMESTAMP].contains(&key) {
        return Err("is a tag that the scaler sets itself: choose another key".to_owned());
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err("starts with \"aws:\", which AWS keeps for itself: choose another key".to_owned());
    }
    if !(1..=128).contains(&key.chars().count()) || key.chars().any(char::is_control) {
        return Err("does not fit a tag's key: write 1 to 128 characters".to_owned());
    }
    Ok(())
}

fn check_tag_value(value: &str) -> Result<(), String> {
    if value.chars().count() > 256 || value.chars().any(char::is_control) {
        return Err("does not fit a tag's value: write at most 256 characters, on one line".to_owned());
    }
    Ok(())
}

pub(super) fn read_balancer(section: &mut Section<'_, '_>) -> BalancerConfig {
    let groups = list(
        text(
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef",
            "^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-fA-F]+$",
            parse_arn,
        ),
        0,
        50,
    );
    BalancerConfig {
        target_groups: section.or(
            key("target_groups", "ARNs of target groups of type instance; empty: the fleet has no balancer."),
            &groups,
            Vec::new(),
        ),
        drain_timeout: section
            .optional(
                key(
                    "drain_timeout",
                    "A host is terminated at the latest so long after its deregistration; without it the largest \
                     deregistration delay + 60 s.",
                ),
                &span(SHORTEST, DAY),
            )
            .map(|timeout| timeout.value),
        health_grace: section.or(
            key("health_grace", "How long a registered host may be unhealthy before it counts as failed."),
            &span(Duration::ZERO, DAY),
            2 * MINUTE,
        ),
    }
}

fn parse_arn(text: &str) -> Result<TargetGroupArn, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let fits = match parts.as_slice() {
        ["arn", partition, "elasticloadbalancing", region, account, resource] => {
            partition.starts_with("aws")
                && partition.chars().all(|c| c.is_ascii_lowercase() || c == '-')
                && !region.is_empty()
                && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && is_group_resource(resource)
        }
        _ => false,
    };
    fits.then(|| TargetGroupArn::new(text)).ok_or_else(|| {
        "is not a target group's ARN: write one such as \
         \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef\""
            .to_owned()
    })
}

fn is_group_resource(resource: &str) -> bool {
    match resource.split('/').collect::<Vec<_>>().as_slice() {
        ["targetgroup", name, id] => {
            (1..=32).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        _ => false,
    }
}
