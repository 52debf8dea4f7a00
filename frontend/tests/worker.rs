//! The Worker's parts in a real Worker: the spool reads back what came in, and messages cross whole.
#![cfg(target_arch = "wasm32")]

use dropscope_core::query::{ByteSource, Query};
use dropscope_frontend::worker::message::{ToWorker, pack, unpack};
use dropscope_frontend::worker::read::BlobReader;
use dropscope_frontend::worker::spool::Spool;
use js_sys::Uint8Array;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
fn bytes_are_read_back_across_the_parts_they_came_in() {
    let mut spool = Spool::default();
    let all: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
    // More parts than are kept apart, so that some have been joined.
    for part in all.chunks(13) {
        spool.append(&Uint8Array::from(part)).expect("the browser keeps it");
    }
    assert_eq!(spool.size(), 10_000);
    for (offset, len) in [(0, 1), (12, 2), (5_000, 3_000), (9_999, 1), (0, 10_000), (10_000, 0)] {
        let mut buffer = vec![0; len];
        spool.read(offset as u64, &mut buffer).expect("it is there");
        assert_eq!(buffer, all[offset..offset + len], "{offset} {len}");
    }
    assert!(spool.read(9_999, &mut [0; 2]).is_err());
}

#[wasm_bindgen_test]
async fn a_file_is_read_to_its_last_byte_as_a_stream_and_in_slices() {
    for size in [0, 1, 5_000_003] {
        let all: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
        let parts = js_sys::Array::of1(&Uint8Array::from(all.as_slice()));
        let blob = web_sys::Blob::new_with_u8_array_sequence(&parts).expect("a blob");
        let stream = BlobReader::by_stream(&blob).expect("Chromium has streams of bytes");
        for mut reader in [stream, BlobReader::by_slices(&blob)] {
            let mut read = vec![];
            while let Some(bytes) = reader.next().await.expect("it can be read") {
                read.extend(bytes.to_vec());
            }
            assert!(read == all, "{} of {size} bytes", read.len());
        }
    }
}

#[wasm_bindgen_test]
fn a_message_is_unpacked_as_it_was_packed_with_its_file() {
    let message = ToWorker::Ask { session: 1, slot: 2, number: 3, query: Query::Overview };
    let file =
        web_sys::Blob::new_with_u8_array_sequence(&js_sys::Array::of1(&Uint8Array::from(&[1_u8, 2, 3][..]))).expect("a blob");
    let (value, transfer) = pack(&message, Some(&file)).expect("packed");
    assert_eq!(transfer.length(), 1);
    let (back, file) = unpack::<ToWorker>(&value).expect("unpacked");
    assert_eq!(back, message);
    assert_eq!(file.map(|f| f.size()), Some(3.0));
    assert!(unpack::<ToWorker>(&"nothing of ours".into()).is_err());
}
