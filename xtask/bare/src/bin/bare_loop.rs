//! `bare_loop FILE`: the loop over a file, with the reads that `dropscope check` makes.

use anyhow::{Context, Result};
use dropscope_bare::Bare;
use std::io::Read as _;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("usage: bare_loop FILE")?;
    let mut file = std::fs::File::open(&path).with_context(|| format!("opening {path}"))?;
    let (mut bare, mut buffer) = (Bare::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => bare.push(&buffer[..length]),
        }
    }
    println!("{} packets, {} segments sent again", bare.packets(), bare.sent_again());
    Ok(())
}
