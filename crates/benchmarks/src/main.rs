//! Compares this workspace's clients with a bare HTTP client and with a hand-written one.
//!
//! `serve` answers with constant bodies, which come from the emulator. `call` sends one request after the other with one
//! client. They are processes of their own, so that what one of them costs can be measured alone. `cargo xtask bench`
//! runs both, and prints what it measures.

#![allow(clippy::print_stdout)]

mod bodies;
mod clients;
mod decode;
mod server;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::bodies::Shape;
use crate::clients::Target;

/// Compares this workspace's clients with a bare HTTP client and with a hand-written one.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Answer requests with constant bodies, until standard input ends
    Serve {
        #[arg(value_enum)]
        shape: Shape,
    },
    /// Send requests, one after the other
    Call {
        #[arg(value_enum)]
        client: Client,
        #[arg(value_enum)]
        shape: Shape,
        #[arg(value_enum)]
        request: Request,
        /// How many requests to send
        count: usize,
        /// The base URL that `serve` prints
        url: String,
        /// The key that `serve` knows
        key: String,
    },
    /// Decode a page of 100 keys, over and over
    Decode {
        #[arg(value_enum)]
        client: Client,
        #[arg(value_enum)]
        shape: Shape,
        /// How many pages to decode
        count: usize,
    },
}

/// A client in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    /// hyper and serde, without connection pool, URL or timeout.
    Hyper,
    /// What an engineer writes: reqwest and serde, into plain structs.
    HandWritten,
    /// The generated client.
    Raw,
    /// The facade.
    Facade,
}

/// A request that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Request {
    /// One key.
    Get,
    /// A page of 100 keys.
    Page,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Serve { shape } => server::serve(shape).await,
        Task::Call { client, shape, request, count, url, key } => {
            let (wall, cpu) = (Instant::now(), cpu_time());
            let keys = clients::call(client, &Target { shape, request, url, key }, count).await?;
            report(keys, wall.elapsed(), cpu_time() - cpu);
            Ok(())
        }
        Task::Decode { client, shape, count } => {
            let body = bodies::of(shape).await?.page;
            let (wall, cpu) = (Instant::now(), cpu_time());
            let keys = decode::decode(client, shape, &body, count)?;
            report(keys, wall.elapsed(), cpu_time() - cpu);
            println!("bytes {}", body.len() * count);
            Ok(())
        }
    }
}

fn report(keys: usize, wall: Duration, cpu: Duration) {
    println!("keys {keys}\nwall {}\ncpu {}", wall.as_nanos(), cpu.as_nanos());
}

/// Returns the CPU time that this process's main thread has used. Zero on systems other than Linux.
fn cpu_time() -> Duration {
    let scheduled = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(scheduled.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}
