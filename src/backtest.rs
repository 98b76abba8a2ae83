//! Replaying load: what a policy would have done on a day that is known, what it would have cost, and what it would have
//! left unserved.
//!
//! A [`Scaler`] is anything that looks at a fleet now and then and names a size: the shipped decision, or one of the
//! rules that others ship. The plant moves the fleet through the day, and every scaler sees the same one. What came of
//! it is a [`Run`], and the measures are made of runs alone.

pub mod again;
pub mod chart;
pub mod contest;
pub mod measures;
pub mod plant;
pub mod replayable;
pub mod rivals;
pub mod shipped;
pub mod trace;
pub mod tune;

/// Seconds since the start of what is replayed.
pub type Second = u32;

/// One host as a metric system sees it; hosts that drain are not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenHost {
    /// Which; hosts launched later have higher numbers.
    pub id: u32,
    /// When it was asked for.
    pub launched_at: Second,
    /// Since when it has served; `None`: it boots.
    pub ready_at: Option<Second>,
    /// Its utilisation as measured, 0–1, with noise; `None`: it did not answer this time, or does not serve yet.
    pub utilisation: Option<f64>,
}

/// What a scaler may look at.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The moment.
    pub now: Second,
    /// Every host that serves or boots, ordered by id.
    pub hosts: &'a [SeenHost],
    /// The size that was last wanted.
    pub desired: u32,
}

/// Something that sizes a fleet.
pub trait Scaler {
    /// How it is called in tables.
    fn name(&self) -> &str;
    /// How often it looks.
    fn interval(&self) -> Second;
    /// The size it wants from now on. The plant bounds it; 0 is never meant.
    fn size(&mut self, sight: &Sight<'_>) -> u32;
}

/// What came of one scaler on one trace; all series have one value for each step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Seconds between two values.
    pub step: Second,
    /// Load, in hosts that are wholly busy (1.0 is what one host does at 100 %).
    pub load: Vec<f64>,
    /// Hosts it took to serve the load within the service level.
    pub needed: Vec<u32>,
    /// Hosts that served.
    pub serving: Vec<u32>,
    /// Hosts that were paid for: booting, serving and draining.
    pub paid: Vec<u32>,
    /// Load beyond what the hosts that served could take within the service level, in hosts that are wholly busy.
    pub unserved: Vec<f64>,
    /// How many times the size wanted changed.
    pub moves: u32,
}
