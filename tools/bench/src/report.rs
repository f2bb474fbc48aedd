use std::path::PathBuf;

use anyhow::{Context, Result};

/// One figure of a benchmark.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// At least this much is wanted.
    pub(crate) target: Option<f64>,
}

impl Figure {
    fn met(&self) -> Option<bool> {
        self.target.map(|target| self.value >= target)
    }
}

/// Prints the figures, and writes them to `target/bench/NAME.json`.
pub(crate) fn write(name: &str, figures: &[Figure]) -> Result<()> {
    for f in figures {
        let target = match (f.target, f.met()) {
            (Some(target), Some(met)) => format!("  (target {target}: {})", if met { "met" } else { "NOT met" }),
            _ => String::new(),
        };
        println!("{:44} {:>12.2} {}{target}", f.name, f.value, f.unit);
    }
    let list: Vec<_> = figures
        .iter()
        .map(|f| {
            serde_json::json!({
                "name": f.name, "value": f.value, "unit": f.unit, "target": f.target, "met": f.met(),
            })
        })
        .collect();
    let folder = PathBuf::from("target/bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(&list)?).with_context(|| file.display().to_string())?;
    println!("written to {}", file.display());
    Ok(())
}

/// The middle one; of an even number the mean of the two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}
