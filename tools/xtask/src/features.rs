use std::fs;

use crate::Result;
use crate::process::{cargo, repo, run as run_command};

/// The crates whose users choose features.
const CRATES: [&str; 7] =
    ["outbox", "outbox-sqlx", "outbox-diesel", "outbox-kafka", "outbox-amqp", "outbox-nats", "outbox-sns"];

/// Checks that each crate builds without features, and with each of its features alone.
pub(crate) fn check() -> Result {
    for name in CRATES {
        let path = repo().join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let alone = ["check", "--quiet", "--package", name, "--no-default-features"];
        run_command(&mut cargo(alone))?;
        for feature in features(&manifest) {
            run_command(cargo(alone).args(["--features", feature]))?;
        }
    }
    Ok(())
}

/// The names in the `[features]` table but `default`. A list of values may go over several lines.
fn features(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[features]").skip(1);
    let mut in_list = false;
    for line in lines.by_ref().take_while(|line| in_table(line)) {
        if let Some((name, _)) = line.split_once('=')
            && !in_list
            && !line.starts_with('#')
        {
            names.push(name.trim().trim_matches('"'));
            in_list = true;
        }
        in_list &= !line.ends_with(']');
    }
    names.retain(|name| *name != "default");
    names
}

/// Not the head of the next table.
fn in_table(line: &str) -> bool {
    !line.starts_with('[')
}

#[cfg(test)]
mod tests {
    use super::features;

    #[test]
    fn features_are_the_keys_of_their_table_only() {
        let manifest = r#"
[package]
name = "x"

[features]
default = ["a"]
# a comment = not a feature
a = []
"b-c" = [
    "dep:x", # weak = "no"
    "x/y",
]
d = ["a"]

[dependencies]
e = "1"
"#;
        assert_eq!(features(manifest), ["a", "b-c", "d"]);
        assert!(features("[package]\nname = \"x\"\n").is_empty());
    }
}
