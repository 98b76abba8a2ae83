//! Fleet Scaler keeps fleets of cloud VMs at the size their load needs.
//!
//! One direction of data: **observe → decide → act**. `reconcile` looks at the cloud, the hosts' metrics and its own
//! tables, hands one `Snapshot` to the pure function in [`decide`], commits what it wants as intents, and only then
//! asks the cloud for anything. Layers, lowest first; a file imports from lower layers and its own family only, and a
//! test keeps it so:
//!
//! | layer | modules | what is there |
//! |---|---|---|
//! | 0 | [`domain`] | words: ids, time, state machines, failures by meaning |
//! | 1 | [`decide`] | judgment, pure |
//! | 2 | [`config`] | checked configuration |
//! | 3 | [`clock`], [`entropy`], [`provider`], [`signals`], [`store`] | contracts: traits and what they speak of |
//! | 4 | the folders of the same names | implementations of the contracts |
//! | 5 | [`reconcile`] | the loop |
//! | 5 | [`backtest`] | what a policy would have done on a day that is known |
//! | 5 | [`view`] | what people and programs are told |
//! | 6 | [`http`] | the API, health and metrics |
//! | 7 | [`cli`] | one file a command |

pub mod backtest;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decide;
pub mod domain;
pub mod entropy;
pub mod http;
pub mod provider;
pub mod reconcile;
pub mod signals;
pub mod store;
pub mod view;
