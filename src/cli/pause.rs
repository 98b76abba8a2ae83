//! `pause` and `resume`: a person's "not now", and its end.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::context::Context;
use crate::cli::operator::{self, Who};
use crate::cli::output;
use crate::cli::wiring;
use crate::domain::time::after;
use crate::store::{Direction, OperatorActionKind};
use crate::view::words::{moment, parse_reason, parse_span, span};

/// `pause FLEET`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The fleet
    fleet: String,
    /// Which changes stop; out includes the replacement of lost hosts
    #[arg(long, value_enum, default_value_t = Which::Both)]
    direction: Which,
    /// It ends by itself after so long; without it, with `resume`
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
    span: Option<Duration>,
    #[command(flatten)]
    who: Who,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    Out,
    In,
    Both,
}

impl Which {
    fn direction(self) -> Direction {
        match self {
            Self::Out => Direction::Out,
            Self::In => Direction::In,
            Self::Both => Direction::Both,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Out => "scale-out is",
            Self::In => "scale-in is",
            Self::Both => "scale-out and scale-in are",
        }
    }
}

/// `resume FLEET`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The fleet
    fleet: String,
    /// Why, in a few words; it stands in the audit trail
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,
    /// Who asks; by default the user (the one behind sudo) and this machine
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

/// Runs `pause`.
pub(crate) async fn pause(context: &Context, args: &PauseArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let fleet = &context.fleet(&configuration, &args.fleet)?.name;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let until = match args.span {
        Some(length) => {
            format!("until {} ({})", moment(after(store.now().await?, length)), span(length))
        }
        None => "until resumed".to_owned(),
    };
    let message = format!(
        "{fleet}: {} paused {until}. End it with: fleet-scaler resume {fleet}",
        args.direction.words()
    );
    let kind = OperatorActionKind::Pause { direction: args.direction.direction(), span: args.span };
    let who = (args.who.actor.as_deref(), args.who.reason.as_str());
    let recorded = operator::record(store, fleet, who, kind, message).await?;
    output::print(context.format, &recorded)?;
    memory.close().await;
    Ok(())
}

/// Runs `resume`.
pub(crate) async fn resume(context: &Context, args: &ResumeArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let fleet = &context.fleet(&configuration, &args.fleet)?.name;
    let memory = wiring::open(&configuration).await?;
    let message = format!("{fleet}: no pause holds any more; the next evaluation acts again.");
    let who = (args.actor.as_deref(), args.reason.as_deref().unwrap_or("resumed"));
    let recorded = operator::record(memory.store(), fleet, who, OperatorActionKind::Resume, message).await?;
    output::print(context.format, &recorded)?;
    memory.close().await;
    Ok(())
}
