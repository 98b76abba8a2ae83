//! The pictures of the results: every trial of one boot time at a glance, and each trace as it was lived through.

use std::fmt::Write as _;
use std::path::Path;

use fleet_scaler::backtest::Run;
use fleet_scaler::backtest::chart::{self, Panel};
use fleet_scaler::backtest::rivals::Rival;

use crate::field::Contestant;
use crate::trial::{Trial, is_feasible};
use crate::verdict::{Judged, excess};

/// The boot time of the trials that are drawn, in seconds.
const BOOT: u32 = 60;
/// Who is drawn, in which colour.
const DRAWN: [(Contestant, &str); 4] = [
    (Contestant::Ours, "#1f6feb"),
    (Contestant::Rival(Rival::Hpa), "#bf8700"),
    (Contestant::Rival(Rival::Gce), "#1a7f37"),
    (Contestant::Rival(Rival::Ec2TargetTracking), "#cf222e"),
];

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 330.0;
const HEAD: f64 = 90.0;
const ROW: f64 = 26.0;
/// The excess costs at the ends of the axis, and where it has lines.
const ENDS: (f64, f64) = (0.01, 10.0);
const LINES: [f64; 7] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Draws them into a folder: `excess.svg`, and for each trace a picture of its name.
pub(crate) fn draw(folder: &Path, trials: &[Trial<'_>], judged: &[Judged]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("excess.svg"), dots(judged))?;
    for trial in trials.iter().filter(|trial| trial.boot == BOOT) {
        if let Some(found) = judged.iter().find(|one| one.trace == trial.trace && one.boot == BOOT) {
            std::fs::write(folder.join(format!("{}.svg", trial.trace)), lived(trial, found))?;
        }
    }
    Ok(())
}

/// The excess cost of each on each trace: filled where it served enough, hollow where it did not.
fn dots(judged: &[Judged]) -> String {
    let rows: Vec<&Judged> = judged.iter().filter(|one| one.boot == BOOT).collect();
    let floor = HEAD + rows.len() as f64 * ROW;
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {0}\" width=\"{WIDTH}\" height=\"{0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#1f2328\">\n\
         <title>Excess cost at a boot time of {BOOT} s</title>\n<rect width=\"{WIDTH}\" height=\"{0}\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"28\" font-size=\"17\" font-weight=\"600\">Excess cost at a boot time of {BOOT} s</text>\n\
         <text x=\"20\" y=\"48\" fill=\"#6b7785\">hosts paid for, over those needed, less one; hollow: more than 0.1 % of \
         the load unserved</text>\n",
        floor + 40.0
    );
    for (place, (contestant, colour)) in DRAWN.iter().enumerate() {
        let x = LEFT + place as f64 * 165.0;
        let _ = writeln!(
            page,
            "<circle cx=\"{x}\" cy=\"66\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"70\">{}</text>",
            x + 10.0,
            contestant.name()
        );
    }
    for line in LINES {
        let x = along(line);
        let _ = writeln!(
            page,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD}\" y2=\"{floor}\" stroke=\"#e7eaee\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{line}</text>",
            floor + 18.0
        );
    }
    for (place, row) in rows.iter().enumerate() {
        let y = HEAD + (place as f64 + 0.5) * ROW;
        let _ = writeln!(
            page,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 20.0,
            y + 4.0,
            row.trace
        );
        // Ours is drawn last, above the others.
        for (contestant, colour) in DRAWN.iter().rev() {
            let Some(outcome) = row.of(*contestant) else { continue };
            let fill = if is_feasible(&outcome.chosen) { colour } else { "#ffffff" };
            let x = along(excess(&outcome.chosen));
            let _ = writeln!(
                page,
                "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"5\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
            );
        }
    }
    page.push_str("</svg>\n");
    page
}

/// Where an excess cost stands on the axis, which is logarithmic.
fn along(excess: f64) -> f64 {
    let share = (excess.clamp(ENDS.0, ENDS.1) / ENDS.0).ln() / (ENDS.1 / ENDS.0).ln();
    LEFT + share * (WIDTH - LEFT - 40.0)
}

/// One trace, as each of them lived through what was judged.
fn lived(trial: &Trial<'_>, found: &Judged) -> String {
    let runs: Vec<(&str, String, Run)> = DRAWN
        .iter()
        .filter_map(|(contestant, _)| found.of(*contestant))
        .map(|outcome| {
            let measures = &outcome.chosen;
            let caption = format!(
                "excess cost {:.2}, {:.3} % unserved, {:.1} moves/h",
                measures.excess_cost(),
                100.0 * measures.unserved_share,
                measures.moves_per_hour
            );
            let contestant = outcome.contestant;
            (contestant.name(), caption, trial.judged_part(|| contestant.with(outcome.constants)))
        })
        .collect();
    let panels: Vec<Panel<'_>> =
        runs.iter().map(|(name, caption, run)| Panel { name, caption, run }).collect();
    chart::svg(&format!("{}, boot {BOOT} s: the two thirds that are judged", trial.trace), &panels)
}
