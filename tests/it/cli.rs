//! The real binary, run as an operator runs it.

mod backtest;
mod cloud;
mod database;
mod demo;
mod offline;
pub(crate) mod pages;
pub(crate) mod program;
mod terminal;
pub(crate) mod web;
