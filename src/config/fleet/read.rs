//! Reads `fleets/NAME.toml`: the fleet's own keys, and the tables that are short.

use std::time::Duration;

use crate::config::fleet::{FleetConfig, candidates, launch, metrics, rules, schedules};
use crate::config::reader::numbers::{Fraction, count, span};
use crate::config::reader::text::{Choice, text};
use crate::config::reader::{At, Section, key};
use crate::decide::policy::{Cooldown, Mode, Safety, ScaleIn, SizePolicy, VictimOrder};
use crate::domain::ids::FleetName;
use crate::domain::tags;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const DAY: Duration = Duration::from_hours(24);
/// Shorter is a load on the cloud and no gain; below a second is for trying things out at speed.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);
/// Longer is a slip of the pen, not a policy.
pub(super) const MONTH: Duration = Duration::from_hours(30 * 24);

/// Most hosts of one fleet.
pub(super) const MOST_HOSTS: u32 = 10_000;

/// The store keeps the newest few thousand observations of a fleet; a longer window could never be full.
const WINDOW_TICKS_MAX: u32 = 4_500;

/// Reads the whole file. `stem` is the file's name without `.toml`; a description of the file has none.
pub(in crate::config) fn read(file: &mut Section<'_, '_>, stem: Option<&str>) -> Option<FleetConfig> {
    let name = read_name(file, stem);
    let mode = file.or(
        key(
            "mode",
            "Whether decisions are acted on: \"dry-run\" decides and audits, and makes no mutating call.",
        ),
        &Choice(&[("live", Mode::Live), ("dry-run", Mode::DryRun)]),
        Mode::Live,
    );
    let interval =
        file.or(key("interval", "Observe, decide and act this often."), &span(SHORTEST, DAY), 10 * SECOND);
    let size = file.table(key("size", "Bounds and steps, in hosts."), read_size);
    let launch = file.table(key("launch", "What is launched."), launch::read_launch);
    let balancer = file.table(key("balancer", "What balances the fleet's load."), launch::read_balancer);
    let mut metrics = file.table(key("metrics", "What is measured."), metrics::read);
    let catalog = metrics.catalog();
    let rules = rules::read_rules(file, &catalog);
    let targets = rules::read_targets(file, &catalog);
    let schedules = schedules::read(file, size.as_ref());
    let cooldown = file.table(key("cooldown", "How long after a change the next one waits."), read_cooldown);
    let scale_in =
        file.table(key("scale_in", "How hosts are given back."), |section| read_scale_in(section, interval));
    let safety = file.table(key("safety", "What stops everything."), read_safety);
    let own = size.map(|size| candidates::Own {
        size,
        schedules: &schedules,
        rules: &rules,
        targets: &targets,
        cooldown,
        scale_in: &scale_in,
        interval,
    });
    let candidates = candidates::read(file, own.as_ref(), &catalog);
    metrics.host_needed = rules::use_host_signals(&rules, &targets, &catalog)
        || candidates.iter().any(|one| rules::use_host_signals(&one.rules, &one.targets, &catalog));
    Some(FleetConfig {
        name: name?,
        mode,
        interval,
        size: size?,
        schedules,
        launch: launch?,
        balancer,
        metrics,
        rules,
        targets,
        cooldown,
        scale_in,
        safety,
        candidates,
    })
}

fn read_name(file: &mut Section<'_, '_>, stem: Option<&str>) -> Option<FleetName> {
    let name: At<FleetName> = file.required(
        key("name", "The fleet's name; the file's name without .toml.").example("\"web\""),
        &text("web", "^[a-z0-9-]{1,48}$", |text| {
            let fits = (1..=48).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            fits.then(|| FleetName::new(text)).ok_or_else(|| {
                "is not a fleet's name: write 1 to 48 small letters, digits and dashes, such as \"web\""
                    .to_owned()
            })
        }),
    )?;
    if let Some(stem) = stem.filter(|stem| *stem != name.value.as_str()) {
        let message = format!(
            "differs from the file's name {stem:?}: write `name = {stem:?}`, or call the file \"{}.toml\"",
            name.value
        );
        file.wrong(name.start, "name", message);
    }
    Some(name.value)
}

pub(super) fn read_size(section: &mut Section<'_, '_>) -> Option<SizePolicy> {
    let min = section.required(key("min", "Never fewer hosts.").example("2"), &count(0, MOST_HOSTS));
    let max = section.required(key("max", "Never more hosts.").example("20"), &count(0, MOST_HOSTS));
    let step_out_max = section.optional(
        key("step_out_max", "Most hosts one decision may add; without it max(4, the current size)."),
        &count(1, MOST_HOSTS),
    );
    let step_in_max =
        section.or(key("step_in_max", "Most hosts one decision may remove."), &count(1, MOST_HOSTS), 1);
    let (min, max) = (min?, max?);
    if min.value > max.value {
        let message = format!("is above `max` ({}): write min ≤ max", max.value);
        section.wrong(min.start, "min", message);
    }
    Some(SizePolicy {
        min: min.value,
        max: max.value,
        step_out_max: step_out_max.map(|step| step.value),
        step_in_max,
    })
}

pub(super) fn read_cooldown(section: &mut Section<'_, '_>) -> Cooldown {
    let any = span(Duration::ZERO, MONTH);
    Cooldown {
        scale_out: section.or(key("scale_out", "A scale-out waits since the last scale-out."), &any, MINUTE),
        scale_in: section.or(
            key("scale_in", "A scale-in waits since the last change in either direction."),
            &any,
            5 * MINUTE,
        ),
    }
}

pub(super) fn read_scale_in(section: &mut Section<'_, '_>, interval: Duration) -> ScaleIn {
    let window = section.setting(
        key("window", "Never below the highest size recommended within it."),
        &span(Duration::ZERO, DAY),
        5 * MINUTE,
    );
    if let Some(start) = window.start
        && window.value > interval * WINDOW_TICKS_MAX
    {
        let most = humantime::format_duration(interval * WINDOW_TICKS_MAX);
        let message = format!(
            "is more than {WINDOW_TICKS_MAX} intervals: make it at most {most}, or `interval` longer"
        );
        section.wrong(start, "window", &message);
    }
    let window = window.value;
    let order = section.or(
        key("order", "Which host goes first; \"zone-balance\" takes the oldest of the fullest zone."),
        &Choice(&[
            ("oldest", VictimOrder::Oldest),
            ("newest", VictimOrder::Newest),
            ("zone-balance", VictimOrder::ZoneBalance),
        ]),
        VictimOrder::Oldest,
    );
    let protect_tag = section.or(
        key("protect_tag", "A host that carries this tag is never a victim."),
        &text("fleet-scaler:protect", "^.{1,128}$", parse_protect_tag),
        "fleet-scaler:protect".to_owned(),
    );
    ScaleIn { window, order, protect_tag }
}

fn parse_protect_tag(text: &str) -> Result<String, String> {
    let own = [tags::OWNER, tags::FLEET, tags::LAUNCH, tags::SOURCE, tags::TIMESTAMP, tags::NAME];
    if own.contains(&text) {
        return Err(
            "is a tag that every host carries, so none could ever go: write \"fleet-scaler:protect\""
                .to_owned(),
        );
    }
    if text.is_empty() || text.chars().count() > 128 || text.starts_with("aws:") {
        return Err("cannot be a tag: write 1 to 128 characters that do not start with \"aws:\"".to_owned());
    }
    Ok(text.to_owned())
}

fn read_safety(section: &mut Section<'_, '_>) -> Safety {
    let halt_unhealthy = section.or(
        key(
            "halt_unhealthy",
            "More than this share (and more than 2 hosts) unhealthy or unknown: no terminations.",
        ),
        &Fraction,
        0.20,
    );
    let (budget_count, budget_per) =
        section.table(key("termination_budget", "One budget for every reason to terminate."), |budget| {
            let most = budget.or(key("count", "At most so many terminations…"), &count(1, MOST_HOSTS), 5);
            let per =
                budget.or(key("per", "…in any span of this length."), &span(SHORTEST, DAY), 10 * MINUTE);
            (most, per)
        });
    let launch_failures_max = section.or(
        key("launch_failures_max", "So many launch failures in a row open the breaker: launches pause."),
        &count(1, 1_000),
        3,
    );
    let breaker_reset = section.or(
        key("breaker_reset", "After so long without another failure one launch is tried again."),
        &span(SHORTEST, MONTH),
        10 * MINUTE,
    );
    Safety { halt_unhealthy, budget_count, budget_per, launch_failures_max, breaker_reset }
}

/// Records a name that an earlier entry has already.
pub(super) fn refuse_duplicate(section: &mut Section<'_, '_>, taken: &mut Vec<String>, name: &At<String>) {
    if taken.contains(&name.value) {
        section.wrong(
            name.start,
            "name",
            format!("{:?} is taken by an earlier entry: rename one", name.value),
        );
    } else {
        taken.push(name.value.clone());
    }
}
