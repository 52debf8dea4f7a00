//! The page when something fails or is too large: its engine dies, a file changes under it, a reading is cancelled.

use anyhow::{Context, Result};
use dropscope_e2e::{Browser, Dropscope, can_browse, run_to_end};
use serde_json::json;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Before the page starts: its Workers stand behind a module that imports the real one and throws when it is told to. An
/// exception that nobody catches is how a trap of WebAssembly and memory that cannot be had look to a browser.
const A_WORKER_THAT_CAN_BE_BROKEN: &str = "
    window.Worker = class extends Worker {
        constructor(url, options) {
            const source = `import '${new URL(url, location)}';
                addEventListener('message', event => { if (event.data.fault) throw new Error(event.data.fault); });`;
            super(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})), options);
            window.engine = this;
        }
    };";

#[tokio::test]
async fn an_engine_that_dies_is_told_and_reads_the_same_file_again_when_it_is_started() -> Result<()> {
    if !can_browse("an_engine_that_dies_is_told_and_reads_the_same_file_again_when_it_is_started") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = folder.path().join("reference.pcapng");
    run_to_end(&["reference", "-o", &log.to_string_lossy()]).await?;
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.devtools("Page.setBypassCSP", json!({"enabled": true})).await?;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": A_WORKER_THAT_CAN_BE_BROKEN})).await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&log).await?;
    browser.click("[data-finding=firewall_drop]").await?;
    let before = browser.url().await?;

    browser.eval("engine.postMessage({fault: 'out of memory'})").await?;
    let told = browser.wait_for("#trouble", "out of memory").await?;
    assert!(told.contains("Start the engine again"), "{told}");
    // What was shown stays, and no progress is claimed.
    assert!(browser.count("[data-finding]").await? > 0);
    assert_eq!(browser.count("#progress").await?, 0);
    browser.screenshot("engine-died").await?;

    browser.click("#restart").await?;
    browser.wait_until("the banner to go", "return !document.querySelector('#trouble')").await?;
    browser.wait_for("[data-finding=interface_mtu]", "100").await?;
    let chosen = "return document.querySelector('[data-finding][aria-selected=true]')?.dataset.finding";
    assert_eq!(browser.wait_until("the chosen finding", chosen).await?, "firewall_drop");
    assert_eq!(browser.url().await?, before);
    // The new engine answers: it reads packets again.
    browser.click("[data-tab=packets]").await?;
    browser.click("[data-packet]").await?;
    browser.wait_for(".tree", "Internet Protocol").await?;

    // A filter may be what it died of: the next engine starts without, and so does a page that is loaded again.
    browser.type_into("#filter", "tcp.port == 80\u{e007}").await?;
    browser.wait_until("the filter in the address", "return location.hash.includes('q=tcp.port')").await?;
    browser.eval("engine.postMessage({fault: 'out of memory'})").await?;
    let told = browser.wait_for("#trouble", "out of memory").await?;
    assert!(told.contains("tcp.port == 80"), "{told}");
    browser.wait_until("the address without the filter", "return !location.hash.includes('q=')").await?;
    browser.click("#restart").await?;
    browser.wait_until("the banner to go", "return !document.querySelector('#trouble')").await?;
    browser.wait_for("[data-finding=interface_mtu]", "100").await?;
    assert_eq!(browser.eval("return document.querySelector('#filter').value").await?, "");
    browser.close().await
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_open_is_told_and_what_was_read_stays() -> Result<()> {
    if !can_browse("a_file_that_shrinks_while_it_is_open_is_told_and_what_was_read_stays") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = large(folder.path(), 64)?;
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&log).await?;
    browser.wait_for("[data-packet]", "").await?;
    browser.wait_until("the end of loading", "return !document.querySelector('#progress')").await?;
    // A browser hands out no byte of a file that is not what it was when it was chosen.
    File::options().write(true).open(&log)?.set_len(1_000)?;
    browser.click("[data-packet='3']").await?;
    browser.wait_for("body", "can no longer read").await?;
    browser.screenshot("file-changed").await?;
    browser.close().await
}

#[tokio::test]
async fn reading_a_large_file_can_be_cancelled_and_what_was_read_stays() -> Result<()> {
    if !can_browse("reading_a_large_file_can_be_cancelled_and_what_was_read_stays") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let packets = 40_000;
    let log = large(folder.path(), packets)?;
    let size = std::fs::metadata(&log)?.len();
    assert!(size > 10_000_000_000, "{size}");
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&log).await?;
    // Useful while it is being read: packets are listed and one of them is decoded.
    browser.click("[data-packet='2']").await?;
    browser.wait_for(".tree", "Internet Protocol").await?;
    browser.wait_for("#progress", "GB").await?;
    browser.screenshot("large-reading").await?;
    browser.click("#cancel").await?;
    browser.wait_until("the end of loading", "return !document.querySelector('#progress')").await?;
    browser.wait_for(".status", "what was read is shown").await?;
    browser.screenshot("large-cancelled").await?;
    // It still answers; and an answer comes after all that was told of the reading, so that the number is the last one.
    let mut stopped_at = vec![];
    for no in [3, 4] {
        browser.click(&format!("[data-packet='{no}']")).await?;
        browser.wait_for(".tree", &format!("packet {no}")).await?;
        let read = browser.eval(READ_PACKETS).await?;
        stopped_at.push(read.as_str().and_then(|text| text.parse::<u32>().ok()).context("no number of packets")?);
    }
    assert_eq!(stopped_at[0], stopped_at[1]);
    assert!(stopped_at[0] > 0 && stopped_at[0] < packets, "{stopped_at:?} of {packets}");
    browser.close().await
}

/// The number of packets in the status bar.
const READ_PACKETS: &str = "return document.querySelector('[data-status=packets]').textContent.replace(/\\D/g, '')";

/// A pcap of this many packets of 256 KiB, the largest that is legal: all but the head of each is a hole, so that the disk
/// holds little of it.
fn large(folder: &Path, packets: u32) -> Result<PathBuf> {
    const LENGTH: u32 = 262_144;
    let path = folder.join("large.pcap");
    let mut file = File::create(&path)?;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    file.write_all(&words(&[0xa1b2_c3d4, 2 | 4 << 16, 0, 0, LENGTH, 1]))?;
    // Ethernet, then IPv4 and UDP of which the lengths cannot tell so much: what is behind is told as a trailer.
    let mut head = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    head.extend([0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0xb7, 0xcf, 192, 168, 0, 1, 192, 168, 0, 2]);
    head.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    for n in 0..packets {
        file.write_all(&words(&[1_700_000_000 + n / 1_000, n % 1_000 * 1_000, LENGTH, LENGTH]))?;
        file.write_all(&head)?;
        file.seek(SeekFrom::Current(i64::from(LENGTH) - head.len() as i64))?;
    }
    file.set_len(24 + u64::from(packets) * u64::from(LENGTH + 16))?;
    Ok(path)
}
