//! The page with files and with the reference case, in headless Chromium.

use anyhow::{Context, Result};
use dropscope_e2e::{Browser, Dropscope, Wire, can_browse, check, run_to_end};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The reference case as a file.
async fn reference(folder: &TempDir) -> Result<PathBuf> {
    let path = folder.path().join("reference.pcapng");
    let output = run_to_end(&["reference", "-o", &path.to_string_lossy()]).await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(path)
}

/// The same packets as plain pcap, without anything the kernel counted.
fn packets_alone(log: &Path) -> Result<PathBuf> {
    let path = log.with_extension("pcap");
    let status = std::process::Command::new("tshark").arg("-r").arg(log).args(["-F", "pcap", "-w"]).arg(&path).status()?;
    anyhow::ensure!(status.success(), "tshark could not convert {}", log.display());
    Ok(path)
}

/// The finding of this rule in the answer of `check --json`.
fn finding<'a>(answer: &'a Value, rule: &str) -> Result<&'a Value> {
    let findings = answer["findings"].as_array().context("no findings")?;
    findings.iter().find(|finding| finding["rule"] == rule).with_context(|| format!("{rule} is not among {findings:#?}"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key}"))
}

#[tokio::test]
async fn the_reference_case_is_there_without_a_file() -> Result<()> {
    if !can_browse("the_reference_case_is_there_without_a_file") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("reference")?).await?;
    let told = browser.wait_for("[data-finding=interface_mtu]", "100").await?;
    assert!(told.contains("eth0"), "{told}");
    browser.wait_for("[data-finding=firewall_drop]", "INPUT").await?;
    browser.screenshot("reference").await?;
    browser.close().await
}

#[tokio::test]
async fn a_dropped_file_gives_the_same_findings_as_the_command_line() -> Result<()> {
    if !can_browse("a_dropped_file_gives_the_same_findings_as_the_command_line") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = reference(&folder).await?;
    let expected = check(&log).await?;
    let mtu = finding(&expected, "interface_mtu")?;

    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&log).await?;
    browser.wait_for("[data-finding=interface_mtu]", "100").await?;
    browser.wait_until("the end of loading", "return !document.querySelector('#progress')").await?;
    let ids =
        browser.eval("return [...document.querySelectorAll('[data-finding]')].map(e => e.dataset.findingId).sort()").await?;
    let mut wanted: Vec<&str> = expected["findings"].as_array().into_iter().flatten().filter_map(|f| f["id"].as_str()).collect();
    wanted.sort_unstable();
    assert_eq!(ids, serde_json::json!(wanted));

    // Choosing the finding selects its packets and puts it into the address, and the same file opens there again.
    browser.click("[data-finding=interface_mtu]").await?;
    browser.wait_until("the finding in the address", "return location.hash.includes('interface_mtu')").await?;
    browser.wait_for("[data-detail=interface_mtu]", "bytes 1").await?;
    assert!(browser.count("[data-packet]").await? > 0);
    browser.screenshot("finding").await?;
    assert!(text(mtu, "sentence")?.contains("100"));
    browser.close().await
}

#[tokio::test]
async fn without_counters_the_finding_is_weaker_and_says_why() -> Result<()> {
    if !can_browse("without_counters_the_finding_is_weaker_and_says_why") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = reference(&folder).await?;
    let (with, without) = (check(&log).await?, check(&packets_alone(&log)?).await?);
    let rank = |answer: &Value| -> Result<usize> {
        let confidence = text(finding(answer, "interface_mtu")?, "confidence")?.to_owned();
        ["possible", "strong", "proved"].iter().position(|word| *word == confidence).context("an unknown confidence")
    };
    assert!(rank(&without)? < rank(&with)?);
    assert!(text(finding(&without, "interface_mtu")?, "why")?.contains("counter"), "{without:#}");
    Ok(())
}

/// The most that may go to the browser until the findings of a dropped capture show: the files, as `cargo xtask test browser`
/// measures them one by one, and here also the headers before each and the answers of the server's API.
const DOWNLOAD: u64 = 900_000 + 12_000;

#[tokio::test]
async fn the_page_is_a_small_download_and_shows_compressed_logs_as_others() -> Result<()> {
    if !can_browse("the_page_is_a_small_download_and_shows_compressed_logs_as_others") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = reference(&folder).await?;
    let capture = packets_alone(&log)?;
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let wire = Wire::to(dropscope.link()).await?;
    let browser = Browser::open().await?;
    browser.goto(&wire.link(&dropscope.page("")?)).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&capture).await?;
    browser.wait_for("[data-finding=interface_mtu]", "").await?;
    browser.wait_for("[data-packet='1']", "10.255.255.5:2143").await?;
    let bytes = wire.to_browser();
    println!("{bytes} bytes went to the browser until the findings showed");
    assert!(bytes < DOWNLOAD, "{bytes} bytes went to the browser until the findings showed");

    // All of the page is there now: no view, filter or format needs anything more from the server.
    browser.click("[data-tab=conversations]").await?;
    browser.wait_for("[data-view=conversations]", "10.255.255.5:2143").await?;
    browser.click("[data-tab=packets]").await?;
    browser.type_into("#filter", "tcp.flags.reset == 1\u{e007}").await?;
    browser.wait_for(".view__bar", "packets").await?;
    browser.wait_until("only resets", "return !document.querySelector(\"[data-packet='1']\")").await?;
    let packed = log.with_extension("pcapng.gz");
    let status = std::process::Command::new("sh").args(["-c", "gzip -c \"$0\" > \"$1\""]).args([&log, &packed]).status()?;
    anyhow::ensure!(status.success(), "gzip failed");
    browser.drop_file(&packed).await?;
    browser.wait_for("[data-finding=firewall_drop]", "").await?;
    let more = wire.to_browser() - bytes;
    assert!(more < 12_000, "{more} bytes went to the browser later");
    browser.close().await
}

#[tokio::test]
async fn what_is_no_capture_or_cut_short_is_told_and_what_was_readable_is_shown() -> Result<()> {
    if !can_browse("what_is_no_capture_or_cut_short_is_told_and_what_was_readable_is_shown") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = reference(&folder).await?;
    let bytes = std::fs::read(&log)?;
    let (cut, notes) = (folder.path().join("cut.pcapng"), folder.path().join("notes.txt"));
    std::fs::write(&cut, &bytes[..bytes.len() - 10])?;
    std::fs::write(&notes, "eth0 lost packets again, see the ticket\n")?;

    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&notes).await?;
    browser.wait_for("#trouble", "not a capture").await?;
    // There is nothing to look at, so the page offers what it offers when it is empty.
    browser.wait_for("#drop-zone", "").await?;
    assert_eq!(browser.count("[data-packet], [data-tab]").await?, 0);
    browser.screenshot("not-a-capture").await?;
    browser.drop_file(&cut).await?;
    browser.wait_for("#trouble", "ends inside a record").await?;
    browser.wait_for("[data-finding=interface_mtu]", "100").await?;
    browser.screenshot("cut-short").await?;
    browser.close().await
}

#[tokio::test]
async fn a_shared_link_opens_the_same_finding_in_another_profile() -> Result<()> {
    if !can_browse("a_shared_link_opens_the_same_finding_in_another_profile") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = reference(&folder).await?;
    let dropscope = Dropscope::start(&["open", "--port", "0", &log.to_string_lossy()]).await?;
    let browser = Browser::open().await?;
    browser.goto(dropscope.link()).await?;
    browser.click("[data-finding=interface_mtu]").await?;
    browser.wait_for("[data-detail=interface_mtu]", "eth0").await?;
    let link = browser.share().await?;
    assert!(link.contains("interface_mtu"), "{link}");
    assert!(!link.contains(dropscope.token()?), "the link gives the owner's rights away");

    let other = Browser::open().await?;
    other.goto(&link).await?;
    other.wait_for("[data-detail=interface_mtu]", "eth0").await?;
    let chosen = "return document.querySelector('[data-finding][aria-selected=true]')?.dataset.finding";
    assert_eq!(other.wait_until("the chosen finding", chosen).await?, "interface_mtu");
    other.close().await?;
    browser.close().await
}

#[tokio::test]
async fn a_local_file_is_uploaded_only_when_asked_and_then_opens_from_its_link() -> Result<()> {
    if !can_browse("a_local_file_is_uploaded_only_when_asked_and_then_opens_from_its_link") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let log = reference(&folder).await?;
    let data = folder.path().join("data");
    let dropscope = Dropscope::start(&["--port", "0", "--data", &data.to_string_lossy()]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    browser.drop_file(&log).await?;
    browser.click("[data-finding=interface_mtu]").await?;
    browser.wait_for("[data-status=uploaded]", "0 bytes uploaded").await?;
    let kept = || walk(&data).map(|files| files.iter().any(|file| file.ends_with("log")));
    assert!(!kept()?, "the server holds a capture that nobody uploaded");

    browser.click("#share").await?;
    browser.wait_for("#share-upload", "kB").await?;
    browser.screenshot("share-local").await?;
    browser.click("#share-upload").await?;
    let link = "return document.querySelector('#share-link code')?.textContent";
    let link = browser.wait_until("the link to share", link).await?;
    browser.wait_for("[data-status=uploaded]", "kB uploaded").await?;
    assert!(kept()?, "the server holds no capture after the upload");
    // Asked again, it does not offer to upload what lies on the server, and says who can open the link.
    browser.key("Escape").await?;
    browser.wait_until("the sheet to close", "return !document.querySelector('.sheet')").await?;
    browser.click("#share").await?;
    browser.wait_for(".sheet", "lies on the server").await?;
    browser.wait_for("#share-only-here", "127.0.0.1").await?;
    assert_eq!(browser.count("#share-upload").await?, 0);
    browser.screenshot("share-uploaded").await?;
    browser.click("#share-copy").await?;
    let again = "return document.querySelector('#share-link code')?.textContent";
    assert_eq!(browser.wait_until("the same link", again).await?, link);
    let other = Browser::open().await?;
    other.goto(link.as_str().context("the link is no text")?).await?;
    other.wait_for("[data-detail=interface_mtu]", "eth0").await?;
    other.close().await?;
    browser.close().await
}

#[tokio::test]
async fn a_right_click_on_a_packet_filters_follows_and_copies() -> Result<()> {
    if !can_browse("a_right_click_on_a_packet_filters_follows_and_copies") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.wait_for("[data-packet='1']", "10.255.255.5:2143").await?;
    let items = "return [...document.querySelectorAll('[role=menuitem]')].map(item => item.textContent).join('\\n')";

    browser.right_click("[data-packet='1']").await?;
    let told = browser.wait_until("the menu", items).await?;
    let told = told.as_str().context("the menu has no text")?;
    let wanted =
        ["Filter for ip.addr == 10.255.255.5", "Follow this conversation", "tcpdump line", "as filter", "link to this packet"];
    for words in wanted {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    browser.screenshot("menu").await?;
    // Escape closes the menu and nothing else; the arrow keys and Enter choose.
    browser.key("Escape").await?;
    browser.wait_until("the menu to close", "return !document.querySelector('[role=menu]')").await?;
    browser.right_click("[data-packet='1']").await?;
    browser.wait_until("the menu", items).await?;
    browser.key("ArrowDown").await?;
    browser.key("Enter").await?;
    browser.wait_until("the filter in the address", "return location.hash.includes('172.17.0.2')").await?;
    browser.wait_until("the menu to close", "return !document.querySelector('[role=menu]')").await?;

    browser.right_click("[data-packet='2']").await?;
    let follow = "const item = [...document.querySelectorAll('[role=menuitem]')].find(i => i.textContent.startsWith('Follow'));
        item?.click(); return !!item;";
    browser.wait_until("the item that follows", follow).await?;
    browser.wait_for("[data-view=ladder]", "10.255.255.5:2144").await?;
    browser.close().await
}

/// Every file below a folder that may not be there yet.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { files.extend(walk(&path)?) } else { files.push(path) }
        }
    }
    Ok(files)
}
