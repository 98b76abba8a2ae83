//! The crash matrix: every step of launch, drain and sweep, with everything that can go wrong at it.
//!
//! A story is told once without a mishap, which gives its steps. Then it is told once for each step and each mishap of
//! that step ([`crate::mishap`]). Every invariant is judged on the way, as on any simulated day; in the end the slate
//! must be clean: rows, cloud and the size wanted agree, no call is without an outcome, and not one machine more was
//! bought than where nothing went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;

use fleet_scaler::domain::tags;
use fleet_scaler::store::{Fence, Operation};

use crate::fleets;
use crate::mishap::{Mishap, Script, Step};
use crate::run::{Day, MakeStore, at_once};
use crate::stories::Story;
use crate::suite::on_every_core;

/// Writes with a fence that a tick does not make: a lease is given back by the driver, at a stop.
const NOT_IN_A_TICK: [&str; 1] = ["lease_release"];
/// The stories' seed. Another one tells them in another order of the same steps.
const SEED: u64 = 11;

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) story: Story,
    pub(crate) mishap: Option<(usize, Mishap)>,
}

/// What came of a cell.
struct Told {
    steps: Vec<Step>,
    /// Instances with our tags that ever were, the orphan among them.
    bought: usize,
    wrong: Option<String>,
}

fn tell(cell: Cell, make_store: MakeStore<'_>, aloud: bool) -> Told {
    let rng = ChaCha12Rng::seed_from_u64(SEED);
    let mut day = Day::quiet(SEED, (rng, fleets::of_the_stories()), None, make_store, aloud);
    day.world.state().script = Some(Script::with(cell.mishap));
    cell.story.tell(&mut day);
    // What a tick could not write down, the next one settles.
    day.pass(fleets::of_the_stories().values().map(|fleet| fleet.interval * 2).sum());
    let open = day.calls_without_outcome();
    let bought = day
        .world
        .cloud
        .with_model(|model| model.instances().filter(|one| one.tags.contains_key(tags::OWNER)).count());
    let state = day.world.state();
    let violated = state.violation.as_ref().map(|one| format!("{}: {}", one.invariant, one.what));
    let wrong = violated.or((open > 0).then(|| format!("{open} calls have no outcome")));
    let steps = state.script.as_ref().map(|script| script.steps.clone()).unwrap_or_default();
    Told { steps, bought, wrong }
}

impl Day {
    /// Calls that were recorded, and nobody wrote down what came of them.
    fn calls_without_outcome(&self) -> u64 {
        let fences: Vec<Fence> = {
            let mut state = self.world.state();
            let fleets = self.fleets.keys();
            fleets
                .filter_map(|fleet| {
                    let lease = state.book.fleet(fleet).lease.clone()?;
                    Some(Fence { fleet: fleet.clone(), replica: lease.replica, epoch: lease.epoch })
                })
                .collect()
        };
        let settled = fences.iter().map(|fence| {
            let settled = at_once(self.world.store.calls_settle_abandoned(fence));
            settled.and_then(Result::ok).unwrap_or(0)
        });
        settled.sum()
    }
}

/// Tells every cell. Gives what failed.
pub(crate) fn run(make_store: MakeStore<'_>) -> Vec<String> {
    let mut failed = Vec::new();
    let (mut cells, mut names, mut plain) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for story in Story::ALL {
        let told = tell(Cell { story, mishap: None }, make_store, false);
        println!("  {:<8} {:>4} steps, {} machines", story.name(), told.steps.len(), told.bought);
        failed.extend(told.wrong.map(|why| format!("{} by itself: {why}", story.name())));
        names.extend(told.steps.iter().map(|step| step.name));
        for (at, step) in told.steps.iter().enumerate() {
            cells.extend(step.mishaps().into_iter().map(|mishap| Cell { story, mishap: Some((at, mishap)) }));
        }
        plain.insert(story.name(), told.bought);
    }
    let never = contract().into_iter().filter(|name| !names.contains(name.as_str()));
    failed.extend(never.map(|name| format!("no story takes the step {name}")));
    let wrong = Mutex::new(BTreeMap::new());
    on_every_core(cells.len() as u64, "cells", |place| {
        let at = usize::try_from(place).unwrap_or(usize::MAX);
        let cell = cells[at];
        let told = tell(cell, make_store, false);
        let more = told.bought > plain[cell.story.name()];
        let why = told.wrong.or(more.then(|| format!("{} machines were bought", told.bought)));
        if let Some(why) = why {
            wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(at, format!("{cell}: {why}"));
        }
        true
    });
    failed.extend(wrong.into_inner().unwrap_or_else(PoisonError::into_inner).into_values());
    println!("crash matrix: {} kinds of steps, {} cells, {} failed", names.len(), cells.len(), failed.len());
    failed
}

/// Tells one cell, aloud.
pub(crate) fn one(cell: Cell, make_store: MakeStore<'_>) -> bool {
    let told = tell(cell, make_store, true);
    println!("{cell}: {}, {} machines", told.wrong.as_deref().unwrap_or("ok"), told.bought);
    told.wrong.is_none()
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.story.name())?;
        self.mishap.map_or(Ok(()), |(step, mishap)| write!(f, "/{step}/{mishap}"))
    }
}

impl FromStr for Cell {
    type Err = String;

    /// `drain`, or `drain/37/dies-after`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let story = parts.next().and_then(|name| Story::ALL.into_iter().find(|story| story.name() == name));
        let story = story.ok_or_else(|| format!("{text:?} begins with no story: launch, drain or sweep"))?;
        let Some(step) = parts.next() else { return Ok(Self { story, mishap: None }) };
        let step = step.parse().map_err(|_| format!("{step:?} is not the number of a step"))?;
        let name = parts.next().unwrap_or_default();
        let mishap = Mishap::all().into_iter().find(|mishap| mishap.to_string() == name);
        let mishap = mishap.ok_or_else(|| format!("{name:?} is nothing that can go wrong"))?;
        Ok(Self { story, mishap: Some((step, mishap)) })
    }
}

/// Every write that the contracts have for a lease's holder, from their own text: none may be forgotten.
fn contract() -> Vec<String> {
    let store = syn::parse_file(include_str!("../../src/store.rs")).expect("the contract is Rust");
    let methods = store.items.into_iter().filter_map(|item| match item {
        syn::Item::Trait(contract) if contract.ident == "Store" => Some(contract.items),
        _ => None,
    });
    let names = methods.flatten().filter_map(|item| match item {
        syn::TraitItem::Fn(method) if has_a_fence(&method.sig) => Some(method.sig.ident.to_string()),
        _ => None,
    });
    let calls = Operation::ALL.iter().map(|op| op.as_str().to_owned());
    names.filter(|name| !NOT_IN_A_TICK.contains(&name.as_str())).chain(calls).collect()
}

fn has_a_fence(method: &syn::Signature) -> bool {
    method.inputs.iter().any(|input| match input {
        syn::FnArg::Typed(typed) => match &*typed.ty {
            syn::Type::Reference(to) => {
                matches!(&*to.elem, syn::Type::Path(path) if path.path.is_ident("Fence"))
            }
            _ => false,
        },
        syn::FnArg::Receiver(_) => false,
    })
}
