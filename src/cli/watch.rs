//! `--watch`: the same look again and again, until Ctrl-C.
//!
//! On a terminal the page is drawn over the one before; elsewhere each look is a block of its own under its time, and
//! with `--output json` a document of its own. The first look has to succeed, so that a wrong name or address shows at
//! once. After that whatever fails is said and tried again: who watches an outage wants to see its end.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use crate::cli::context::{Context, environment};
use crate::cli::exit::sentence;
use crate::cli::output::room::Room;
use crate::cli::output::text::{BAD, DIM, Text};
use crate::cli::output::{self, Format, Report, table};
use crate::cli::stop::Stop;
use crate::cli::wiring;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Configuration;
use crate::domain::time::{Timestamp, since};
use crate::store::postgres::PostgresStore;
use crate::view::words::{count, moment, parse_span, span};

/// The cursor to the first column of the first line (ECMA-48, CUP).
const HOME: &str = "\u{1b}[H";
/// The rest of the line away (EL).
const REST_OF_LINE: &str = "\u{1b}[K";
/// The rest of the screen away (ED).
const REST_OF_SCREEN: &str = "\u{1b}[J";

/// How a command is repeated.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Look again and again, until Ctrl-C; an outage of the database is said and waited out
    #[arg(long)]
    watch: bool,
    /// Between two looks: 1s to 1h
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = parse_interval, requires = "watch")]
    interval: Duration,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_span(text)?;
    let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
    bounds.contains(&interval).then_some(interval).ok_or_else(|| "write a span from 1s to 1h".to_owned())
}

/// Looks once and prints, or again and again.
pub(crate) async fn show<R: Report>(
    context: &Context,
    args: &WatchArgs,
    look: impl AsyncFn(&Configuration, &PostgresStore) -> anyhow::Result<R>,
) -> anyhow::Result<()> {
    // From here on an interrupt ends the watch and does not kill it, also before the first look is over.
    let stop = if args.watch { Some(Stop::listen()?) } else { None };
    let configuration = context.configuration()?;
    let memory = wiring::open(&configuration).await?;
    let result = match stop {
        None => look(&configuration, &memory.store)
            .await
            .and_then(|report| output::print(context.format, &report)),
        Some(mut stop) => {
            let mut watch = Watch::of(context, args, configuration);
            tokio::select! {
                biased;
                () = stop.asked() => Ok(()),
                failed = watch.run(&memory.store, look) => failed,
            }
        }
    };
    memory.close().await;
    result
}

/// A watch that goes on.
struct Watch<'a> {
    context: &'a Context,
    interval: Duration,
    /// The last that was accepted.
    configuration: Configuration,
    /// The page of the last look that succeeded.
    page: String,
    trouble: Option<Trouble>,
}

/// Looks that failed in a row.
struct Trouble {
    since: Timestamp,
    looks: usize,
    what: String,
}

impl<'a> Watch<'a> {
    fn of(context: &'a Context, args: &WatchArgs, configuration: Configuration) -> Self {
        Self { context, interval: args.interval, configuration, page: String::new(), trouble: None }
    }

    /// Ends only when the first look fails, or nobody reads any more.
    async fn run<R: Report>(
        &mut self,
        store: &PostgresStore,
        look: impl AsyncFn(&Configuration, &PostgresStore) -> anyhow::Result<R>,
    ) -> anyhow::Result<()> {
        let mut report = Ok(look(&self.configuration, store).await?);
        loop {
            self.tell(report)?;
            tokio::time::sleep(self.interval).await;
            // A folder that does not validate changes nothing, here as in the service.
            if let Ok(configuration) = crate::config::load(&self.context.dir, &environment) {
                self.configuration = configuration;
            }
            report = look(&self.configuration, store).await;
        }
    }

    fn tell<R: Report>(&mut self, report: anyhow::Result<R>) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let room = Room::of_stdout();
        match report {
            Err(error) => {
                let trouble = self.trouble.get_or_insert_with(|| Trouble::new(now));
                trouble.looks += 1;
                trouble.what = sentence(&error);
            }
            Ok(report) => {
                self.trouble = None;
                if self.context.format == Format::Json {
                    return output::print(self.context.format, &report);
                }
                self.page = report.table(room);
            }
        }
        if self.context.format == Format::Json {
            let trouble = self.trouble.as_ref().map(|trouble| trouble.sentence(now, self.interval));
            output::complain(&trouble.unwrap_or_default());
            return Ok(());
        }
        if output::can_be_redrawn() {
            return output::raw(&screen(&output::shown(&self.screenful(now, room)), room.height));
        }
        let block = match &self.trouble {
            None => self.page.clone(),
            Some(trouble) => trouble.paint(now, self.interval, room),
        };
        output::line(&output::shown(&format!("{}\n{block}\n", Text::styled(DIM, moment(now)).paint())))
    }

    /// What is drawn over the page before: also while nothing can be asked, what was known last.
    fn screenful(&self, now: Timestamp, room: Room) -> String {
        let title = format!("{}, every {}; Ctrl-C ends it", moment(now), span(self.interval));
        let mut text = format!("{}\n\n", Text::styled(DIM, title).paint());
        if let Some(trouble) = &self.trouble {
            let _ = write!(text, "{}\n\n", trouble.paint(now, self.interval, room));
        }
        text + &self.page
    }
}

impl Trouble {
    fn new(since: Timestamp) -> Self {
        Self { since, looks: 0, what: String::new() }
    }

    fn sentence(&self, now: Timestamp, interval: Duration) -> String {
        format!(
            "No answer for {} ({}): {}; trying again every {}",
            span(since(now, self.since)),
            count(self.looks, "look"),
            self.what,
            span(interval)
        )
    }

    fn paint(&self, now: Timestamp, interval: Duration, room: Room) -> String {
        table::sentence(&self.sentence(now, interval), BAD, room)
    }
}

/// A page over the one before, line by line, so that nothing flickers; as much of it as the screen is high.
fn screen(page: &str, height: Option<usize>) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let fits = height.map_or(lines.len(), |height| height.saturating_sub(1).max(1));
    let mut screen = HOME.to_owned();
    if lines.len() <= fits {
        for line in &lines {
            let _ = write!(screen, "{line}{REST_OF_LINE}\r\n");
        }
    } else {
        for line in lines.iter().take(fits.saturating_sub(1)) {
            let _ = write!(screen, "{line}{REST_OF_LINE}\r\n");
        }
        let more = count(lines.len() - fits.saturating_sub(1), "more line");
        let _ = write!(screen, "… {more}{REST_OF_LINE}\r\n");
    }
    screen + REST_OF_SCREEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_too_high_says_what_is_missing() {
        let page = "one\ntwo\nthree\nfour";
        let drawn = |height| screen(page, height);
        assert_eq!(drawn(Some(5)), drawn(None));
        assert_eq!(drawn(Some(5)).matches(REST_OF_LINE).count(), 4);
        let short = drawn(Some(4));
        assert!(short.contains("two") && !short.contains("three"), "{short:?}");
        assert!(short.contains("… 2 more lines"), "{short:?}");
        assert!(drawn(Some(1)).ends_with(REST_OF_SCREEN));
    }

    #[test]
    fn an_interval_is_a_second_to_an_hour() {
        assert_eq!(parse_interval("5s").unwrap(), Duration::from_secs(5));
        for text in ["500ms", "61m", "0s", "often"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_outage_says_how_long_it_lasts() {
        let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
        let trouble = Trouble { since: at(0), looks: 3, what: "the database is away".to_owned() };
        assert_eq!(
            trouble.sentence(at(65), Duration::from_secs(2)),
            "No answer for 1m5s (3 looks): the database is away; trying again every 2s"
        );
    }
}
