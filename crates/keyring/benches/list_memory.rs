//! Measures the memory of a list with 1,000 keys and with 100,000 keys.
//!
//! `cargo bench -p api-keyring --bench list_memory` starts a process for each vendor that reads a list key by key. It prints
//! that process's peak resident size before and after the list, which only Linux reports. The emulator runs in the parent
//! process, so its keys do not count.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::process::{Command, Stdio};

use api_keyring::{ListKeys, Monad, PageRequest, Provider, ProviderExt, Spartera};
use api_keyring_emulator::Emulator;
use futures_util::TryStreamExt;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const VENDORS: [&str; 2] = ["spartera", "monad"];
/// The vendor whose keys this process lists. Without it, the process starts and measures others.
const LISTS: &str = "BENCH_LISTS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    if let Ok(vendor) = env::var(LISTS) {
        return list(&vendor).await;
    }
    // `cargo test --all-targets` does not pass `--bench`. It checks that the benchmark works, so small lists are enough.
    let measures = env::args().any(|argument| argument == "--bench");
    let counts = if measures { [1000, 100_000] } else { [10, 300] };
    for vendor in VENDORS {
        for count in counts {
            let emulator = Emulator::builder().record_limit(0).start().await?;
            // The administrator's key is already there.
            emulator.spartera().add_keys(count - 1);
            emulator.monad().add_keys(count - 1);
            let environment = emulator.environment();
            let child = Command::new(env::current_exe()?)
                .env(LISTS, vendor)
                .envs(environment)
                .stdout(Stdio::piped())
                .spawn()?;
            // The wait blocks its thread, and the emulator must answer meanwhile.
            let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await??;
            let report = String::from_utf8(output.stdout)?;
            let Some(report) = report.strip_prefix(&format!("{count} keys")).filter(|_| output.status.success()) else {
                return Err(format!(
                    "{vendor}: there are {count} keys, but the list reported, with {}: {report}",
                    output.status
                )
                .into());
            };
            println!("{vendor:9} {count:>7} keys{}", report.trim_end());
            emulator.shutdown().await;
        }
    }
    Ok(())
}

async fn list(vendor: &str) -> Result<()> {
    let variable = |name: &str| env::var(format!("{}_{name}", vendor.to_uppercase()));
    let (key, url) = (variable("API_KEY")?, variable("BASE_URL")?);
    let provider: Box<dyn Provider> = match vendor {
        "spartera" => {
            Box::new(Spartera::builder().company_id(variable("COMPANY_ID")?).api_key(key).base_url(url).build()?)
        }
        _ => {
            Box::new(Monad::builder().organization_id(variable("ORGANIZATION_ID")?).api_key(key).base_url(url).build()?)
        }
    };
    // Loads what does not depend on the list: code, certificates and a connection.
    provider.list_page(&PageRequest::first(1)).await?;
    let before = peak_resident_size();
    let mut keys = provider.list(ListKeys::new());
    let mut count = 0;
    while keys.try_next().await?.is_some() {
        count += 1;
    }
    print!("{count} keys");
    match before.zip(peak_resident_size()) {
        Some((before, after)) => println!("  peak {before} KiB before the list, {after} KiB after it"),
        None => println!("  this system does not report the peak"),
    }
    Ok(())
}

/// Returns this process's peak resident size in KiB, if the system reports it.
fn peak_resident_size() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
