//! What a decision was made from, in the form in which it is kept with it, so that it can be made again.
//!
//! A [`Snapshot`] is large, and most of it is kept already. The observations before the decision are rows of their own and
//! are only pointed at, by the first and the last of them and their number. The policy is the same for days and is kept
//! once, apart. The rest is the document: a few hundred bytes for each host.
//!
//! The text is kept as it was written and never taken apart by a database: a float is the very one again. It names its
//! format and the program's version. Another format is not read, and of another version no plan is expected to be the
//! same: both are said plainly, since a guess would be taken for an answer. And it has a [seal](Inputs::seal), which stands
//! in the decision's own row, where nobody can change it unseen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::decide::forecast::Forecast;
use crate::decide::plan::Plan;
use crate::decide::policy::Policy;
use crate::decide::signal::{Observation, SignalName};
use crate::decide::snapshot::{
    CloudView, FleetMemory, HostView, OpenLaunch, OperatorRequest, PoolHealth, Snapshot, Unserved,
};
use crate::domain::time::Timestamp;

/// The format that this program writes, and the only one that it reads. It rises with every change of what the snapshot,
/// the policy or the document mean in JSON.
pub const FORMAT: i32 = 1;
/// The version of this program. Two builds of one version are taken for the same program.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// What a decision is made from, and what a commit found out that no snapshot knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// The whole question.
    pub snapshot: Arc<Snapshot>,
    /// Why nothing of what was planned could be bought, in the words of the recorded plan; `None`: it could.
    pub withheld: Option<String>,
}

/// A basis as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The format of both texts.
    pub format: i32,
    /// The version of the program that decided.
    pub program: String,
    /// The policy, as JSON.
    pub policy: String,
    /// Everything else but the observations before this one, as JSON.
    pub document: String,
}

/// Inputs that were read, but for the observations before.
#[derive(Clone, Debug)]
pub struct Opened {
    document: Document<'static>,
    policy: Policy,
}

/// Why a decision cannot be made again from what is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not this program's format.
    #[error("its inputs are kept in format {0}, and this program reads format {FORMAT}")]
    Format(i32),
    /// Another program made it, which may have judged otherwise.
    #[error("version {0} made it, and this is version {PROGRAM}")]
    Program(String),
    /// It should be readable, and is not.
    #[error("its inputs cannot be read: {0}")]
    Broken(String),
    /// The observations that it looked back on are not all there, or others are.
    #[error("it looked back on {needed} observations, and {kept} are kept of that time")]
    Window {
        /// So many are kept.
        kept: usize,
        /// So many it saw.
        needed: usize,
    },
}

/// A snapshot without its policy and its window.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    now: Timestamp,
    hosts: Cow<'a, [HostView]>,
    launches: Cow<'a, [OpenLaunch]>,
    current: Observation,
    window: Option<Stretch>,
    memory: Cow<'a, FleetMemory>,
    requests: Cow<'a, [OperatorRequest]>,
    drains_in_budget: Cow<'a, [Timestamp]>,
    pools: Cow<'a, [PoolHealth]>,
    orphans: u32,
    unserved: Cow<'a, Unserved>,
    cloud: Cow<'a, CloudView>,
    boot_time: Option<Duration>,
    #[serde(default, skip_serializing_if = "is_empty")]
    forecasts: Cow<'a, BTreeMap<SignalName, Forecast>>,
    withheld: Option<Cow<'a, str>>,
}

fn is_empty(forecasts: &BTreeMap<SignalName, Forecast>) -> bool {
    forecasts.is_empty()
}

/// Observations that follow each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stretch {
    first: Timestamp,
    last: Timestamp,
    count: usize,
}

impl Stretch {
    fn of(window: &[Observation]) -> Option<Self> {
        let (first, last) = (window.first()?.at, window.last()?.at);
        Some(Self { first, last, count: window.len() })
    }
}

impl Basis {
    /// The plan that follows from it, as it is recorded.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let mut plan = crate::decide::decide(&self.snapshot);
        if let Some(why) = &self.withheld {
            plan.withhold_launches(why);
        }
        plan
    }

    /// As it is kept.
    ///
    /// # Errors
    ///
    /// None that is known: everything in it has a form in JSON.
    pub fn inputs(&self) -> Result<Inputs, serde_json::Error> {
        // Taken apart by name: a part that is added to the snapshot later cannot be forgotten here.
        let Snapshot {
            now,
            policy,
            hosts,
            launches,
            current,
            window,
            memory,
            requests,
            drains_in_budget,
            pools,
            orphans,
            unserved,
            cloud,
            boot_time,
            forecasts,
        } = &*self.snapshot;
        let document = Document {
            now: *now,
            hosts: hosts.into(),
            launches: launches.into(),
            current: current.clone().finite(),
            window: Stretch::of(window),
            memory: Cow::Borrowed(memory),
            requests: requests.into(),
            drains_in_budget: drains_in_budget.into(),
            pools: pools.into(),
            orphans: *orphans,
            unserved: Cow::Borrowed(unserved),
            cloud: Cow::Borrowed(cloud),
            boot_time: *boot_time,
            forecasts: Cow::Borrowed(forecasts),
            withheld: self.withheld.as_deref().map(Cow::Borrowed),
        };
        Ok(Inputs {
            format: FORMAT,
            program: PROGRAM.to_owned(),
            policy: serde_json::to_string(&**policy)?,
            document: serde_json::to_string(&document)?,
        })
    }
}

impl Inputs {
    /// What the policy is kept under: equal policies are kept once.
    #[must_use]
    pub fn policy_digest(&self) -> String {
        hex(&Sha256::digest(&self.policy))
    }

    /// A digest of everything in it.
    #[must_use]
    pub fn seal(&self) -> String {
        let mut digest = Sha256::new();
        let head = format!("{} {} {}\n", self.format, self.program, self.policy.len());
        for part in [&head, &self.policy, &self.document] {
            digest.update(part);
        }
        hex(&digest.finalize())
    }

    /// Reads them.
    ///
    /// # Errors
    ///
    /// If they are of another format or another program, or damaged.
    pub fn open(&self) -> Result<Opened, Unreadable> {
        if self.format != FORMAT {
            return Err(Unreadable::Format(self.format));
        }
        if self.program != PROGRAM {
            return Err(Unreadable::Program(self.program.clone()));
        }
        let broken = |error: serde_json::Error| Unreadable::Broken(error.to_string());
        Ok(Opened {
            document: serde_json::from_str(&self.document).map_err(broken)?,
            policy: serde_json::from_str(&self.policy).map_err(broken)?,
        })
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(2 * digest.len()), |text, byte| text + &format!("{byte:02x}"))
}

impl Opened {
    /// The times of the first and the last observation that the decision looked back on; `None`: there was none.
    #[must_use]
    pub fn looked_back(&self) -> Option<(Timestamp, Timestamp)> {
        self.document.window.map(|stretch| (stretch.first, stretch.last))
    }

    /// With the observations of that time, oldest first, the whole of it again.
    ///
    /// # Errors
    ///
    /// If they are not those that the decision looked back on.
    pub fn basis(self, window: Vec<Observation>) -> Result<Basis, Unreadable> {
        let Self { document, policy } = self;
        let wanted = document.window.map(|stretch| (stretch.first, stretch.last, stretch.count));
        let found = Stretch::of(&window).map(|stretch| (stretch.first, stretch.last, stretch.count));
        if wanted != found {
            let needed = document.window.map_or(0, |stretch| stretch.count);
            return Err(Unreadable::Window { kept: window.len(), needed });
        }
        let snapshot = Snapshot {
            now: document.now,
            policy: Arc::new(policy),
            hosts: document.hosts.into_owned(),
            launches: document.launches.into_owned(),
            current: document.current,
            window,
            memory: document.memory.into_owned(),
            requests: document.requests.into_owned(),
            drains_in_budget: document.drains_in_budget.into_owned(),
            pools: document.pools.into_owned(),
            orphans: document.orphans,
            unserved: document.unserved.into_owned(),
            cloud: document.cloud.into_owned(),
            boot_time: document.boot_time,
            forecasts: document.forecasts.into_owned(),
        };
        Ok(Basis { snapshot: Arc::new(snapshot), withheld: document.withheld.map(Cow::into_owned) })
    }
}
