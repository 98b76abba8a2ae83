//! `man`: the manual pages, made from the same words as `--help`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cli::exit::Usage;
use crate::cli::{Cli, output};

/// `man [COMMAND…]`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command; without it, the program
    command: Vec<String>,
    /// Write the page of the program and of every command into this folder, such as /usr/local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(args: &ManArgs) -> anyhow::Result<()> {
    let mut program = Cli::command().disable_help_subcommand(true);
    // Without that, the options that every command has would be on the program's page alone.
    program.build();
    let pages = pages(&program, "");
    let Some(dir) = &args.dir else { return output::raw(page_of(&pages, &program, &args.command)?) };
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    for (name, page) in &pages {
        let file = dir.join(format!("{name}.1"));
        std::fs::write(&file, page).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    output::line(&format!("{} pages in {}", pages.len(), dir.display()))
}

fn page_of<'a>(pages: &'a [(String, String)], program: &Command, words: &[String]) -> Result<&'a str, Usage> {
    let wanted = [&[program.get_name().to_owned()], words].concat().join("-");
    let page = pages.iter().find(|(name, _)| *name == wanted);
    page.map(|(_, page)| page.as_str()).ok_or_else(|| {
        Usage(format!("there is no command {:?}: `fleet-scaler help` lists them", words.join(" ")))
    })
}

/// The page of a command and of every command below it, each under its name: `fleet-scaler-token-new`.
fn pages(command: &Command, parent: &str) -> Vec<(String, String)> {
    let name = if parent.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{parent}-{}", command.get_name())
    };
    let man = Man::new(command.clone()).title(name.to_uppercase()).manual("Fleet Scaler");
    let mut page = Vec::new();
    let rendered = man.render(&mut page);
    debug_assert!(rendered.is_ok(), "memory cannot fail to be written");
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    let below = below.flat_map(|below| pages(below, &name)).collect::<Vec<_>>();
    std::iter::once((name, ascii(&String::from_utf8_lossy(&page)))).chain(below).collect()
}

/// Whatever reads manual pages takes ASCII; the rest is written as roff names it.
fn ascii(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    for character in page.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\\[u{:04X}]", u32::from(character));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_written_as_roff_names_it() {
        assert_eq!(ascii("a … \u{1f6d1}"), "a \\[u2026] \\[u1F6D1]");
    }
}
