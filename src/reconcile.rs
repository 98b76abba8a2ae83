//! The loop: observe, decide, act.
//!
//! There is no recovery code. A tick looks at the rows and at the cloud and moves each launch and each host one step; a
//! process that was killed anywhere finds the rows as they are and does the same. Outside pokes (a signal, a changed
//! file) carry no data: they only make a tick come sooner.
//!
//! | file | what it does in a tick |
//! |---|---|
//! | [`observe`] | the cloud and the target groups, as three-valued facts about each host |
//! | [`sweep`] | what those facts mean for rows: hosts advance, get lost, or are adopted |
//! | [`tick`] | the order of things: lease, load, observe, decide, commit, act |
//! | [`desk`] | what every step of a tick works with |
//! | [`scene`], [`commit`] | everything one decision is made from; the plan as rows, before anything is asked |
//! | [`foresight`] | what load is expected, kept fresh |
//! | [`launch`], [`drain`] | one step for each open intent and each host on its way in or out |
//! | [`calls`] | the one way to a mutating call: row first, then the call, then its outcome |
//! | `reads` | reads of the cloud that fail, told in the log |
//! | `spans` | the steps of a tick, for whoever collects traces |
//! | [`roster`] | which fleets this replica should hold, where several share them |
//! | [`pace`] | how long to wait before the same thing again |
//! | [`control`] | what the outside may know and ask while the loop runs |
//! | [`driver`] | the only spawns |

pub mod calls;
pub mod commit;
pub mod control;
pub mod desk;
pub mod drain;
pub mod driver;
pub mod foresight;
pub mod health;
pub mod launch;
pub mod observe;
pub mod pace;
pub mod preview;
mod reads;
pub mod references;
pub mod roster;
pub mod scene;
mod spans;
pub mod sweep;
mod telemetry;
pub mod tick;
mod unowned;

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::ids::ReplicaId;
use crate::entropy::Entropy;
use crate::provider::CloudProvider;
use crate::signals::SignalSource;
use crate::store::Store;

/// What the loop is made of: the contracts, whoever implements them.
#[derive(Clone)]
pub struct Parts {
    /// This process.
    pub replica: ReplicaId,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The cloud.
    pub cloud: Arc<dyn CloudProvider>,
    /// Measured numbers.
    pub signals: Arc<dyn SignalSource>,
    /// Memory.
    pub store: Arc<dyn Store>,
}
