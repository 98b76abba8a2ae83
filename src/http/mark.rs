//! What tells one state of a file from another without reading it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A new inode, a new time of change, or a new size is a new mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64, i64, i64, u64);

impl Mark {
    /// The mark of a file as it is now; `None`: it cannot be seen.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Self(metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
    }
}
