//! Prints what was measured.

// This prints the results of a maintenance task.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use super::{CLIENTS, Costs, HAND_WRITTEN, Results};

pub(super) fn line(text: &str) {
    println!("{text}");
}

/// Prints what a request costs with each client, and the ratio to the hand-written one.
pub(super) fn costs(costs: &Costs, what: &str, unit: &str) {
    let Some(of_clients) = costs.get(what) else { return };
    let cells = CLIENTS.iter().filter_map(|client| {
        let cost = of_clients.get(*client)?;
        let ratio = ratio(costs, what, client).map_or_else(String::new, |ratio| format!(" ({ratio:.2})"));
        Some(format!("{client} {cost:.0}{ratio}"))
    });
    println!("{what:<22} {unit:<13} {}", cells.collect::<Vec<_>>().join("   "));
}

/// Prints everything but the instructions, which are printed as they are counted.
pub(super) fn all(results: &Results) {
    for (costs_of, unit) in
        [(&results.allocations, "allocations"), (&results.cpu, "CPU µs"), (&results.wall, "wall µs")]
    {
        costs_of.keys().for_each(|what| costs(costs_of, what, unit));
    }
    results.decode.keys().for_each(|what| costs(&results.decode, what, "decoded MB/s"));
}

/// Says which clients got worse than on record, as ratios to the hand-written one.
pub(super) fn compare(counted: &Costs, recorded: &Costs, tolerance: f64) -> ExitCode {
    let mut is_worse = false;
    for (what, of_clients) in counted {
        for client in of_clients.keys().filter(|client| *client != HAND_WRITTEN) {
            let (Some(now), Some(before)) = (ratio(counted, what, client), ratio(recorded, what, client)) else {
                println!("{what}: {client} is not on record. Run `cargo xtask bench --record`");
                is_worse = true;
                continue;
            };
            if now > before * (1.0 + tolerance) {
                println!("{what}: {client} costs {now:.3} of the hand-written client, and {before:.3} on record");
                is_worse = true;
            }
        }
    }
    if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Returns what a client costs as a part of what the hand-written one costs.
fn ratio(costs: &Costs, what: &str, client: &str) -> Option<f64> {
    let of_clients = costs.get(what)?;
    Some(of_clients.get(client)? / of_clients.get(HAND_WRITTEN)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: f64) -> Costs {
        let clients = [(HAND_WRITTEN.to_owned(), 100.0), ("raw".to_owned(), raw)];
        [("get".to_owned(), clients.into_iter().collect())].into_iter().collect()
    }

    #[test]
    fn only_a_client_that_got_worse_fails_the_comparison() {
        let is_fine = |now, before| compare(&of(now), &of(before), 0.03) == ExitCode::SUCCESS;
        assert!(is_fine(100.0, 100.0) && is_fine(102.9, 100.0) && is_fine(50.0, 100.0));
        assert!(!is_fine(103.1, 100.0));
        assert!(compare(&of(1.0), &Costs::new(), 0.03) == ExitCode::FAILURE);
    }
}
