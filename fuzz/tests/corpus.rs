//! Every kept input through its target.

use dropscope_fuzz::TARGETS;
use std::path::Path;

#[test]
fn nothing_that_was_found_comes_back() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let folder = corpus.join(name);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut inputs = 0;
        for entry in entries {
            let path = entry.expect("the folder can be listed").path();
            let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            // The name of an input that fails is what one needs to run it alone.
            eprintln!("{name} {}", path.display());
            target(&input);
            inputs += 1;
        }
        assert!(inputs > 0, "{} holds no inputs", folder.display());
    }
}
