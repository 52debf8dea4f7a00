//! Makes the folder of the page. A debug build reads the page from there when it starts, but only from a folder that was there
//! when it was compiled: rust-embed resolves `../dist` then, and refuses files elsewhere.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let dist = Path::new(&manifest).join("../dist");
    if let Err(error) = std::fs::create_dir_all(&dist) {
        println!("cargo::warning={} cannot be made: {error}; this dropscope will serve no page", dist.display());
    }
}
