//! The eBPF objects that the agent loads are those of the source beside them.

use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler that made them; another one makes others.
const CLANG: &str = "clang version 14.0.6";
const HEADERS: &str = "/usr/include/bpf/bpf_helpers.h";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf")
}

/// Source and objects change together: whoever changes one has to make the sums anew, and looks at the other.
#[test]
fn source_and_objects_have_the_sums_that_are_kept_beside_them() {
    let kept = fs::read_to_string(folder().join("SHA256SUMS")).expect("the sums are kept");
    let names = ["droptrace.bpf.c", "droptrace.bpf.o", "droptrace_raw.bpf.o"];
    let sum = |name: &str| {
        let digest = Sha256::digest(fs::read(folder().join(name)).expect("it is kept"));
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digits}  {name}\n")
    };
    assert_eq!(names.map(sum).concat(), kept, "after a change both objects are to be built again, as the source says");
}

/// Where there is the compiler that made the objects, it makes them once more. Elsewhere the sums alone hold them.
#[test]
fn the_compiler_makes_the_same_objects_again() {
    let prints = |program: &str| Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let is_there = String::from_utf8_lossy(&prints("clang")).contains(CLANG) && !prints("llvm-strip").is_empty();
    if !is_there || !cfg!(target_arch = "x86_64") || !Path::new(HEADERS).exists() {
        eprintln!("not built again: {CLANG}, llvm-strip or {HEADERS} is missing");
        return;
    }
    let built = tempfile::tempdir().expect("a folder");
    for (name, flags) in [("droptrace.bpf.o", &[][..]), ("droptrace_raw.bpf.o", &["-DRAW"])] {
        let object = built.path().join(name);
        let mut clang = Command::new("clang");
        clang.args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-fdebug-compilation-dir=.", "-I/usr/include/x86_64-linux-gnu"]);
        clang.args(flags).args(["-c", "droptrace.bpf.c", "-o"]).arg(&object).current_dir(folder());
        let mut strip = Command::new("llvm-strip");
        for command in [&mut clang, strip.arg("-g").arg(&object)] {
            let output = command.output().expect("it was there a moment ago");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let is_same = fs::read(&object).expect("it was built") == fs::read(folder().join(name)).expect("it is kept");
        assert!(is_same, "{name} is not what its source compiles to");
    }
}
