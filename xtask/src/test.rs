//! All tests, in parts, and the sum of what they say.

use crate::shell::{self, say};
use crate::{page, setup};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const WASM: &str = "wasm32-unknown-unknown";

/// Tests counted over all parts.
#[derive(Default)]
struct Sum {
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Parts that ended badly, by their command line.
    broken: Vec<String>,
}

/// Sets up and runs the parts named, or all. The last line counts tests.
pub(crate) fn test(parts: &[String]) -> Result<()> {
    let known = ["native", "wasm", "browser"];
    if let Some(unknown) = parts.iter().find(|part| !known.contains(&part.as_str())) {
        bail!("there is no part `{unknown}`; there are {}", known.join(", "));
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let path = setup::for_tests()?;
    let mut sum = Sum::default();
    if wanted("native") {
        native(&mut sum)?;
    }
    if wanted("wasm") {
        wasm(&mut sum, &path)?;
    }
    if wanted("browser") {
        browser(&mut sum, &path)?;
    }
    for line in &sum.broken {
        say(&format!("failed: {line}"));
    }
    let failed = sum.failed.max(sum.broken.len() as u32);
    println!("{} passed, {failed} failed, {} skipped", sum.passed, sum.skipped);
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// Everything that runs on this machine without the page: core, agent, review, labs, and the page's pure parts.
fn native(sum: &mut Sum) -> Result<()> {
    say("formatting");
    sum.broken.extend(shell::run("cargo", &["fmt", "--all", "--check"]).err().map(|error| error.to_string()));
    say("native tests");
    sum.run(Command::new("cargo").args(["test", "--no-fail-fast"]))?;
    sum.run(Command::new("cargo").args(["test", "--no-fail-fast", "-p", "dropscope-frontend"]))
}

/// What runs as WebAssembly in a headless browser.
fn wasm(sum: &mut Sum, path: &OsStr) -> Result<()> {
    let Some(driver) = shell::which("chromedriver") else {
        say("SKIPPED the tests in WebAssembly: chromedriver is missing");
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

/// The real page in a real browser, against the real agent in real namespaces.
fn browser(sum: &mut Sum, path: &OsStr) -> Result<()> {
    page::build_with(path)?;
    sum.count_download(page::download()?);
    say("tests of page, agent and labs together");
    shell::run("cargo", &["build", "-p", "dropscope-agent"])?;
    let binary = setup::target_folder().join("debug/dropscope");
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--no-fail-fast", "-p", "dropscope-e2e"]).env("DROPSCOPE", binary.canonicalize()?);
    sum.run(&mut cargo)
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

    /// Runs one command, shows what it prints, and adds up its `test result:` lines and `SKIPPED` lines.
    fn run(&mut self, command: &mut Command) -> Result<()> {
        let line = shell::line_of(command);
        // Colours would stand in the middle of the lines that are read here.
        command.env("CARGO_TERM_COLOR", "never").stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting `{line}`"))?;
        let output = child.stdout.take().context("the child has no standard output")?;
        for text in BufReader::new(output).lines() {
            let text = text?;
            println!("{text}");
            self.count(&text);
        }
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
}
