//! The real binary, run as an operator runs it.

mod cloud;
mod database;
mod offline;
mod pages;
pub(crate) mod program;
mod web;
