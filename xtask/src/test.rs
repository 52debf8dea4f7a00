//! All tests, in parts, and the sum of what they say.

use crate::shell::{self, say};
use crate::{agree, lint, page, setup};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const WASM: &str = "wasm32-unknown-unknown";

/// Tests counted over all parts.
#[derive(Default)]
struct Sum {
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Tests that said they cannot run here, by their names.
    unable: Vec<String>,
    /// Parts that ended badly, by their command line.
    broken: Vec<String>,
}

/// Sets up and runs the parts named, or all. The last line counts tests.
pub(crate) fn test(parts: &[String]) -> Result<()> {
    let known = ["lint", "native", "wasm", "browser"];
    if let Some(unknown) = parts.iter().find(|part| !known.contains(&part.as_str())) {
        bail!("there is no part `{unknown}`; there are {}", known.join(", "));
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let path = setup::for_tests()?;
    let mut sum = Sum::default();
    if wanted("lint") {
        for (what, mut command) in lint::checks() {
            say(what);
            sum.check(shell::status(&mut command));
        }
    }
    if wanted("wasm") {
        wasm(&mut sum, &path)?;
    }
    if wanted("browser") {
        page::build_with(&path, page::Profile::Wasm)?;
        sum.count_download(page::download()?);
    }
    if wanted("native") || wanted("browser") {
        cargo_tests(&mut sum, wanted("native"), wanted("browser"))?;
    }
    if wanted("native") {
        agree(&mut sum);
    }
    for line in &sum.broken {
        say(&format!("failed: {line}"));
    }
    sum.unable.sort();
    sum.unable.dedup();
    if !sum.unable.is_empty() {
        println!("skipped: {}", sum.unable.join(", "));
    }
    let skipped = sum.skipped + sum.unable.len() as u32;
    // No test may be skipped where everything is there that tests need.
    let forbidden = if shell::is_ci() { skipped } else { 0 };
    let failed = sum.failed.max(sum.broken.len() as u32) + forbidden;
    // A test that is skipped in its body counts as passed to the test harness.
    println!("{} passed, {failed} failed, {skipped} skipped", sum.passed.saturating_sub(sum.unable.len() as u32));
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// Everything that runs on this machine, and the real page in a real browser, against the real agent in real namespaces.
///
/// One command for both, since another choice of packages would build crates that they share once more, with other features.
fn cargo_tests(sum: &mut Sum, native: bool, browser: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    if native {
        cargo.arg("--workspace");
    }
    if browser {
        // Cargo builds it with the agent's own tests.
        let binary = setup::target_folder().join("debug/dropscope");
        cargo.env("DROPSCOPE", std::path::absolute(binary).context("the target folder")?);
    }
    match (native, browser) {
        (true, true) => say("native tests, and those of page, agent and labs together"),
        (true, false) => {
            say("native tests");
            cargo.args(["--exclude", "dropscope-e2e"]);
        }
        _ => {
            shell::run("cargo", &["build", "--locked", "-p", "dropscope-agent"])?;
            say("tests of page, agent and labs together");
            cargo.args(["-p", "dropscope-e2e"]);
        }
    }
    sum.run(&mut cargo)
}

/// Agreement with TShark over the captures of the repository.
fn agree(sum: &mut Sum) {
    say("agreement with TShark over the captures of the repository");
    if shell::which("tshark").is_none() {
        sum.unable.push("agreement with TShark".into());
        return;
    }
    sum.check(agree::agree_on_ours(&setup::target_folder().join("debug/dropscope")));
}

/// What runs as WebAssembly in a headless browser.
fn wasm(sum: &mut Sum, path: &OsStr) -> Result<()> {
    let Some(driver) = shell::which("chromedriver") else {
        sum.unable.push("the tests in WebAssembly".into());
        return Ok(());
    };
    say("tests in WebAssembly, in headless Chromium");
    let runner = setup::target_folder().join("debug/wasm-bindgen-test-runner");
    let mut in_chromium = |package: &str| {
        let before = sum.passed;
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--no-fail-fast", "-p", package, "--target", WASM]);
        cargo.env("PATH", path).env("CHROMEDRIVER", &driver).env("WASM_BINDGEN_TEST_TIMEOUT", "300");
        cargo.env("WASM_BINDGEN_USE_BROWSER", "1").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", &runner);
        sum.run(&mut cargo)?;
        say(&format!("{} tests of {package} passed in Chromium", sum.passed - before));
        Ok(())
    };
    in_chromium("dropscope-packets")?;
    in_chromium("dropscope-core")?;
    in_chromium("dropscope-frontend")
}

impl Sum {
    /// The size of the download is a test, too.
    fn count_download(&mut self, bytes: u64) {
        let most = page::MOST_DOWNLOAD;
        say(&format!("the page is a download of {bytes} bytes; {most} are allowed"));
        if bytes > most {
            self.failed += 1;
            self.broken.push(format!("the download: {bytes} bytes are more than the {most} of xtask/src/page.rs"));
        } else {
            self.passed += 1;
        }
    }

    /// A check that is no test of cargo's counts as one.
    fn check(&mut self, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                self.broken.push(format!("{error:#}"));
            }
        }
    }

    /// Runs one command, shows what it prints, and adds up its `test result:` lines and `SKIPPED` lines.
    fn run(&mut self, command: &mut Command) -> Result<()> {
        let line = shell::line_of(command);
        // Colours would stand in the middle of the lines that are read here.
        command.env("CARGO_TERM_COLOR", "never").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting `{line}`"))?;
        let output = child.stdout.take().context("the child has no standard output")?;
        let errors = child.stderr.take().context("the child has no standard error")?;
        // Tests write `SKIPPED` past their harness, to standard error.
        let errors = std::thread::spawn(move || unable(errors));
        for text in BufReader::new(output).lines() {
            let text = text?;
            println!("{text}");
            self.count(&text);
        }
        self.unable.extend(errors.join().unwrap_or_default());
        if !child.wait()?.success() {
            self.broken.push(line);
        }
        Ok(())
    }

    fn count(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result:") else { return };
        let number = |word: &str| {
            let before = result.split(';').find_map(|part| part.trim().strip_suffix(word));
            before.and_then(|text| text.split_whitespace().last()?.parse::<u32>().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.skipped += number("ignored");
    }
}

/// Passes on what a command writes, and returns the names of the tests that say they are skipped.
fn unable(errors: impl Read) -> Vec<String> {
    let mut names = Vec::new();
    for text in BufReader::new(errors).lines().map_while(std::result::Result::ok) {
        eprintln!("{text}");
        // `SKIPPED name: why`, perhaps behind the unfinished line of another test.
        names.extend(text.split_once("SKIPPED ").map(|(_, rest)| rest.split(':').next().unwrap_or(rest).to_owned()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let mut sum = Sum::default();
        sum.count("test result: ok. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.00s");
        sum.count("test result: FAILED. 3 passed; 4 failed; 0 ignored");
        sum.count("a test result of 9 passed");
        assert_eq!((sum.passed, sum.failed, sum.skipped), (15, 5, 2));
    }

    #[test]
    fn tests_that_say_they_are_skipped_are_named() {
        let errors = "   Compiling x\nSKIPPED a_test: chromedriver is missing\ntest b ... SKIPPED lab mtu: needs root\n";
        assert_eq!(unable(errors.as_bytes()), ["a_test", "lab mtu"]);
    }
}
