//! The guide's page is followed literally: a crate of its code blocks, and nothing else, passes the suite.

use std::path::{Path, PathBuf};
use std::process::Command;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The code blocks that name a file after their language.
fn files(page: &str) -> Vec<(&str, String)> {
    let mut files = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some((_, file)) = info.split_once(' ') {
            files.push((file, code.join("\n") + "\n"));
        }
    }
    files
}

fn page() -> String {
    std::fs::read_to_string(Path::new(HERE).join("../../docs/guide/write-a-transport.md")).unwrap()
}

#[test]
fn a_crate_of_the_pages_code_blocks_passes_the_suite() {
    // Beside the other artifacts, and always at the same place: so that it is built once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let made = target.join("guide/custom-transport");
    _ = std::fs::remove_dir_all(&made);
    for (file, code) in files(&page()) {
        let path = made.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Until the crates are published they are found here.
        let patch = if file == "Cargo.toml" { patch() } else { String::new() };
        std::fs::write(path, code + &patch).unwrap();
    }
    let root = Path::new(HERE).join("../..");
    std::fs::copy(root.join("Cargo.lock"), made.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(["test", "--offline"]).current_dir(&made).env("CARGO_TARGET_DIR", target).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("test confirm_1_acknowledged_means_stored ... ok"), "the suite did not run:\n{out}\n{err}");
}

/// Where the crates are; what is built of others is shared with this workspace.
fn patch() -> String {
    let root = PathBuf::from(HERE).join("../..").canonicalize().unwrap();
    let path = |name: &str| format!("{name} = {{ path = {:?} }}\n", root.join(name));
    format!(
        "\n[workspace]\n\n[patch.crates-io]\n{}{}\n[profile.dev]\ndebug = \"line-tables-only\"\n\n\
         [profile.dev.package.\"*\"]\ndebug = false\nopt-level = 1\n",
        path("outbox"),
        path("outbox-conformance")
    )
}

#[test]
fn the_page_shows_this_example() {
    for (file, code) in files(&page()).into_iter().filter(|(file, _)| *file != "Cargo.toml") {
        let here = std::fs::read_to_string(Path::new(HERE).join(file)).unwrap();
        assert_eq!(code, here, "{file} and its code block on the page differ");
    }
}
