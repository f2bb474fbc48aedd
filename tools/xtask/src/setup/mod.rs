mod engine;
mod images;
mod packages;
mod pull;
mod python;

use std::fs::File;

use crate::Result;

/// Makes the machine ready for all tests. What is there already is left as it is.
pub(crate) fn run() -> Result {
    // Two setups at once would start two engines and build each image twice.
    let path = std::env::temp_dir().join("outbox-xtask-setup.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    let lock = lock.map_err(|e| format!("the lock {}: {e}", path.display()))?;
    packages::ensure(packages::BUILD)?;
    engine::ensure()?;
    images::ensure()?;
    python::ensure()?;
    drop(lock);
    Ok(())
}
