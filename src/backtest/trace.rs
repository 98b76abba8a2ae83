//! Reading load that was recorded: CSV, plain or gzip, one row for each interval.
//!
//! The interval stands in the file's name (`requests_60s.csv.gz`), since a column of times can have gaps, zones and a
//! change of the clocks in it, and a replay needs none of these: rows follow each other at that interval. The first line
//! names the columns. The load is the column `load`, or one that is asked for by its name, else the last; in any unit,
//! for it is scaled to hosts before it is replayed.
//!
//! A file is read line by line within bounds, so that neither a stream without an end nor a small gzip that unfolds to a
//! huge text does harm. Everything that is not a load is refused with its place: a value that is passed over in silence
//! would shift all that follow it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::backtest::Second;

/// Rows beyond this are refused: a year of seconds.
const ROWS_MAX: usize = 366 * 24 * 3600;
const LINE_MAX: u64 = 64 * 1024;
const STEP_MAX: Second = 24 * 3600;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const LOAD_COLUMN: &str = "load";

/// A recorded load.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The file's name without its endings.
    pub name: String,
    /// Seconds between two values.
    pub step: Second,
    /// The load at each step, in whatever unit it was recorded; finite, not negative, and not everywhere 0.
    pub load: Vec<f64>,
}

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It could not be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something as a whole is wrong with it.
    #[error("{}: {problem}", file.display())]
    Unfit {
        /// Which.
        file: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {problem}", file.display())]
    Misplaced {
        /// Which.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Trace {
    /// Of values that came from elsewhere.
    ///
    /// # Errors
    ///
    /// If they are no load: what is wrong, and what would be right.
    pub fn new(name: String, step: Second, load: Vec<f64>) -> Result<Self, String> {
        if let Some(wrong) = load.iter().find(|value| !value.is_finite() || **value < 0.0) {
            return Err(format!("a load is a number from 0 on; found {wrong}"));
        }
        match load.len() {
            0 | 1 => Err(format!("there are {} values of load; two are the least", load.len())),
            _ if load.iter().all(|value| *value <= 0.0) => {
                Err("every value is 0: there is no load".to_owned())
            }
            _ => Ok(Self { name, step, load }),
        }
    }

    /// Reads a file; the load is the column of that name, else `load`, else the last.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not a trace.
    pub fn read(file: &Path, column: Option<&str>) -> Result<Self, TraceError> {
        let unreadable = |source| TraceError::Unreadable { file: file.to_owned(), source };
        let mut raw = BufReader::new(File::open(file).map_err(unreadable)?);
        let is_gzip = raw.fill_buf().map_err(unreadable)?.starts_with(&GZIP);
        if is_gzip {
            Self::parse(file, BufReader::new(MultiGzDecoder::new(raw)), column)
        } else {
            Self::parse(file, raw, column)
        }
    }

    /// Reads every `.csv` and `.csv.gz` of a folder, in the order of their names; other files are passed over.
    ///
    /// # Errors
    ///
    /// If there is none, or any of them cannot be read or is not a trace.
    pub fn read_folder(folder: &Path, column: Option<&str>) -> Result<Vec<Self>, TraceError> {
        let unreadable = |source| TraceError::Unreadable { file: folder.to_owned(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if stem(&file).is_some() {
                files.push(file);
            }
        }
        if files.is_empty() {
            let problem = "there is no trace in it: a file whose name ends in .csv or .csv.gz".to_owned();
            return Err(TraceError::Unfit { file: folder.to_owned(), problem });
        }
        files.sort();
        files.iter().map(|file| Self::read(file, column)).collect()
    }

    /// Reads a text that stands, or could stand, under a file's name.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not a trace.
    pub fn parse(file: &Path, text: impl BufRead, column: Option<&str>) -> Result<Self, TraceError> {
        let (name, step) = name_and_step(file)?;
        let mut lines = Lines { file, text, line: 0, blank: None };
        let header =
            lines.next()?.ok_or_else(|| lines.unfit("it is empty; the first line names the columns"))?;
        let place = lines.place_of_load(&header, column)?;
        let width = cells(&header).len();
        let mut load = Vec::new();
        while let Some(line) = lines.next()? {
            if load.len() == ROWS_MAX {
                return Err(lines.unfit(&format!("it has more than {ROWS_MAX} rows; cut it")));
            }
            load.push(lines.value(&line, place, width)?);
        }
        Self::new(name, step, load).map_err(|problem| lines.unfit(&problem))
    }

    /// The value that so much of the time (0–1) is not exceeded.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.load.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank within the series, which is not negative"
        )]
        let index = (rank as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(index).copied().unwrap_or(0.0)
    }

    /// The same with every value multiplied so that the quantile becomes this; unchanged where the quantile is 0.
    #[must_use]
    pub fn scaled(&self, share: f64, to: f64) -> Self {
        let quantile = self.quantile(share);
        let factor = if quantile > 0.0 { to / quantile } else { 1.0 };
        Self { load: self.load.iter().map(|value| value * factor).collect(), ..self.clone() }
    }

    /// The first part, of so many shares (0–1), and the rest.
    #[must_use]
    pub fn split(&self, share: f64) -> (Self, Self) {
        let part = self.load.len() as f64 * share.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length, which is not negative"
        )]
        let at = (part.round() as usize).min(self.load.len());
        let (first, rest) = self.load.split_at(at);
        (Self { load: first.to_vec(), ..self.clone() }, Self { load: rest.to_vec(), ..self.clone() })
    }
}

/// A trace's name without its endings; `None`: it does not end as a trace does.
fn stem(file: &Path) -> Option<&str> {
    let name = file.file_name()?.to_str()?;
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".csv")
}

/// A trace's name, and the interval at its end.
fn name_and_step(file: &Path) -> Result<(String, Second), TraceError> {
    let unfit = |problem: String| TraceError::Unfit { file: file.to_owned(), problem };
    let Some(stem) = stem(file) else {
        return Err(unfit("a trace's name ends in .csv or .csv.gz".to_owned()));
    };
    let suffix = stem.rsplit_once('_').map_or("", |(_, suffix)| suffix);
    let Some(interval) = seconds(suffix) else {
        return Err(unfit(format!(
            "its name does not end in the interval of its rows; {stem}_60s.csv would say a minute (also _5m, _1h)"
        )));
    };
    if !(1..=STEP_MAX).contains(&interval) {
        return Err(unfit(format!("the interval {suffix} is not from 1s to 24h")));
    }
    Ok((stem.to_owned(), interval))
}

/// `60s`, `5m`, `1h` in seconds.
fn seconds(text: &str) -> Option<Second> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse::<Second>().ok()?.checked_mul(unit) } else { None }
}

/// The lines of a file, and where we are in it.
struct Lines<'a, R> {
    file: &'a Path,
    text: R,
    line: usize,
    /// The first of the blank lines that we are behind; they may only stand at the end.
    blank: Option<usize>,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line that is not blank, without its end.
    fn next(&mut self) -> Result<Option<String>, TraceError> {
        loop {
            let Some(line) = self.raw()? else { return Ok(None) };
            if line.trim().is_empty() {
                self.blank.get_or_insert(self.line);
            } else if let Some(blank) = self.blank {
                self.line = blank;
                return Err(self.misplaced(1, "this line is blank; each row has a load"));
            } else {
                return Ok(Some(line));
            }
        }
    }

    fn raw(&mut self) -> Result<Option<String>, TraceError> {
        let mut bytes = Vec::new();
        self.line += 1;
        let read = (&mut self.text).take(LINE_MAX).read_until(b'\n', &mut bytes);
        read.map_err(|source| TraceError::Unreadable { file: self.file.to_owned(), source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() as u64 == LINE_MAX && bytes.last() != Some(&b'\n') {
            return Err(self.misplaced(1, &format!("this line has more than {LINE_MAX} bytes")));
        }
        let line = String::from_utf8(bytes).map_err(|error| {
            self.misplaced(error.utf8_error().valid_up_to() + 1, "this is not UTF-8 text")
        })?;
        let line = line.trim_end_matches(['\n', '\r']);
        Ok(Some(line.strip_prefix('\u{feff}').filter(|_| self.line == 1).unwrap_or(line).to_owned()))
    }

    /// Which column the load is in.
    fn place_of_load(&self, header: &str, column: Option<&str>) -> Result<usize, TraceError> {
        let names = cells(header);
        let place_of = |wanted: &str| names.iter().position(|cell| cell.text == wanted);
        let place = match column {
            None => place_of(LOAD_COLUMN).unwrap_or(names.len().saturating_sub(1)),
            Some(wanted) => place_of(wanted).ok_or_else(|| {
                let names: Vec<&str> = names.iter().map(|cell| cell.text).collect();
                self.misplaced(1, &format!("there is no column {wanted:?}; there are {}", names.join(", ")))
            })?,
        };
        let Some(cell) = names.get(place) else { return Ok(place) };
        if cell.text.parse::<f64>().is_ok_and(f64::is_finite) {
            let problem = format!("the first line names the columns; found the value {}", cell.text);
            return Err(self.misplaced(cell.column, &problem));
        }
        Ok(place)
    }

    /// The load that a row has.
    fn value(&self, line: &str, place: usize, width: usize) -> Result<f64, TraceError> {
        let cells = cells(line);
        let Some(cell) = cells.get(place).filter(|_| cells.len() == width) else {
            let problem = format!("the first line names {width} columns; this row has {}", cells.len());
            return Err(self.misplaced(1, &problem));
        };
        let wanted = "the load is a number from 0 on, such as 12.5";
        let refuse = |found: &str| self.misplaced(cell.column, &format!("{wanted}; found {found}"));
        if cell.text.is_empty() {
            return Err(refuse("nothing"));
        }
        match cell.text.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
            Ok(_) => Err(refuse(cell.text)),
            Err(_) => Err(refuse(&format!("{:?}", shortened(cell.text)))),
        }
    }

    fn misplaced(&self, column: usize, problem: &str) -> TraceError {
        let (file, line, problem) = (self.file.to_owned(), self.line, problem.to_owned());
        TraceError::Misplaced { file, line, column, problem }
    }

    fn unfit(&self, problem: &str) -> TraceError {
        TraceError::Unfit { file: self.file.to_owned(), problem: problem.to_owned() }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// One cell of a row.
struct Cell<'a> {
    text: &'a str,
    /// Where it begins, in characters, from 1.
    column: usize,
}

/// The cells of a line; one in quotes may have commas in it.
fn cells(line: &str) -> Vec<Cell<'_>> {
    let (mut cells, mut start, mut column, mut is_quoted) = (Vec::new(), 0, 1, false);
    let ends = line.char_indices().chain([(line.len(), ',')]);
    let mut begins_at = 1;
    for (at, char) in ends {
        let is_end = at == line.len();
        if char == '"' && !is_end {
            is_quoted = !is_quoted;
        } else if char == ',' && (!is_quoted || is_end) {
            cells.push(Cell { text: unquoted(&line[start..at]), column: begins_at });
            (start, begins_at) = ((at + 1).min(line.len()), column + 1);
        }
        column += 1;
    }
    cells
}

fn unquoted(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell).trim()
}

#[cfg(test)]
mod tests;
