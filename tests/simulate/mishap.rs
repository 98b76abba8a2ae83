//! One thing that goes wrong at one step, for the crash matrix.
//!
//! Every call to the store and to the cloud is a step, and the steps are counted while they happen: a call that somebody
//! adds to the loop is in the matrix without anybody thinking of it. What can go wrong at a step follows from what it is,
//! and the classes of errors from the program's own types, so that a new class is a compile error here.

use std::fmt;
use std::future::Future;

use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::ids::{Epoch, FleetName, ReplicaId};
use fleet_scaler::store::StoreError;

use crate::world::World;

/// What went wrong, in the words of whoever said so.
const SAID: &str = "as the matrix has it";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The process is gone before anything was done.
    DiesBefore,
    /// All of it was done, and the process is gone before it learns so.
    DiesAfter,
    /// It is done twice, and the second answer counts.
    CalledTwice,
    /// It was done, and the answer is lost.
    ReplyLost,
    /// Nothing was done, and this is the answer.
    Says(Fault),
}

/// An answer of either contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cloud(FailureClass),
    Unavailable,
    Fenced,
    Conflict,
    Refused,
    Schema,
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiesBefore => f.write_str("dies-before"),
            Self::DiesAfter => f.write_str("dies-after"),
            Self::CalledTwice => f.write_str("called-twice"),
            Self::ReplyLost => f.write_str("reply-lost"),
            Self::Says(Fault::Cloud(class)) => write!(f, "says-{class}"),
            Self::Says(fault) => write!(f, "says-{}", format!("{fault:?}").to_lowercase()),
        }
    }
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The operation.
    pub(crate) name: &'static str,
    /// Whether it is asked of the cloud, or of the store.
    pub(crate) of_cloud: bool,
    /// Whether it changes anything there.
    pub(crate) writes: bool,
}

impl Step {
    /// Everything that can go wrong at it.
    pub(crate) fn mishaps(self) -> Vec<Mishap> {
        let mut all = vec![Mishap::DiesBefore, Mishap::DiesAfter];
        if self.writes {
            all.extend([Mishap::CalledTwice, Mishap::ReplyLost]);
        }
        all.extend(Fault::of(self.of_cloud).map(Mishap::Says));
        all
    }
}

impl Mishap {
    /// Every one, whatever the step.
    pub(crate) fn all() -> Vec<Self> {
        let done = [Self::DiesBefore, Self::DiesAfter, Self::CalledTwice, Self::ReplyLost];
        done.into_iter().chain([true, false].into_iter().flat_map(Fault::of).map(Self::Says)).collect()
    }
}

impl Fault {
    /// Every answer of one contract.
    fn of(cloud: bool) -> impl Iterator<Item = Self> {
        let first = if cloud { Self::Cloud(FailureClass::Capacity) } else { Self::Unavailable };
        std::iter::successors(Some(first), |fault| fault.next())
    }

    /// The next one of the same contract.
    fn next(self) -> Option<Self> {
        let next = match self {
            Self::Cloud(class) => return next_class(class).map(Self::Cloud),
            Self::Unavailable => Self::Fenced,
            Self::Fenced => Self::Conflict,
            Self::Conflict => Self::Refused,
            Self::Refused => Self::Schema,
            Self::Schema => return None,
        };
        Some(next)
    }

    /// Which of them an error of the store is. Nobody calls it with one: that it must name every variant is its use.
    fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            StoreError::Fenced { .. } => Self::Fenced,
            StoreError::Conflict(_) => Self::Conflict,
            StoreError::Refused(_) => Self::Refused,
            StoreError::Schema(_) => Self::Schema,
        }
    }
}

fn next_class(class: FailureClass) -> Option<FailureClass> {
    let next = match class {
        FailureClass::Capacity => FailureClass::Quota,
        FailureClass::Quota => FailureClass::Throttled,
        FailureClass::Throttled => FailureClass::Denied,
        FailureClass::Denied => FailureClass::Invalid,
        FailureClass::Invalid => FailureClass::NotFound,
        FailureClass::NotFound => FailureClass::TokenMismatch,
        FailureClass::TokenMismatch => FailureClass::TokenSpent,
        FailureClass::TokenSpent => FailureClass::Protected,
        FailureClass::Protected => FailureClass::Unknown,
        FailureClass::Unknown => return None,
    };
    Some(next)
}

/// The steps of one story, and what goes wrong in it.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// At which step, from 0, and what. `None`: nothing, the steps are only counted.
    planned: Option<(usize, Mishap)>,
    /// The steps so far.
    pub(crate) steps: Vec<Step>,
    /// The process that has just died.
    pub(crate) died: Option<ReplicaId>,
    /// Steps that came after the mishap count no more.
    over: bool,
}

impl Script {
    pub(crate) fn with(planned: Option<(usize, Mishap)>) -> Self {
        Self { planned, ..Self::default() }
    }

    fn take(&mut self, step: Step) -> Option<Mishap> {
        if self.over {
            return None;
        }
        self.steps.push(step);
        let (at, mishap) = self.planned?;
        let due = at + 1 == self.steps.len();
        self.over = due;
        due.then_some(mishap)
    }
}

/// The errors of a contract, as the matrix needs them.
pub(crate) trait Failure: Sized {
    /// Whose they are.
    const OF_CLOUD: bool;

    /// The error that stands for this fault.
    fn said(fault: Fault) -> Self;

    /// What whoever lost the answer sees.
    fn lost() -> Self;

    /// Looks at an error that really came.
    fn judge(&self, world: &World, name: &str);
}

impl Failure for CloudError {
    const OF_CLOUD: bool = true;

    fn said(fault: Fault) -> Self {
        let class = match fault {
            Fault::Cloud(class) => class,
            Fault::Unavailable | Fault::Fenced | Fault::Conflict | Fault::Refused | Fault::Schema => {
                FailureClass::Unknown
            }
        };
        Self::new(class, "Matrix", SAID)
    }

    fn lost() -> Self {
        Self::new(FailureClass::Unknown, "Timeout", SAID)
    }

    fn judge(&self, _: &World, _: &str) {}
}

impl Failure for StoreError {
    const OF_CLOUD: bool = false;

    fn said(fault: Fault) -> Self {
        let error = match fault {
            Fault::Cloud(_) | Fault::Unavailable => Self::lost(),
            Fault::Fenced => Self::Fenced { fleet: FleetName::new("any"), epoch: Epoch(0) },
            Fault::Conflict => Self::Conflict(SAID.to_owned()),
            Fault::Refused => Self::Refused(SAID.to_owned()),
            Fault::Schema => Self::Schema(SAID.to_owned()),
        };
        debug_assert!(matches!(fault, Fault::Cloud(_)) || Fault::of_store(&error) == fault);
        error
    }

    fn lost() -> Self {
        Self::Unavailable(SAID.into())
    }

    fn judge(&self, world: &World, name: &str) {
        if let Self::Refused(why) = self {
            world.fail("I6", format!("{name}: the store had to refuse what must never be written: {why}"));
        }
    }
}

impl World {
    /// Takes one step, or what becomes of it. `done` sees the answer of a step that was done, whoever learns of it.
    pub(crate) async fn step<T, E, F>(
        &self,
        replica: &ReplicaId,
        (name, writes): (&'static str, bool),
        work: impl Fn() -> F,
        done: impl FnOnce(&T),
    ) -> Result<T, E>
    where
        E: Failure,
        F: Future<Output = Result<T, E>>,
    {
        let step = Step { name, of_cloud: E::OF_CLOUD, writes };
        let mishap = self.state().script.as_mut().and_then(|script| script.take(step));
        if let Some(mishap) = mishap {
            self.note("matrix", &format!("{name}: {mishap}"));
        }
        match mishap {
            Some(Mishap::DiesBefore) => self.die(replica).await,
            Some(Mishap::Says(fault)) => return Err(E::said(fault)),
            Some(Mishap::DiesAfter | Mishap::CalledTwice | Mishap::ReplyLost) | None => {}
        }
        let answer = work().await;
        match &answer {
            Ok(answer) => done(answer),
            Err(error) => error.judge(self, name),
        }
        match mishap {
            Some(Mishap::DiesAfter) => self.die(replica).await,
            Some(Mishap::CalledTwice) => work().await,
            Some(Mishap::ReplyLost) => Err(E::lost()),
            Some(Mishap::DiesBefore | Mishap::Says(_)) | None => answer,
        }
    }

    /// A dead process does nothing any more, and in particular does not return.
    async fn die<T>(&self, replica: &ReplicaId) -> T {
        if let Some(script) = &mut self.state().script {
            script.died = Some(replica.clone());
        }
        std::future::pending().await
    }
}
