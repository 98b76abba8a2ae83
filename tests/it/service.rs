//! The main job, told as stories: each ends with what an operator was promised.

pub(crate) mod site;
pub(crate) mod world;

mod adversity;
mod capacity;
mod changes;
mod drains;
mod launches;
mod outages;
mod process;
#[cfg(feature = "aws")]
mod proxy;
mod replicas;
mod swallowed;
mod tags;
mod unserved;
