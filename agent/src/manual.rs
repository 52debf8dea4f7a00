//! What packagers install beside the command: manual pages and completions for shells, made from the command line itself, so
//! that they are never older than it.

use crate::cli::command;
use crate::{output_file, stdout};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

/// What pages say they belong to.
const SOURCE: &str = concat!("Dropscope ", env!("CARGO_PKG_VERSION"));

/// Arguments of `completions`.
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args)]
pub(crate) struct ManArgs {
    /// The command whose page is meant; without it, the page of dropscope itself.
    command: Option<String>,
    /// Write the pages of all commands into this folder instead.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    folder: Option<PathBuf>,
}

/// Prints what a shell reads to complete `dropscope`.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "dropscope", &mut text);
    print(&text)
}

/// Prints or writes manual pages.
pub(crate) fn man(args: &ManArgs) -> Result<ExitCode> {
    if let Some(folder) = &args.folder {
        for (name, page) in pages()? {
            output_file::write(&folder.join(name), &page)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.command.as_ref().map_or_else(|| "dropscope.1".to_owned(), |command| format!("dropscope-{command}.1"));
    let Some((_, page)) = pages()?.into_iter().find(|(found, _)| *found == name) else {
        bail!("there is no page {name}; `dropscope help` lists the commands");
    };
    print(&page)
}

/// Each page by its file's name: the command's own, and one for each of its commands.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    let mut pages = Vec::new();
    for one in whole.get_subcommands().chain([&whole]) {
        // After `build` it is the whole one, `dropscope-record`, which clap_mangen takes as the page's title.
        let name = one.get_display_name().unwrap_or(one.get_name());
        let mut page = Vec::new();
        clap_mangen::Man::new(one.clone()).title(name).source(SOURCE).render(&mut page).context("a page cannot be made")?;
        // A page has no date: that is written as nothing, and what follows would be taken for one.
        let page = String::from_utf8(page).context("a page is text")?.replacen("1  \"", "1 \"\" \"", 1);
        pages.push((format!("{name}.1"), page.into_bytes()));
    }
    pages.sort();
    Ok(pages)
}

fn print(bytes: &[u8]) -> Result<ExitCode> {
    stdout::put(bytes).map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::path::Path;

    #[test]
    fn each_command_has_a_page_with_its_options() {
        let pages = pages().unwrap();
        for one in command().get_subcommands() {
            let name = format!("dropscope-{}.1", one.get_name());
            let (_, page) = pages.iter().find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{name} is missing"));
            let text = String::from_utf8_lossy(page).replace("\\-", "-");
            for option in one.get_arguments().filter_map(|option| option.get_long()) {
                assert!(text.contains(&format!("--{option}")), "{name} lacks --{option}");
            }
        }
        assert!(pages.iter().any(|(name, _)| name == "dropscope.1"));
    }

    #[test]
    fn every_shell_is_told_of_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command(), "dropscope", &mut text);
            let text = String::from_utf8(text).unwrap();
            for one in command().get_subcommands() {
                assert!(text.contains(one.get_name()), "{shell} is not told of {}", one.get_name());
            }
        }
    }

    /// The command lines that packages run, wherever they stand.
    #[test]
    fn what_packages_run_is_a_command_line_that_dropscope_takes() {
        let packaging = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging"));
        let mut lines = Vec::new();
        for (file, begin) in [("dropscope.service", "ExecStart=/usr/bin/dropscope "), ("Containerfile", "CMD ")] {
            let text = std::fs::read_to_string(packaging.join(file)).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(begin)).unwrap_or_else(|| panic!("{file} runs nothing"));
            lines.push((file, line.replace(['[', ']', '"', ','], " ")));
        }
        let yaml = std::fs::read_to_string(packaging.join("daemonset.yaml")).unwrap();
        let args = yaml.lines().find_map(|line| line.trim().strip_prefix("args: ")).expect("the DaemonSet runs something");
        lines.push(("daemonset.yaml", serde_json::from_str::<Vec<String>>(args).expect("a list in JSON").join(" ")));
        for (file, line) in lines {
            let words = std::iter::once("dropscope").chain(line.split_ascii_whitespace().filter(|word| !word.starts_with('$')));
            if let Err(error) = crate::cli::Cli::try_parse_from(words) {
                panic!("{file} runs `{line}`: {error}");
            }
        }
    }
}
