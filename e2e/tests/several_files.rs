//! Several files dropped at once.

use anyhow::{Context, Result};
use dropscope_e2e::{Browser, Dropscope, can_browse, check, run_to_end};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The packets of the reference case as `tcpdump -C` rotates them: three files, cut between packets.
async fn rotated(folder: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let (log, whole) = (folder.join("reference.pcapng"), folder.join("whole.pcap"));
    run_to_end(&["reference", "-o", &log.to_string_lossy()]).await?;
    let status = Command::new("tshark").arg("-r").arg(&log).args(["-F", "pcap", "-w"]).arg(&whole).status()?;
    anyhow::ensure!(status.success(), "tshark could not convert {}", log.display());
    let bytes = std::fs::read(&whole)?;
    let mut ends = vec![24];
    while let Some(kept) = bytes.get(ends[ends.len() - 1] + 8..).and_then(|rest| rest.first_chunk::<4>()) {
        ends.push(ends[ends.len() - 1] + 16 + u32::from_le_bytes(*kept) as usize);
    }
    let third = ends.len() / 3;
    let cuts = [24, ends[third], ends[2 * third], bytes.len()];
    let mut files = Vec::new();
    for (n, cut) in cuts.windows(2).enumerate() {
        let name = if n == 0 { "trace.pcap".to_owned() } else { format!("trace.pcap{n}") };
        files.push(folder.join(name));
        std::fs::write(&files[n], [&bytes[..24], &bytes[cut[0]..cut[1]]].concat())?;
    }
    Ok((whole, files))
}

#[tokio::test]
async fn files_that_go_on_from_each_other_are_one_capture_and_others_are_one_click_apart() -> Result<()> {
    if !can_browse("files_that_go_on_from_each_other_are_one_capture_and_others_are_one_click_apart") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let (whole, parts) = rotated(folder.path()).await?;
    let expected = check(&whole).await?;
    // The command puts them together, too, in whatever order they are named.
    let names = [2, 0, 1].map(|n: usize| parts[n].to_string_lossy().into_owned());
    let output = run_to_end(&["check", "--json", &names[0], &names[1], &names[2]]).await?;
    let together: serde_json::Value = serde_json::from_slice(&output.stdout).context("check printed no JSON")?;
    assert_eq!(together["findings"], expected["findings"]);
    assert_eq!(together["captures"].as_array().map(Vec::len), Some(1));

    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_files(&[&parts[1], &parts[2], &whole, &parts[0]]).await?;
    browser.wait_for("#source", "trace.pcap + 2").await?;
    browser.wait_for("#captures", "whole.pcap").await?;
    browser.wait_for("[data-finding=interface_mtu]", "").await?;
    browser.wait_until("the end of loading", "return !document.querySelector('#progress')").await?;
    let ids = "return [...document.querySelectorAll('[data-finding]')].map(e => e.dataset.findingId).sort()";
    let packets = "return parseInt(document.querySelector('[data-status=packets]').textContent)";
    let (found, read) = (browser.eval(ids).await?, browser.eval(packets).await?);
    let mut wanted: Vec<&str> = expected["findings"].as_array().into_iter().flatten().filter_map(|f| f["id"].as_str()).collect();
    wanted.sort_unstable();
    assert_eq!(found, serde_json::json!(wanted));
    for (width, name) in [(1280, "several-files"), (600, "several-files-600")] {
        browser.resize(width, 720).await?;
        browser.screenshot(name).await?;
    }
    browser.click("#theme").await?;
    browser.click("#language").await?;
    browser.screenshot("several-files-dark-chinese").await?;

    // The other one, by one click; and back.
    browser.click("#captures button:not([aria-current=true])").await?;
    browser.wait_for("#source", "whole.pcap").await?;
    browser.wait_until("the file in the address", "return location.hash.includes('file/whole.pcap')").await?;
    browser.wait_for("[data-finding=interface_mtu]", "").await?;
    browser.wait_until("the end of loading", "return !document.querySelector('#progress')").await?;
    assert_eq!((browser.eval(ids).await?, browser.eval(packets).await?), (found, read));
    browser.eval("history.back()").await?;
    browser.wait_for("#source", "trace.pcap + 2").await?;
    browser.wait_for("[data-finding=interface_mtu]", "").await?;
    browser.close().await
}
