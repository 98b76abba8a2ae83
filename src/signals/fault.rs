//! What can go wrong with a measurement, by name, and how much of it is told.

use crate::signals::SignalFault;

/// Faults of one harvest at most; the rest is a number.
pub const FAULTS_MAX: usize = 20;
/// Characters of one fault's message at most.
pub const MESSAGE_CHARS_MAX: usize = 300;

/// The class of a fault: what metrics count it under.
///
/// Declared in the order in which people want to hear of them, because only the first [`FAULTS_MAX`] are told: first
/// what is hostile or wrong and stays so until somebody mends it, last what mends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    /// The address may not be asked.
    Address,
    /// The answer points elsewhere.
    Redirect,
    /// The answer is larger than allowed.
    TooLarge,
    /// The answer is not what the format says.
    Malformed,
    /// No complete answer by the deadline.
    Timeout,
    /// Never asked: others of its fleet held all connections until the deadline.
    NotAsked,
    /// No connection.
    Refused,
    /// The connection broke, or did not speak HTTP.
    Broken,
    /// An answer that says it is none.
    Status,
    /// NaN or infinite.
    NotFinite,
    /// Not possible for its signal.
    OutOfRange,
    /// A series or a sample occurs twice.
    Duplicate,
    /// More than one number where one was asked for.
    Ambiguous,
    /// Old, out of order, or a counter that stands still.
    Stale,
    /// A counter that went back.
    Reset,
    /// Nothing there.
    NoData,
    /// A counter's first sample: a rate takes two.
    First,
}

impl FaultClass {
    /// The name that metrics carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::NotAsked => "not_asked",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Status => "status",
            Self::NotFinite => "not_finite",
            Self::OutOfRange => "out_of_range",
            Self::Duplicate => "duplicate",
            Self::Ambiguous => "ambiguous",
            Self::Stale => "stale",
            Self::Reset => "reset",
            Self::NoData => "no_data",
            Self::First => "first",
        }
    }

    /// Whether this is a scrape that failed, rather than one that answered with something unacceptable. Only for the
    /// former may the value before stand in: an answer that is too large, points elsewhere or does not parse is
    /// evidence that something is wrong with the host, and no reason to believe what it said earlier.
    #[must_use]
    pub fn is_silence(self) -> bool {
        matches!(self, Self::Timeout | Self::NotAsked | Self::Refused | Self::Broken | Self::Status)
    }
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: FaultClass,
    /// What happened, for a person.
    pub message: String,
}

impl Failure {
    /// A failure of this class.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// A failure and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The host, or the query's name.
    pub source: String,
    /// What failed.
    pub failure: Failure,
}

/// The faults that are told, each of bounded length: those of queries, of which there are few, then those of hosts; of
/// each the worst first.
#[must_use]
pub fn told(mut queries: Vec<Fault>, mut hosts: Vec<Fault>) -> Vec<SignalFault> {
    for faults in [&mut queries, &mut hosts] {
        faults.sort_by(|a, b| (a.failure.class, &a.source).cmp(&(b.failure.class, &b.source)));
    }
    let total = queries.len() + hosts.len();
    let faults = queries.into_iter().chain(hosts).take(FAULTS_MAX);
    let mut told: Vec<SignalFault> = faults
        .map(|fault| SignalFault {
            source: shortened(&fault.source),
            class: fault.failure.class.as_str(),
            message: shortened(&fault.failure.message),
        })
        .collect();
    if total > FAULTS_MAX {
        let more = total - FAULTS_MAX;
        told.push(SignalFault {
            source: "all".to_owned(),
            class: "more",
            message: format!("and {more} more"),
        });
    }
    told
}

/// Cuts a text and makes it harmless to print: parts of it come from strangers.
#[must_use]
pub fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut out: String = chars.by_ref().take(MESSAGE_CHARS_MAX - 1).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
