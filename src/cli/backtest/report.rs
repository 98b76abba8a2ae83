//! What a replay comes to, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::backtest::measures::Measures;
use crate::cli::backtest::money::Price;
use crate::cli::backtest::replay::{Conditions, Kind, Outcome, Replay};
use crate::cli::output;
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table};
use crate::cli::output::text::Text;
use crate::config::fleet::FleetConfig;
use crate::domain::ids::FleetName;
use crate::view::words::span;

/// The whole result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    fleet: FleetName,
    seed: u64,
    boot_seconds: u64,
    /// What an instance costs an hour.
    price: Option<Price>,
    tuned: bool,
    traces: Vec<TraceRow>,
    /// What is not as the files say, and what is to be known of the load.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TraceRow {
    trace: String,
    step_seconds: u32,
    /// Hosts that the load takes, but for one moment in a thousand.
    hosts_at_peak: f64,
    /// Of the trace, what constants were found on; 0: none were.
    tuned_on_seconds: u64,
    /// Of the trace, what the numbers are of.
    seconds: u64,
    scalers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    scaler: String,
    kind: Kind,
    settings: String,
    #[serde(flatten)]
    measures: Measures,
    /// Cost ÷ ideal − 1.
    excess_cost: f64,
    /// η against the policy in force.
    speed_up: f64,
    /// Money for the hosts that were paid for.
    cost: Option<f64>,
    /// Money for the hosts that were needed.
    ideal_cost: Option<f64>,
}

impl Report {
    pub(super) fn of(
        config: &FleetConfig,
        conditions: &Conditions,
        price: Option<Price>,
        seed: u64,
        notes: Vec<String>,
        replays: &[Replay],
    ) -> Self {
        Self {
            fleet: config.name.clone(),
            seed,
            boot_seconds: conditions.boot.as_secs(),
            price,
            tuned: conditions.tune,
            traces: replays.iter().map(|replay| TraceRow::of(replay, price)).collect(),
            notes,
        }
    }
}

impl TraceRow {
    fn of(replay: &Replay, price: Option<Price>) -> Self {
        let baseline = replay.outcomes.first().map(|outcome| outcome.measures);
        Self {
            trace: replay.trace.clone(),
            step_seconds: replay.trace_step,
            hosts_at_peak: replay.hosts_at_peak,
            tuned_on_seconds: replay.tuned_on.as_secs(),
            seconds: replay.length.as_secs(),
            scalers: replay
                .outcomes
                .iter()
                .map(|outcome| Row::of(outcome, baseline.as_ref(), price))
                .collect(),
        }
    }

    fn heading(&self, report: &Report) -> String {
        let length = |seconds| span(Duration::from_secs(seconds));
        let tuned = match self.tuned_on_seconds {
            0 => String::new(),
            seconds => format!(" after {} that the constants were found on", length(seconds)),
        };
        format!(
            "{} over {}: {}{tuned}; {} hosts at the peak, boot {}, seed {}",
            report.fleet,
            self.trace,
            length(self.seconds),
            self.hosts_at_peak.ceil(),
            length(report.boot_seconds),
            report.seed
        )
    }

    /// What it cost and what it left undone.
    fn rows(&self, room: Room) -> String {
        let columns = ["SCALER", "UNSERVED", "SHORT FOR", "HOST-HOURS", "÷ IDEAL", "COST", "MOVES/H"];
        laid_out(figures(columns), self.scalers.iter().map(Row::bill), room)
    }

    /// How each was set up.
    fn settings(&self, room: Room) -> String {
        let lines = self.scalers.iter().map(|row| [row.scaler.clone(), row.settings.clone()]);
        laid_out(["SCALER", "SETTINGS"].map(Column::new), lines, room)
    }

    /// The measures of the literature.
    fn measures(&self, room: Room) -> String {
        let columns = ["SCALER", "θ_U", "θ_O", "τ_U", "τ_O", "K", "K′", "JITTER", "η"];
        laid_out(figures(columns), self.scalers.iter().map(Row::elasticity), room)
    }

    /// What a candidate changes.
    fn verdict(&self, room: Room) -> Option<String> {
        let in_force = self.scalers.first()?;
        let candidate = self.scalers.iter().find(|row| row.kind == Kind::Candidate)?;
        let (old, new) = (&in_force.measures, &candidate.measures);
        let change = 100.0 * (new.host_hours / old.host_hours.max(f64::MIN_POSITIVE) - 1.0);
        let share = |share: f64| format!("{:.3} %", 100.0 * share);
        let line = |what: &str, old: String, new: String| [what.to_owned(), old, "->".to_owned(), new];
        let mut lines = vec![
            line("unserved", share(old.unserved_share), share(new.unserved_share)),
            line(
                "host-hours",
                format!("{:.1}", old.host_hours),
                format!("{:.1} ({change:+.1} %)", new.host_hours),
            ),
            line("moves/h", format!("{:.1}", old.moves_per_hour), format!("{:.1}", new.moves_per_hour)),
        ];
        if let (Some(old), Some(new)) = (in_force.cost, candidate.cost) {
            lines.push(line("cost", format!("{old:.2}"), format!("{new:.2} ({:+.2})", new - old)));
        }
        Some(laid_out(["THE CANDIDATE", "NOW", "", "THEN"].map(Column::new), lines, room))
    }
}

/// Columns of which the first holds names, and the others numbers.
fn figures<const N: usize>(titles: [&'static str; N]) -> [Column; N] {
    let mut is_first = true;
    titles
        .map(|title| if std::mem::take(&mut is_first) { Column::new(title) } else { Column::numbers(title) })
}

fn laid_out<const N: usize>(
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
    room: Room,
) -> String {
    Table::new(columns, rows.into_iter().map(|row| row.map(Text::from))).paint(room)
}

impl Row {
    fn of(outcome: &Outcome, baseline: Option<&Measures>, price: Option<Price>) -> Self {
        let measures = outcome.measures;
        Self {
            scaler: outcome.name.clone(),
            kind: outcome.kind,
            settings: outcome.settings.clone(),
            excess_cost: measures.excess_cost(),
            speed_up: baseline.map_or(1.0, |baseline| measures.speed_up_over(baseline)),
            cost: price.map(|price| price.of(measures.host_hours)),
            ideal_cost: price.map(|price| price.of(measures.ideal_host_hours)),
            measures,
        }
    }

    fn bill(&self) -> [String; 7] {
        let measures = &self.measures;
        [
            self.scaler.clone(),
            format!("{:.3} %", 100.0 * measures.unserved_share),
            span(Duration::from_secs(measures.under_provisioned_seconds)),
            format!("{:.1}", measures.host_hours),
            format!("{:.2}", measures.cost_ratio),
            self.cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.2}")),
            format!("{:.1}", measures.moves_per_hour),
        ]
    }

    fn elasticity(&self) -> [String; 9] {
        let measures = &self.measures;
        let percent = |value: f64| format!("{value:.2} %");
        [
            self.scaler.clone(),
            percent(measures.accuracy_under),
            percent(measures.accuracy_over),
            percent(measures.time_under),
            percent(measures.time_over),
            percent(measures.instability_up),
            percent(measures.instability_down),
            format!("{:.3}", measures.jitter),
            format!("{:.2}", self.speed_up),
        ]
    }
}

impl output::Report for Report {
    fn table(&self, room: Room) -> String {
        let mut page = String::new();
        for trace in &self.traces {
            let parts = [trace.heading(self), trace.rows(room), trace.measures(room), trace.settings(room)];
            let _ = write!(page, "{}\n\n", parts.join("\n\n"));
            if let Some(verdict) = trace.verdict(room) {
                let _ = write!(page, "{verdict}\n\n");
            }
        }
        for note in &self.notes {
            let _ = writeln!(page, "Note: {note}.");
        }
        page.trim_end().to_owned()
    }
}

/// What came of somebody, beside a picture of it.
pub(super) fn caption(measures: &Measures, price: Option<Price>) -> String {
    let mut words = format!(
        "{:.3} % unserved, {:.1} host-hours ({:.2} × ideal), {:.1} moves an hour",
        100.0 * measures.unserved_share,
        measures.host_hours,
        measures.cost_ratio,
        measures.moves_per_hour
    );
    if let Some(price) = price {
        let _ = write!(words, ", cost {:.2}", price.of(measures.host_hours));
    }
    words
}
