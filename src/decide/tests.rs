//! Whole plans as operators read them, the rules of single guards, and what holds for every snapshot there can be.

mod aggregates;
mod candidates;
mod daylight;
mod fixture;
mod foreseeing;
mod golden;
mod inputs;
mod learning;
mod load;
mod machines;
mod properties;
mod record;
mod schedules;
