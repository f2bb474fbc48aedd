use std::process::Command;
use std::time::Instant;

use super::packages::{self, Need};
use super::pull::{Pulled, pull};
use crate::Result;
use crate::process::{as_root, is_root, output, repo, succeeds};

/// A server's image that the tests start.
struct Image {
    /// Names another image instead; for the testkit too.
    variable: &'static str,
    usual: &'static str,
    /// The directory in `tools/images` with the recipe of a stand-in.
    recipe: &'static str,
    /// What the recipe's own preparation needs.
    needs: &'static [Need],
}

const IMAGES: &[Image] = &[
    Image { variable: "OUTBOX_TEST_POSTGRES_IMAGE", usual: "postgres:17", recipe: "postgres", needs: &[] },
    embedded("OUTBOX_TEST_POSTGRES14_IMAGE", "postgres:14"),
    embedded("OUTBOX_TEST_POSTGRES18_IMAGE", "postgres:18"),
    Image {
        variable: "OUTBOX_TEST_PGBOUNCER_IMAGE",
        usual: "edoburu/pgbouncer:v1.24.1-p1",
        recipe: "pgbouncer",
        needs: &[],
    },
    Image { variable: "OUTBOX_TEST_MYSQL_IMAGE", usual: "mysql:9.7", recipe: "mysql", needs: &[] },
    Image { variable: "OUTBOX_TEST_MARIADB_IMAGE", usual: "mariadb:11.8", recipe: "mariadb", needs: &[] },
    Image { variable: "OUTBOX_TEST_KAFKA_IMAGE", usual: "apache/kafka:4.1.1", recipe: "kafka", needs: packages::MAVEN },
    Image { variable: "OUTBOX_TEST_RABBITMQ_IMAGE", usual: "rabbitmq:4.0-management", recipe: "rabbitmq", needs: &[] },
    Image { variable: "OUTBOX_TEST_NATS210_IMAGE", usual: "nats:2.10", recipe: "nats", needs: &[] },
    Image { variable: "OUTBOX_TEST_NATS_IMAGE", usual: "nats:2.15", recipe: "nats-go", needs: packages::GO },
    Image {
        variable: "OUTBOX_TEST_LOCALSTACK_IMAGE",
        usual: "localstack/localstack:4.14.0",
        recipe: "localstack",
        needs: &[],
    },
];

const fn embedded(variable: &'static str, usual: &'static str) -> Image {
    Image { variable, usual, recipe: "postgres-embedded", needs: packages::MAVEN_AND_XZ }
}

/// Sees to it that the engine has all images: it has, or they are pulled, or built from our recipes where no registry
/// is within reach.
pub(crate) fn ensure() -> Result {
    let mut reachable = true;
    for image in IMAGES {
        let chosen = std::env::var(image.variable).ok();
        let tag = chosen.as_deref().unwrap_or(image.usual);
        if has(tag) {
            continue;
        }
        let why = if reachable {
            println!("setup: pulling {tag}");
            match pull(tag)? {
                Pulled::Done => continue,
                Pulled::NoAnswer(why) => {
                    // The next one would only cost the same wait.
                    reachable = false;
                    why
                }
                Pulled::Failed(why) => why,
            }
        } else {
            "no registry answers".into()
        };
        if chosen.is_some() {
            return Err(format!("{} is {tag}, which cannot be pulled: {why}", image.variable));
        }
        println!("setup: {tag} cannot be pulled ({why})");
        build(image)?;
    }
    Ok(())
}

fn build(image: &Image) -> Result {
    println!("setup: building a stand-in for {}, which takes a minute or two", image.usual);
    let start = Instant::now();
    packages::ensure(image.needs)?;
    if !has("local/debian-base:trixie") {
        packages::ensure(packages::BASE)?;
        // Its caller is `build.sh`, but only this part needs root.
        if !is_root() {
            output(as_root("bash")?.arg(repo().join("tools/images/base.sh")))?;
        }
    }
    let script = repo().join("tools/images/build.sh");
    output(Command::new("bash").arg(script).args([image.recipe, image.usual]))
        .map_err(|why| format!("the stand-in for {}: {why}", image.usual))?;
    println!("setup: built {} in {:.0} s", image.usual, start.elapsed().as_secs_f64());
    Ok(())
}

fn has(tag: &str) -> bool {
    succeeds(&["docker", "image", "inspect", tag])
}
