//! The rows of the packet list and of the flow graph: nothing of them is cut that tells packets apart, and the keyboard reaches
//! all of them, however long the list is.

use anyhow::Result;
use dropscope_e2e::{Browser, Dropscope, can_browse};
use std::path::Path;
use tempfile::TempDir;

/// A pcap of one conversation: a handshake, then segments of 10 bytes, each answered by an acknowledgement 659 µs later; the one
/// with number `lost` is left out. Addresses and lengths are as long as IPv4 has them.
fn conversation(path: &Path, segments: u32, lost: u32) -> Result<()> {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let mut file: Vec<u8> = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1_u32].iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut packet = |us: u64, is_client: bool, seq: u32, ack: u32, flags: u8, payload: u16| {
        let (client, server) = (([192, 168, 100, 111], 50_123_u16), ([192, 168, 100, 222], 8_080_u16));
        let (from, to) = if is_client { (client, server) } else { (server, client) };
        let mut bytes = vec![2, 0, 0, 0, 0, u8::from(is_client), 2, 0, 0, 0, 0, u8::from(!is_client), 8, 0];
        let ip = bytes.len();
        bytes.extend([0x45, 0]);
        bytes.extend((40 + payload).to_be_bytes());
        bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend(from.0);
        bytes.extend(to.0);
        let sum: u32 = bytes[ip..].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend(from.1.to_be_bytes());
        bytes.extend(to.1.to_be_bytes());
        bytes.extend(seq.to_be_bytes());
        bytes.extend(ack.to_be_bytes());
        bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.resize(bytes.len() + usize::from(payload), b'x');
        let length = bytes.len() as u32;
        let (seconds, micros) = (1_700_000_000 + (us / 1_000_000) as u32, (us % 1_000_000) as u32);
        file.extend([seconds, micros, length, length].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(bytes);
    };
    packet(0, true, 0, 0, SYN, 0);
    packet(659, false, 0, 1, SYN | ACK, 0);
    packet(1_318, true, 1, 1, ACK, 0);
    for n in 0..segments {
        let us = 2_000 + u64::from(n) * 2_000;
        if n != lost {
            packet(us, true, 1 + n * 10, 1, ACK | 8, 10);
        }
        packet(us + 659, false, 1, 11 + n * 10, ACK, 0);
    }
    Ok(std::fs::write(path, file)?)
}

/// A server with a long conversation, of which segment `lost`, after packet `3 + 2 * lost`, is missing.
async fn serve(folder: &TempDir, lost: u32) -> Result<Dropscope> {
    let path = folder.path().join("a-capture-with-a-long-name-of-web-1.example.org-2026-11-30.pcap");
    conversation(&path, 20_000, lost)?;
    Dropscope::start(&["open", "--port", "0", &path.to_string_lossy()]).await
}

/// The rung or row that is chosen and lies within its list.
const CHOSEN: &str = "
    const row = document.querySelector('[data-grid] [aria-selected=true]'), list = document.querySelector('[data-grid]');
    if (!row) return null;
    const [r, l] = [row, list].map(e => e.getBoundingClientRect());
    return r.top >= l.top - 1 && r.bottom <= l.bottom + 1 ? row.dataset.rung ?? row.dataset.packet ?? row.dataset.missing : null;";

async fn is_chosen(browser: &Browser, what: &str) -> Result<()> {
    let script = format!("return (() => {{ {CHOSEN} }})() === '{what}'");
    browser.wait_until(&format!("{what}, chosen and in sight"), &script).await.map(drop)
}

#[tokio::test]
async fn the_flow_graph_goes_to_a_packet_however_far_and_on_from_there() -> Result<()> {
    if !can_browse("the_flow_graph_goes_to_a_packet_however_far_and_on_from_there") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dropscope = serve(&folder, 15_000).await?;
    let browser = Browser::open().await?;
    browser.goto(&format!("{}&view=ladder&at=p30003", dropscope.link())).await?;
    is_chosen(&browser, "30003").await?;
    browser.screenshot("flow-graph-far").await?;
    // The bytes of one segment are missing before the acknowledgement that shows it: they are a rung of their own.
    let hole = "150001-150010";
    for (key, chosen) in [("j", hole), ("j", "30004"), ("j", "30005"), ("k", "30004"), ("k", hole), ("k", "30003")] {
        browser.key(key).await?;
        is_chosen(&browser, chosen).await?;
    }
    // Rows that are not loaded are reached, too.
    for (key, chosen) in [("Home", "1"), ("End", "40002"), ("k", "40001")] {
        browser.key(key).await?;
        is_chosen(&browser, chosen).await?;
    }
    browser.click("[data-tab=packets]").await?;
    is_chosen(&browser, "40001").await?;
    for (key, chosen) in [("k", "40000"), ("Home", "1"), ("j", "2"), ("End", "40002")] {
        browser.key(key).await?;
        is_chosen(&browser, chosen).await?;
    }
    browser.close().await
}

#[tokio::test]
async fn number_time_and_length_are_never_cut_and_info_keeps_room() -> Result<()> {
    if !can_browse("number_time_and_length_are_never_cut_and_info_keeps_room") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dropscope = serve(&folder, 15_000).await?;
    let browser = Browser::open().await?;
    for width in [600, 1024, 1280, 1440, 1920] {
        browser.viewport(width, 900, 1).await?;
        browser.goto(&format!("{}&at=p30003", dropscope.link())).await?;
        is_chosen(&browser, "30003").await?;
        let is_whole = "const rows = [...document.querySelectorAll('[data-packet]')];
            const cells = rows.flatMap(row => [row.children[0], row.children[1], row.lastElementChild]);
            const cut = cells.filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent);
            const same = rows.filter((row, i) => i > 0 && row.children[1].textContent === rows[i - 1].children[1].textContent);
            const info = Math.min(...rows.map(row => row.querySelector('.packet__info').clientWidth));
            return { rows: rows.length, cut, same: same.length, info };";
        let seen = browser.eval(is_whole).await?;
        assert!(seen["rows"].as_u64() > Some(10), "{width}: {seen}");
        assert_eq!((&seen["cut"], &seen["same"]), (&serde_json::json!([]), &serde_json::json!(0)), "{width}: {seen}");
        // Room for 26 characters: `Flags [P.], seq 1:11, ack 1`.
        assert!(seen["info"].as_f64() >= Some(180.0), "{width}: {seen}");
        browser.screenshot(&format!("packets-{width}")).await?;
    }
    browser.close().await
}

#[tokio::test]
async fn the_menu_of_a_row_opens_by_key_and_gives_the_focus_back() -> Result<()> {
    if !can_browse("the_menu_of_a_row_opens_by_key_and_gives_the_focus_back") {
        return Ok(());
    }
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("reference")?).await?;
    browser.click("[data-packet='2']").await?;
    is_chosen(&browser, "2").await?;
    for (key, held) in [("F10", 8), ("ContextMenu", 0)] {
        browser.key_with(key, held).await?;
        browser.wait_for("[role=menu]", "Filter for ip.addr == 10.255.255.5").await?;
        browser.wait_until("the focus in the menu", "return document.activeElement?.role === 'menuitem'").await?;
        browser.key("Escape").await?;
        browser.wait_until("the menu to close", "return !document.querySelector('[role=menu]')").await?;
        browser.wait_until("the focus on the list", "return document.activeElement?.id === 'packet-list'").await?;
    }
    // The next key goes on from the same row.
    browser.key("j").await?;
    is_chosen(&browser, "3").await?;
    browser.close().await
}
