//! What scale-in must be able to cite: a full window of sizes that were recommended, and a quorum of hosts heard.
//!
//! Adding a host for a wrong reason costs money; taking one away for a wrong reason costs service. So nothing is taken
//! away on the word of a window with holes in it: the service may have been down, or deaf, while the load was high.

use std::time::Duration;

use crate::decide::census::Census;
use crate::decide::ground::Ground;
use crate::decide::rules::since_last_change;
use crate::decide::signal::{Observation, split_host_signal};
use crate::domain::time::{Timestamp, after, before, since};

/// What the window says of going below the size wanted so far.
pub(super) enum Window {
    /// Nothing against any size from this one up; the ground to show.
    From(u32, Ground),
    /// Not yet.
    No(Ground),
}

/// The highest size recommended within the window, if the window is whole.
pub(super) fn window(census: &Census<'_>, recommended: u32) -> Window {
    let span = census.policy.scale_in.window;
    let current = &census.snapshot.current;
    let from = before(census.now, span);
    let window = &census.snapshot.window;
    let inside = window.iter().filter(|seen| seen.at >= from && seen.at < current.at);
    if let Some(ground) = hole(census, from) {
        return Window::No(ground);
    }
    let mut highest = (recommended, current.at);
    for seen in inside {
        match seen.recommended {
            None => return Window::No(blind(census, from)),
            // The latest of equals is the one that leaves the window last.
            Some(size) if size >= highest.0 && (size > recommended) => highest = (size, seen.at),
            Some(_) => {}
        }
    }
    let (highest, at) = highest;
    if highest >= census.desired {
        return Window::No(Ground::WindowHigher { highest, at, free_at: after(at, span) });
    }
    Window::From(highest, Ground::WindowAgrees { highest, span })
}

/// Where the window begins too late, or nothing was observed for too long.
fn hole(census: &Census<'_>, from: Timestamp) -> Option<Ground> {
    let (span, interval) = (census.policy.scale_in.window, census.policy.interval);
    let mut times: Vec<Timestamp> = census.snapshot.window.iter().map(|seen| seen.at).collect();
    times.push(census.snapshot.current.at);
    times.sort_unstable();
    let oldest = times.first().copied().unwrap_or(census.now);
    if oldest > after(from, interval.saturating_mul(3) / 2) {
        let reaches = since(census.now, oldest);
        return Some(Ground::WindowShort { reaches, span, free_at: after(oldest, span) });
    }
    let most = gap_allowed(span, interval);
    let gap =
        times.windows(2).rev().find(|pair| pair[1] >= from && since(pair[1], pair[0].max(from)) > most)?;
    Some(Ground::WindowGap { gap: since(gap[1], gap[0]), at: gap[1], free_at: after(gap[1], span) })
}

/// A restart or a change of replica takes some ticks, and the window goes on as if nothing had happened; an outage that
/// is a good part of the window does not.
fn gap_allowed(span: Duration, interval: Duration) -> Duration {
    interval.saturating_mul(3).max((span / 2).min(Duration::from_mins(1)))
}

fn blind(census: &Census<'_>, from: Timestamp) -> Ground {
    let blind = census.snapshot.window.iter().filter(|seen| seen.at >= from && seen.recommended.is_none());
    let at = blind.map(|seen| seen.at).max().unwrap_or(census.now);
    Ground::WindowBlind { at, free_at: after(at, census.policy.scale_in.window) }
}

/// Whether enough hosts were heard in every observation that the opinions rest on.
pub(super) fn quorum(census: &Census<'_>) -> Option<Ground> {
    let policy = census.policy;
    let asked_of_hosts = policy.signals().iter().any(|name| split_host_signal(name).is_some());
    if !asked_of_hosts {
        return None;
    }
    let inward = policy.rules.iter().filter(|rule| !rule.action.is_out());
    let depth = inward.map(|rule| rule.sustained.of).max().unwrap_or(1).max(1);
    since_last_change(census).take(depth as usize).find_map(|seen| too_few(seen, policy.quorum))
}

fn too_few(seen: &Observation, quorum: f64) -> Option<Ground> {
    let (heard, asked) = (seen.hosts_heard, seen.hosts_asked);
    let enough = f64::from(heard) + 1e-9 >= quorum * f64::from(asked) && heard > 0;
    (!enough).then_some(Ground::NoQuorum { heard, asked, quorum, at: seen.at })
}
