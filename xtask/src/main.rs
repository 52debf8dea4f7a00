//! `cargo xtask COMMAND`: every developer command of Dropscope.
//!
//! Each does its own set-up and says what it does; nothing has to be prepared by hand.

mod agree;
mod bench;
mod deny;
mod fuzz;
mod judge;
mod lint;
mod page;
mod same;
mod setup;
mod shell;
mod test;

use anyhow::{Context as _, Result, bail};
use std::process::Command;

const HELP: &str = "cargo xtask COMMAND

  run [ARG…]     set up, build what is not up to date, start `dropscope` (with ARGs, or with the reference case)
  test [PART…]   set up, check formatting and clippy, run all tests; or only these parts: lint, native, wasm, browser
  build          set up, build the page into dist/ and the release binary into target/release/dropscope
  page           set up and build the page alone
  lint           formatting and clippy, native and wasm
  same OLD NEW DIR…  compare what two binaries print about every capture in DIR: `check --json` and `packets --json`
  deny           licences, sources, duplicate versions and advisories of all dependencies (deny.toml)
  agree [DIR]    compare `dropscope packets` with tshark over the captures below DIR (or the repository's); fails below its bars
  judge [FOLDER] [--held-out]  recall and precision of the rules over labelled captures: the repository's and those below a folder
                 (the half to build on, or the other as figures only); fails below its bar
  bench          make seeded captures and time us beside tshark, tcptrace, tcpdump and capinfos; --browser: the page;
                 --agent: what recording costs, beside tcpdump; --instructions: instructions a packet (valgrind)
  fuzz [TARGET…] run the fuzz targets under libFuzzer, 60 s each or --seconds N; what is found is kept in fuzz/corpus
  setup          only the set-up: wasm target, system packages, Trunk, wasm-bindgen
";

fn main() -> Result<()> {
    std::env::set_current_dir(shell::root())?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = args.split_first().map_or(("help", &[][..]), |(command, rest)| (command.as_str(), rest));
    match command {
        "run" => run(rest),
        "test" => test::test(rest),
        "build" => build(),
        "page" => page::build(),
        "lint" => lint::lint(),
        "agree" => agree::agree(rest),
        "same" => same::same(rest),
        "deny" => deny::deny(),
        "judge" => judge::judge(rest),
        "bench" => bench::bench(rest),
        "fuzz" => fuzz::fuzz(rest),
        "setup" => setup::for_tests().map(drop),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => bail!("there is no command `{unknown}`\n\n{HELP}"),
    }
}

fn run(args: &[String]) -> Result<()> {
    let dropscope = page::build_to_run()?;
    // `cargo run` has its users write a `--` before what is passed on.
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let status = Command::new(&dropscope).args(args).status().with_context(|| format!("starting {}", dropscope.display()))?;
    // It has said why itself.
    std::process::exit(status.code().unwrap_or(1))
}

fn build() -> Result<()> {
    page::build()?;
    shell::say("building the binary (release; about six minutes on two cores the first time)");
    shell::run("cargo", &["build", "--locked", "--release", "-p", "dropscope-agent"])
}
