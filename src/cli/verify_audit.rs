//! `verify-audit`: is the history still what was written?

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::{FAILED, Silent};
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table, number};
use crate::cli::output::text::{BAD, GOOD, Text};
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::store::postgres::ChainReport;

/// Runs it.
pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let database = wiring::database(&configuration).await?;
    let verified = wiring::verify_audit(&database).await;
    database.close().await;
    let report = Verified { chains: verified? };
    output::print(context.format, &report)?;
    if report.is_whole() { Ok(()) } else { Err(Silent(FAILED).into()) }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Verified {
    chains: Vec<ChainReport>,
}

impl Verified {
    fn is_whole(&self) -> bool {
        self.chains.iter().all(|chain| chain.problems.is_empty())
    }
}

impl Report for Verified {
    fn table(&self, room: Room) -> String {
        if self.chains.is_empty() {
            return "There is no history yet.".to_owned();
        }
        let columns =
            [Column::new("CHAIN"), Column::numbers("EVENTS"), Column::new("VERDICT"), Column::new("HEAD")];
        let rows = self.chains.iter().map(|chain| {
            let name = if chain.fleet.is_empty() { "(the service)" } else { &chain.fleet };
            let verdict = if chain.problems.is_empty() {
                Text::styled(GOOD, "whole")
            } else {
                Text::styled(BAD, "CHANGED")
            };
            let head = chain.head.as_deref().unwrap_or("-");
            [name.into(), number(chain.events), verdict, head.into()]
        });
        let chains = Table::new(columns, rows).paint(room);
        let problems = self.chains.iter().flat_map(|chain| {
            chain.problems.iter().map(|problem| {
                let place = problem.seq.map(|seq| format!(" event {seq}")).unwrap_or_default();
                format!("\n{}{place}: {}", chain.fleet, problem.problem)
            })
        });
        chains + &problems.collect::<String>()
    }
}
