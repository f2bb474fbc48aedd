use crate::process::{cargo, run as run_command};
use crate::{Result, setup};

/// Without a name, the program itself says which there are.
pub(crate) fn run(args: &[&str]) -> Result {
    setup::run()?;
    run_command(cargo(["run", "--release", "--package", "bench", "--"]).args(args))
}
