//! `backtest`: a fleet's policy, replayed on load that was recorded, beside a changed policy or the rules of others.
//!
//! Neither a database nor a cloud is needed: the load comes from a file or from a Prometheus-compatible engine, and the
//! fleet is the plant's. What a fleet's file says that a trace cannot tell is named in the result.

mod again;
mod money;
mod progress;
mod recorded;
mod replay;
mod report;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::backtest::chart::{self, Panel};
use crate::backtest::plant::STEP;
use crate::backtest::replayable::Replayable;
use crate::backtest::rivals::Rival;
use crate::cli::backtest::money::{Price, parse_price};
use crate::cli::backtest::replay::{Conditions, Kind, PEAK_MAX, Peak, Replay, Subject};
use crate::cli::backtest::report::Report;
use crate::cli::backtest::source::SourceArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Silent, USAGE, Usage};
use crate::cli::output;
use crate::config::fleet::FleetConfig;
use crate::view::words::{count, parse_span};

/// `backtest FLEET`.
#[derive(Debug, Args)]
pub(crate) struct BacktestArgs {
    /// The fleet whose policy is replayed
    fleet: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Rules of others to replay beside it: all, or some of hpa, ec2-target-tracking, ec2-step, nomad-target-value,
    /// nomad-threshold, gce, keda, react
    #[arg(long, visible_alias = "rival", value_name = "NAMES", value_delimiter = ',')]
    against: Vec<String>,
    /// The utilisation that those keep, 0.05 to 1; else that of the fleet's own target, else what each documents
    #[arg(long, value_name = "SHARE", value_parser = parse_target, requires = "against")]
    target: Option<f64>,
    /// A changed file of the fleet, to replay beside the one in force; it may lie anywhere
    #[arg(long, value_name = "FILE")]
    candidate: Option<PathBuf>,
    /// Find each one's constants on the first third of the load, and report on the rest
    #[arg(long)]
    tune: bool,
    /// From a launch until half of all hosts serve
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    boot: Duration,
    /// Hosts that the load takes at its peak, but for one moment in a thousand; else three quarters of the fleet's max,
    /// or, of what was recorded, what it took
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PEAK_MAX)))]
    hosts_at_peak: Option<u32>,
    /// What an instance costs an hour, in any money
    #[arg(long, value_name = "MONEY", value_parser = parse_price, allow_negative_numbers = true)]
    price: Option<Price>,
    /// The same seed gives the same boot times, noise and lost samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Also draw it, as SVG; of one trace
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &BacktestArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    if args.source.again() {
        let report = args.source.make_again(context, &configuration, &args.fleet).await?;
        return again::conclude(context.format, &report);
    }
    let config = context.fleet(&configuration, &args.fleet)?;
    let (subjects, mut notes) = args.subjects(config)?;
    let load = args.source.read(&configuration, &config.name).await?;
    if args.chart.is_some() && load.traces.len() > 1 {
        return Err(Usage("--chart draws one trace: name a file, not a folder of several".to_owned()).into());
    }
    let conditions = args.conditions(config, load.lived.is_some());
    notes.extend(remarks(config, &conditions));
    notes.extend(load.notes);
    let (traces, lived) = (load.traces, load.lived);
    let work = move || {
        let mut replays = replay::replay(&traces, &subjects, &conditions)?;
        if let (Some(lived), Some(replay)) = (lived, replays.first_mut()) {
            replay.outcomes.push(lived.outcome(replay.tuned_on));
        }
        Ok::<_, Usage>(replays)
    };
    let replays = tokio::task::spawn_blocking(work).await.context("the replay ended early")??;
    let report = Report::of(config, &conditions, args.price, args.seed, notes, &replays);
    if let (Some(file), Some(replay)) = (&args.chart, replays.first()) {
        draw(file, &args.fleet, replay, args.price)?;
    }
    output::print(context.format, &report)
}

/// What of the conditions is not as it is in life, or not as it was meant.
fn remarks(config: &FleetConfig, conditions: &Conditions) -> Vec<String> {
    let mut notes = Vec::new();
    if config.interval.as_secs() < u64::from(STEP) {
        notes.push(format!("the fleet decides every {STEP}s here: the replay has no finer steps"));
    }
    if let Peak::Hosts(hosts) = conditions.peak
        && hosts > config.size.max
    {
        let max = config.size.max;
        notes.push(format!(
            "the peak takes {hosts} hosts and the fleet's max is {max}: what lacks then lacks for all"
        ));
    }
    notes
}

impl BacktestArgs {
    /// Who is replayed, and what of their files is not.
    fn subjects(&self, config: &FleetConfig) -> anyhow::Result<(Vec<Subject>, Vec<String>)> {
        let (in_force, mut notes) = subject(config, config.name.as_str(), Kind::InForce)?;
        let target = self.target.or_else(|| in_force.target());
        let mut subjects = vec![in_force];
        if let Some(file) = &self.candidate {
            let changed = candidate(file, config)?;
            let (subject, more) = subject(&changed, "candidate", Kind::Candidate)?;
            subjects.push(subject);
            let new: Vec<String> = more.into_iter().filter(|note| !notes.contains(note)).collect();
            notes.extend(new.into_iter().map(|note| format!("candidate: {note}")));
        }
        let rivals = rivals(&self.against)?;
        subjects.extend(rivals.into_iter().map(|rival| Subject::rival(rival, target)));
        Ok((subjects, notes))
    }

    /// What is replayed under. What was recorded is in the fleet's own hosts already, unless it is asked for otherwise.
    fn conditions(&self, config: &FleetConfig, is_recorded: bool) -> Conditions {
        let peak = match self.hosts_at_peak {
            Some(hosts) => Peak::Hosts(hosts),
            None if is_recorded => Peak::AsRecorded,
            None => Peak::Hosts((config.size.max * 3 / 4).clamp(1, PEAK_MAX)),
        };
        Conditions { boot: self.boot, peak, seed: self.seed, tune: self.tune }
    }
}

fn subject(config: &FleetConfig, name: &str, kind: Kind) -> anyhow::Result<(Subject, Vec<String>)> {
    let replayable = Replayable::of(config).map_err(|error| Usage(format!("{name}: {error}")))?;
    Ok((Subject::policy(name, kind, replayable.policy), replayable.notes))
}

/// A changed file of the fleet.
fn candidate(file: &Path, config: &FleetConfig) -> anyhow::Result<FleetConfig> {
    let changed = crate::config::load_fleet(file).map_err(|errors| {
        for error in &errors.errors {
            output::complain(&format!("error: {error}"));
        }
        let errors = count(errors.errors.len(), "error");
        output::complain(&format!("The candidate was not accepted: {errors} above."));
        anyhow::Error::from(Silent(USAGE))
    })?;
    if changed.name == config.name {
        return Ok(changed);
    }
    let sentence = format!(
        "--candidate {}: it is of the fleet {}; a candidate is a changed file of {}",
        file.display(),
        changed.name,
        config.name
    );
    Err(Usage(sentence).into())
}

fn rivals(names: &[String]) -> Result<Vec<Rival>, Usage> {
    let mut rivals = Vec::new();
    for name in names {
        let meant = match name.trim() {
            "all" => Rival::ALL.to_vec(),
            name => vec![name.parse().map_err(|error| Usage(format!("--against: {error}, and all")))?],
        };
        for rival in meant {
            if !rivals.contains(&rival) {
                rivals.push(rival);
            }
        }
    }
    Ok(rivals)
}

fn parse_target(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(target) if (0.05..=1.0).contains(&target) => Ok(target),
        _ => Err("a utilisation is a number from 0.05 to 1, such as 0.6".to_owned()),
    }
}

fn draw(file: &Path, fleet: &str, replay: &Replay, price: Option<Price>) -> anyhow::Result<()> {
    let captions: Vec<String> =
        replay.outcomes.iter().map(|outcome| report::caption(&outcome.measures, price)).collect();
    let panels = replay.outcomes.iter().zip(&captions).map(|(outcome, caption)| Panel {
        name: &outcome.name,
        caption,
        run: &outcome.run,
    });
    let title = format!("{fleet} over {}", replay.trace);
    std::fs::write(file, chart::svg(&title, &panels.collect::<Vec<_>>()))
        .with_context(|| format!("--chart {}: the picture cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_named_once_each_and_all_is_all() {
        let of = |names: &[&str]| rivals(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["hpa", "gce", "hpa"]).unwrap(), [Rival::Hpa, Rival::Gce]);
        assert_eq!(of(&["gce", "all"]).unwrap().len(), Rival::ALL.len());
        let error = of(&["karpenter"]).unwrap_err().to_string();
        assert!(error.contains("karpenter") && error.contains("keda") && error.contains("all"), "{error}");
    }

    #[test]
    fn a_target_is_a_share() {
        assert!(parse_target("0.6").is_ok());
        for wrong in ["60", "0", "-0.5", "NaN", "hot"] {
            assert!(parse_target(wrong).unwrap_err().contains("0.6"), "{wrong}");
        }
    }
}
