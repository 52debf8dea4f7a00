//! A folder of segments against a real file system: bounds, restarts, freezes.

use super::*;
use dropscope_core::log::Encoder;
use dropscope_core::log::record::Section;
use std::path::PathBuf;

const SEGMENT: u64 = 4096;

fn bounds() -> Bounds {
    Bounds {
        segment_bytes: SEGMENT,
        segment_time: Duration::from_secs(3600),
        keep_bytes: None,
        keep_time: None,
        freeze: Duration::from_secs(60),
        most_frozen: 2,
    }
}

/// A section's head for the next segment.
fn head(segments: &Segments) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::begin(&Section { comments: vec![segments.next().comment()], ..Section::default() }, &mut out);
    out
}

/// A block that readers pass over.
fn block(length: usize) -> Vec<u8> {
    let size = (length as u32).to_le_bytes();
    [&0x8000_0000_u32.to_le_bytes()[..], &size, &vec![7; length - 12], &size].concat()
}

fn begun(folder: &Path, bounds: Bounds) -> Segments {
    let mut segments = Segments::open(folder, bounds).unwrap();
    segments.begin_next(&head(&segments)).unwrap();
    segments
}

/// Appends blocks of 1,000 bytes, as the recorder does it.
fn append(segments: &mut Segments, blocks: usize) {
    for _ in 0..blocks {
        segments.append(&block(1000)).unwrap();
        if segments.is_due() {
            segments.begin_next(&head(segments)).unwrap();
        }
    }
}

fn numbers(folder: &Path) -> Vec<u64> {
    list(folder).unwrap().iter().map(|one| one.number).collect()
}

/// Each segment is whole and says which one it is.
fn assert_whole(folder: &Path) {
    for one in list(folder).unwrap() {
        let mut decoder = Decoder::new();
        let mut said = None;
        let bytes = std::fs::read(folder.join(&one.name)).unwrap();
        decoder.push(&bytes, |record| {
            if let Record::Section(section) = record {
                said = section.segment().map(|segment| segment.number);
            }
        });
        assert_eq!((decoder.finish(|_| {}), said), (Ok(()), Some(one.number)), "{}", one.name);
    }
}

#[test]
fn a_segment_is_followed_when_it_is_large_and_the_oldest_give_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut segments = begun(folder.path(), Bounds { keep_bytes: Some(3 * SEGMENT), ..bounds() });
    append(&mut segments, 42);
    let kept = numbers(folder.path());
    assert!(kept.len() >= 2 && kept.is_sorted() && *kept.last().unwrap() > 8, "{kept:?}");
    assert!(list(folder.path()).unwrap().iter().map(|one| one.bytes).sum::<u64>() <= 3 * SEGMENT);
    assert!(segments.take_discarded().is_empty(), "what was agreed upon is not told");
    assert_whole(folder.path());
}

#[test]
fn a_segment_cut_anywhere_is_closed_at_its_last_whole_block_and_the_recording_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut segments = begun(folder.path(), bounds());
    append(&mut segments, 2);
    let (name, recording) = (segments.stored[0].name.clone(), segments.recording.clone());
    let whole = std::fs::read(folder.path().join(&name)).unwrap();
    let head_bytes = segments.head_bytes as usize;
    drop(segments);
    for length in (0..=whole.len()).step_by(37).chain([whole.len()]) {
        for zeros in [0, 500] {
            let folder = tempfile::tempdir().unwrap();
            let cut = [&whole[..length], &vec![0; zeros]].concat();
            std::fs::write(folder.path().join(&name), cut).unwrap();
            std::fs::write(folder.path().join(".00000002-20260101-000000.pcapng"), b"half a head").unwrap();
            let segments = begun(folder.path(), bounds());
            let expected = if length < head_bytes { vec![1] } else { vec![1, 2] };
            assert_eq!(numbers(folder.path()), expected, "cut at {length}");
            assert_eq!(segments.recording == recording, length >= head_bytes, "cut at {length}");
            assert_whole(folder.path());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), expected.len(), "nothing else is left");
        }
    }
}

#[test]
fn two_recorders_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Segments::open(folder.path(), bounds()).unwrap();
    let error = Segments::open(folder.path(), bounds()).unwrap_err();
    assert!(error.to_string().starts_with("another dropscope records into "), "{error}");
    drop(first);
    Segments::open(folder.path(), bounds()).unwrap();
}

#[test]
fn what_is_frozen_stays_with_what_comes_after_and_its_name_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut segments = begun(folder.path(), Bounds { keep_bytes: Some(2 * SEGMENT), ..bounds() });
    append(&mut segments, 6);
    let before = numbers(folder.path());
    segments.freeze("nstat.TcpExtListenDrops>10/s").unwrap();
    append(&mut segments, 20);
    let frozen: Vec<PathBuf> =
        std::fs::read_dir(folder.path().join("frozen")).unwrap().map(|item| item.unwrap().path()).collect();
    let [one] = frozen.as_slice() else { panic!("{frozen:?}") };
    assert!(one.to_str().unwrap().ends_with("-nstat.TcpExtListenDrops_10_s"), "{one:?}");
    let last = numbers(folder.path()).pop().unwrap();
    assert_eq!(numbers(one), (before[0]..=last).collect::<Vec<_>>(), "from before the trigger on, without a gap");
    assert_whole(one);
    assert!(segments.freeze("again").unwrap().contains("goes on"), "one that is under way goes on");
}

#[test]
fn more_freezes_than_are_kept_cost_the_oldest_which_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut segments = begun(folder.path(), Bounds { freeze: Duration::ZERO, ..bounds() });
    for why in ["a", "b", "c"] {
        segments.freeze(why).unwrap();
    }
    let mut left: Vec<String> = std::fs::read_dir(folder.path().join("frozen"))
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert!(left.len() == 2 && left[0].ends_with("-b") && left[1].ends_with("-c"), "{left:?}");
    let told = segments.take_discarded();
    assert!(told.len() == 1 && told[0].contains("-a, was removed"), "{told:?}");
}

#[test]
fn planted_links_are_neither_cut_nor_listed_nor_linked() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "root:$6$").unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    for name in ["00000007-20260101-000000.pcapng", ".00000001-20260101-000000.pcapng", "push.json", "push.json.new", "frozen"] {
        std::os::unix::fs::symlink(if name == "frozen" { folder.path() } else { &secret }, spool.join(name)).unwrap();
    }
    let mut segments = begun(&spool, bounds());
    assert_eq!(list_in(segments.folder()).unwrap().iter().map(|one| one.number).collect::<Vec<_>>(), [1]);
    assert!(segments.freeze("why").is_err());
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "root:$6$");
    let mut around: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    around.sort();
    assert_eq!(around, ["secret", "spool"]);
}

#[test]
fn what_is_larger_than_the_disk_costs_no_segment_and_a_batch_only_what_it_replaces() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let work = move || {
        use nix::mount::{MsFlags, mount};
        // A disk of its own, which this thread alone sees.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
        let mut segments = begun(&path, bounds());
        append(&mut segments, 60);
        let before = numbers(&path);
        assert!(before.len() > 10, "{before:?}");
        let error = segments.append(&block(400_000)).unwrap_err();
        assert_eq!((error.kind(), numbers(&path)), (io::ErrorKind::StorageFull, before));

        let mut log = crate::log_file::LogFile::in_segments(segments);
        let error = log.append(&block(1000).repeat(400)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(log.length() > 200_000 && log.length().is_multiple_of(1000), "{} bytes fitted", log.length());
        assert_whole(&path);
    };
    std::thread::spawn(work).join().unwrap();
}
