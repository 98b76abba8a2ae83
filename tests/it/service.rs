//! The main job, told as stories: each ends with what an operator was promised.

#[cfg(feature = "aws")]
pub(crate) mod site;
pub(crate) mod world;

mod adversity;
mod again;
mod candidates;
mod capacity;
mod changes;
mod drains;
mod foreseen;
mod launches;
mod logged;
mod outages;
#[cfg(feature = "aws")]
mod process;
#[cfg(feature = "aws")]
mod proxy;
#[cfg(feature = "aws")]
mod replicas;
mod schedules;
mod swallowed;
mod tags;
mod told;
mod unserved;
