//! The tables that people read.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use fleet_scaler::backtest::measures::Measures;

use crate::field::Contestant;
use crate::trial::{Outcome, is_feasible};
use crate::verdict::{Judged, excess, excess_against, losses, mean};

/// Excess cost side by side, a trial a row. `!` marks what leaves more than a thousandth unserved.
pub(crate) fn trials(judged: &[Judged]) -> Table {
    side_by_side(judged, |outcome| cost(&outcome.chosen))
}

/// The same with nothing tuned.
pub(crate) fn documented(judged: &[Judged]) -> Table {
    side_by_side(judged, |outcome| cost(&outcome.documented))
}

/// Which constants everybody chose.
pub(crate) fn choices(judged: &[Judged]) -> Table {
    side_by_side(judged, |outcome| outcome.contestant.describe(outcome.constants))
}

fn side_by_side(judged: &[Judged], text: impl Fn(&Outcome) -> String) -> Table {
    let names = Contestant::all();
    let head = ["trace", "boot"].into_iter().map(str::to_owned);
    let mut table = fresh(head.chain(names.iter().map(|contestant| contestant.name().to_owned())));
    for trial in judged {
        let cells = names.iter().map(|contestant| match trial.of(*contestant) {
            Some(outcome) => right(&text(outcome)),
            None => right("-"),
        });
        let start = [Cell::new(&trial.trace), right(&format!("{} s", trial.boot))];
        table.add_row(start.into_iter().chain(cells));
    }
    table
}

fn cost(measures: &Measures) -> String {
    let mark = if is_feasible(measures) { " " } else { "!" };
    format!("{:.3}{mark}", excess(measures))
}

/// Everybody's means.
pub(crate) fn overall(judged: &[Judged], of: impl Fn(&Outcome) -> &Measures) -> Table {
    let head = [
        "policy",
        "feasible",
        "θ_U %",
        "θ_O %",
        "τ_U %",
        "unserved %",
        "cost ÷ ideal",
        "moves/h",
        "ours ÷ its excess",
    ];
    let mut table = fresh(head.into_iter().map(str::to_owned));
    for contestant in Contestant::all() {
        let mean = |value: &dyn Fn(&Measures) -> f64| mean(judged, contestant, |outcome| value(of(outcome)));
        let feasible =
            judged.iter().filter_map(|trial| trial.of(contestant)).filter(|outcome| is_feasible(of(outcome)));
        let against =
            excess_against(judged, contestant, &of).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        table.add_row([
            Cell::new(contestant.name()),
            right(&format!("{}/{}", feasible.count(), judged.len())),
            right(&format!("{:.2}", mean(&|m| m.accuracy_under))),
            right(&format!("{:.1}", mean(&|m| m.accuracy_over))),
            right(&format!("{:.2}", mean(&|m| m.time_under))),
            right(&format!("{:.3}", mean(&|m| 100.0 * m.unserved_share))),
            right(&format!("{:.2}", mean(&|m| m.cost_ratio))),
            right(&format!("{:.1}", mean(&|m| m.moves_per_hour))),
            right(&against),
        ]);
    }
    table
}

/// Where ours is worse than somebody, a line each.
pub(crate) fn lost(judged: &[Judged]) -> Vec<String> {
    let infeasible = losses(judged).into_iter().filter_map(|trial| {
        let ours = trial.ours()?;
        let share = 100.0 * ours.chosen.unserved_share;
        Some(format!(
            "{} at {} s: {share:.3} % unserved, where a rival keeps to 0.1 %",
            trial.trace, trial.boot
        ))
    });
    let dearer = judged.iter().filter_map(|trial| {
        let ours = trial.ours().filter(|ours| ours.is_feasible())?;
        let better =
            |outcome: &&Outcome| outcome.is_feasible() && excess(&outcome.chosen) < excess(&ours.chosen);
        let names: Vec<String> = (trial.outcomes.iter().filter(better))
            .map(|outcome| format!("{} {:.3}", outcome.contestant.name(), excess(&outcome.chosen)))
            .collect();
        let cost = excess(&ours.chosen);
        (!names.is_empty())
            .then(|| format!("{} at {} s: excess {cost:.3}, {}", trial.trace, trial.boot, names.join(", ")))
    });
    infeasible.chain(dearer).collect()
}

fn fresh(head: impl Iterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(head);
    table
}

fn right(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
