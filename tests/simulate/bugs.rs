//! Deliberate bugs, one at a time, to see that the checker would find them.
//!
//! A bug is planted at a seam: what the loop is told, what it asks, or how it is configured is bent as the bug would bend
//! it, and the checker goes on judging by the truth. So the program that is judged is the one that is shipped, without a
//! switch in it.

use std::time::Duration;

use fleet_scaler::config::fleet::FleetConfig;

macro_rules! bugs {
    ($($variant:ident $name:literal $what:literal,)*) => {
        /// One deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug { $($variant,)* }

        impl Bug {
            /// Every bug.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that one asks for it by.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does wrong.
            pub(crate) fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
        }
    };
}

bugs! {
    NewTokenAfterLostReply "new-token-after-lost-reply" "an unknown launch is taken for a refused one: a new token in the same zone",
    NextZoneAfterTimeOut "next-zone-after-time-out" "an unknown launch is taken for a dry pool: a new token in the next zone",
    ReservationDroppedOnUnknown "reservation-dropped-on-unknown" "an unknown launch no longer counts under the ceiling",
    CeilingIgnored "ceiling-ignored" "three hosts more than max are let through",
    FloorIgnored "floor-ignored" "hosts are drained below min",
    TerminateBeforeDrained "terminate-before-drained" "a draining target is taken for one that was let go",
    TerminateWithoutDeregistering "terminate-without-deregistering" "no group is told before a host ends",
    LostReplyTakenForDone "lost-reply-taken-for-done" "an unanswered deregistration is taken for a done one",
    DrainTakenBackTooLate "drain-taken-back-too-late" "a drain is cancelled though a group was told",
    ForeignInstancesTaken "foreign-instances-taken" "instances without our tag are taken for ours",
    OrphansAdoptedAtFirstSight "orphans-adopted-at-first-sight" "one sighting is enough to adopt an instance",
    CallBeforeRow "call-before-row" "a call's row is written after the call",
    QuorumIgnored "quorum-ignored" "scale-in on the word of a few hosts",
    AveragesOverMissingHosts "averages-over-missing-hosts" "a silent host is taken for an idle one",
    CooldownInMemoryOnly "cooldown-in-memory-only" "a new process knows of no cooldown",
    CooldownIgnored "cooldown-ignored" "no change waits for the last one",
    FenceNotChecked "fence-not-checked" "a write goes through under whatever epoch is current",
    LeaseNotRenewed "lease-not-renewed-before-calls" "a call starts on a lease that may have run out",
    BudgetIgnored "budget-ignored" "any number of terminations in any time",
    AbsenceTakenForDeath "absence-taken-for-death" "an instance that a list lags behind on is taken for dead",
    DeadHostsBelieved "dead-hosts-believed" "a terminated instance is taken for a running one",
    IntentForgotten "intent-forgotten" "an unanswered launch is never asked about again",
}

impl Bug {
    /// The bug of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }

    /// A fleet's configuration as the bug makes the loop see it.
    pub(crate) fn bend(self, config: &mut FleetConfig) {
        match self {
            Self::CeilingIgnored => config.size.max += 3,
            Self::FloorIgnored => config.size.min = 0,
            Self::QuorumIgnored => config.metrics.host.quorum = 0.0,
            Self::CooldownIgnored => {
                config.cooldown.scale_out = Duration::ZERO;
                config.cooldown.scale_in = Duration::ZERO;
            }
            Self::BudgetIgnored => config.safety.budget_count = 1_000,
            _ => {}
        }
    }
}
