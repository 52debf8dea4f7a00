//! Live, in real namespaces: the agent records where packets get lost, the page shows why while it happens.

use anyhow::{Context, Result};
use dropscope_e2e::{Browser, Dropscope, can_run_labs, check};
use dropscope_labs::{Lab, Running};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A lab with an agent that watches its server, and its host, and shows both.
struct Watched {
    lab: Running,
    dropscope: Dropscope,
    log: PathBuf,
}

async fn watch(name: &str, folder: &TempDir) -> Result<Watched> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("e{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let lab = Lab::named(name)?.start(&prefix)?;
    let log = folder.path().join(format!("{name}.pcapng"));
    let (server, host) = (lab.net().server.name(), lab.net().between.name());
    let out = log.to_string_lossy();
    let interface = format!("{server}/eth0");
    let args = ["live", "-i", &interface, "--netns", server, "--netns", host, "--port", "0", "-o", &out, "port 80"];
    let dropscope = Dropscope::start(&args).await?;
    Ok(Watched { lab, dropscope, log })
}

/// Sends the lab's traffic, off the runtime's thread, and returns the lab.
async fn load(mut lab: Running) -> Result<Running> {
    tokio::task::spawn_blocking(move || {
        lab.load()?;
        Ok(lab)
    })
    .await?
}

/// How many packets tshark counts in a log; an error if it does not open.
fn tshark_count(log: &Path) -> Result<u64> {
    let output = std::process::Command::new("tshark")
        .arg("-n")
        .arg("-r")
        .arg(log)
        .args(["-T", "fields", "-e", "frame.number"])
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = errors.lines().filter(|line| !line.contains("Running as user")).collect();
    anyhow::ensure!(output.status.success() && complaints.is_empty(), "tshark says: {complaints:?}");
    Ok(output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64)
}

fn packets(answer: &Value) -> Result<u64> {
    answer["captures"][0]["packets"].as_u64().context("no number of packets")
}

fn finding<'a>(answer: &'a Value, rule: &str, words: &str) -> Result<&'a Value> {
    let findings = answer["findings"].as_array().context("no findings")?;
    let fits =
        |finding: &&Value| finding["rule"] == rule && finding["sentence"].as_str().is_some_and(|text| text.contains(words));
    findings.iter().find(fits).with_context(|| format!("no {rule} with `{words}` in {findings:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mtu_100_the_interface_is_named_live_and_the_link_opens_elsewhere() -> Result<()> {
    if !can_run_labs("in_mtu_100_the_interface_is_named_live_and_the_link_opens_elsewhere") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let Watched { lab, dropscope, log } = watch("mtu-100", &folder).await?;
    let browser = Browser::open().await?;
    browser.goto(dropscope.link()).await?;
    browser.wait_for("body", "live").await?;
    let lab = load(lab).await?;
    let told = browser.wait_for("[data-finding=interface_mtu]", "100").await?;
    assert!(told.contains("eth0"), "{told}");
    browser.click("[data-finding=interface_mtu]").await?;
    let inspector = browser.wait_for("[data-detail=interface_mtu]", "ip link set dev eth0 mtu 1500").await?;
    assert!(inspector.contains("bytes"), "{inspector}");
    browser.wait_until("its packets lit", "return document.querySelectorAll('[data-packet].is-lit').length").await?;
    browser.screenshot("mtu-100-live").await?;

    let link = browser.share().await?;
    let other = Browser::open().await?;
    other.goto(&link).await?;
    other.wait_for("[data-detail=interface_mtu]", "ip link set dev eth0 mtu 1500").await?;
    other.close().await?;
    browser.close().await?;
    dropscope.stop().await?;
    drop(lab);

    let answer = check(&log).await?;
    assert_eq!(packets(&answer)?, tshark_count(&log)?);
    let mtu = finding(&answer, "interface_mtu", "eth0")?;
    // The host's side is watched too, so the drop is told to lie between the two ends of the pair.
    assert!(mtu["why"].as_str().is_some_and(|why| why.contains("veth-c")), "{mtu:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_random_drop_both_rules_are_named_with_their_share_and_conntrack_is_fine() -> Result<()> {
    if !can_run_labs("in_random_drop_both_rules_are_named_with_their_share_and_conntrack_is_fine") {
        return Ok(());
    }
    for name in ["random-drop", "random-drop-legacy"] {
        let folder = TempDir::new()?;
        let Watched { lab, dropscope, log } = watch(name, &folder).await?;
        let browser = Browser::open().await?;
        browser.goto(dropscope.link()).await?;
        let lab = load(lab).await?;
        for chain in ["INPUT", "OUTPUT"] {
            browser.wait_for("[data-finding=firewall_drop]", chain).await?;
        }
        browser.screenshot(name).await?;
        browser.close().await?;
        dropscope.stop().await?;
        drop(lab);

        let answer = check(&log).await?;
        assert_eq!(packets(&answer)?, tshark_count(&log)?);
        for chain in ["INPUT", "OUTPUT"] {
            let rule = finding(&answer, "firewall_drop", chain)?;
            assert!(rule["count"].as_u64().is_some_and(|hits| hits > 0), "{rule:#}");
            let why = rule["why"].as_str().context("no why")?;
            assert!(why.contains("0.3") && why.contains("95 %"), "{why}");
        }
        let checked = answer["checked"].as_array().context("nothing was checked")?;
        let conntrack =
            checked.iter().find(|checked| checked["rule"] == "conntrack_full").context("conntrack was not checked")?;
        assert_eq!(conntrack["verdict"], "clear", "{conntrack:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_healthy_nothing_alarms() -> Result<()> {
    if !can_run_labs("in_healthy_nothing_alarms") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let Watched { lab, dropscope, log } = watch("healthy", &folder).await?;
    let browser = Browser::open().await?;
    browser.goto(dropscope.link()).await?;
    let lab = load(lab).await?;
    browser.wait_for("body", "packets").await?;
    browser.screenshot("healthy").await?;
    browser.close().await?;
    dropscope.stop().await?;
    drop(lab);
    let answer = check(&log).await?;
    assert_eq!(packets(&answer)?, tshark_count(&log)?);
    assert!(packets(&answer)? > 0);
    let loud: Vec<&Value> = answer["findings"].as_array().into_iter().flatten().filter(|f| f["severity"] != "note").collect();
    assert!(loud.is_empty(), "{loud:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_when_the_reader_scrolls_back_and_what_is_new_is_counted() -> Result<()> {
    if !can_run_labs("following_ends_when_the_reader_scrolls_back_and_what_is_new_is_counted") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let Watched { mut lab, dropscope, .. } = watch("healthy", &folder).await?;
    let browser = Browser::open().await?;
    browser.goto(dropscope.link()).await?;
    browser.wait_for("body", "live").await?;
    // More than a screenful, so that there is something to scroll.
    let overflows = "const l = document.querySelector('#packet-list'); return l && l.scrollHeight > 2 * l.clientHeight;";
    while browser.eval(overflows).await? != true {
        lab = load(lab).await?;
    }
    browser.click("#follow").await?;
    let at_end = "const l = document.querySelector('#packet-list');
        return document.querySelector('#follow').ariaPressed === 'true' && l.scrollTop + l.clientHeight >= l.scrollHeight - 1;";
    browser.wait_until("the end of the list", at_end).await?;
    lab = load(lab).await?;
    browser.wait_until("the list to keep up", at_end).await?;

    // Whoever scrolls back reads: nothing moves any more, and what came since is counted.
    browser.eval("document.querySelector('#packet-list').scrollTop = 0").await?;
    browser.wait_until("following to end", "return document.querySelector('#follow').ariaPressed === 'false'").await?;
    lab = load(lab).await?;
    let badge = browser.wait_for("#new", "new").await?;
    assert!(badge.starts_with(|c: char| c.is_ascii_digit()), "{badge}");
    assert_eq!(browser.eval("return document.querySelector('#packet-list').scrollTop").await?, 0);
    browser.screenshot("live-new").await?;
    browser.click("#new").await?;
    browser.wait_until("the end of the list", at_end).await?;
    assert_eq!(browser.count("#new").await?, 0);
    browser.close().await?;
    dropscope.stop().await?;
    drop(lab);
    Ok(())
}

/// Passes connections on to `port` and can cut all of them at once. Returns its own port and what cuts.
async fn cutter(port: u16) -> Result<(u16, tokio::sync::broadcast::Sender<()>)> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let own = listener.local_addr()?.port();
    let (cut, _) = tokio::sync::broadcast::channel(1);
    let cuts = cut.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut cut = cuts.subscribe();
            tokio::spawn(async move {
                let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.recv() => {}
                }
            });
        }
    });
    Ok((own, cut))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_cut_off_ten_times_ends_with_the_whole_log() -> Result<()> {
    if !can_run_labs("a_page_that_is_cut_off_ten_times_ends_with_the_whole_log") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let Watched { mut lab, dropscope, log } = watch("healthy", &folder).await?;
    let port = dropscope.link().split([':', '/']).find_map(|part| part.parse::<u16>().ok()).context("the link has no port")?;
    let (proxy, cut) = cutter(port).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.link().replace(&format!(":{port}/"), &format!(":{proxy}/"))).await?;
    let is_live = "return document.querySelector('#link')?.dataset.link === 'live'";
    browser.wait_until("a live connection", is_live).await?;
    // It connects again within half a second, so cuts are counted in the page, not looked for from here.
    let count_cuts = "window.cuts = 0;
        new MutationObserver(all => { window.cuts += all.filter(one => one.oldValue === 'live').length; })
            .observe(document.body, {subtree: true, attributeFilter: ['data-link'], attributeOldValue: true});";
    browser.eval(count_cuts).await?;
    for no in 1..=10 {
        lab = load(lab).await?;
        cut.send(())?;
        browser.wait_until("the page to notice the cut", &format!("return window.cuts >= {no}")).await?;
        browser.wait_until("a live connection", is_live).await?;
    }
    dropscope.stop().await?;
    drop(lab);
    browser.wait_until("the log's end", "return document.querySelector('#link')?.dataset.link === 'ended'").await?;
    let expected = packets(&check(&log).await?)?;
    assert_eq!(expected, tshark_count(&log)?);
    let shown = "return Number(document.querySelector('[data-status=packets]')?.textContent.replace(/[^0-9]/g, ''))";
    assert_eq!(browser.eval(shown).await?.as_u64(), Some(expected));
    let bytes = "return Number(document.querySelector('[data-status=packets]')?.dataset.bytes)";
    assert_eq!(browser.eval(bytes).await?.as_u64(), Some(std::fs::metadata(&log)?.len()));
    browser.close().await
}
