//! The bodies that the server repeats: what the emulator answers.

use anyhow::{Context as _, Result};
use api_keyring_emulator::{Emulator, SparteraShape};
use clap::ValueEnum;

/// A vendor, and the form of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// Spartera, as its SDK documents it.
    Spartera,
    /// Spartera, as its guide documents it.
    SparteraGuide,
    /// Monad.
    Monad,
}

/// The company or organization in every URL.
pub(crate) const SCOPE: &str = "acme";

/// The credential of every request.
pub(crate) const CREDENTIAL: &str = "sk_live_0123456789abcdefghijklmnopqrstuv";

impl Shape {
    /// Returns the path of the list of keys, below the base URL.
    pub(crate) fn list_path(self) -> String {
        match self {
            Self::Monad => format!("/v2/{SCOPE}/api_keys"),
            Self::Spartera | Self::SparteraGuide => format!("/companies/{SCOPE}/api-keys"),
        }
    }
}

/// What a service answers.
pub(crate) struct Bodies {
    /// The id of the key in `get`.
    pub(crate) id: String,
    /// One key.
    pub(crate) get: Vec<u8>,
    /// A page of 100 keys.
    pub(crate) page: Vec<u8>,
}

/// Asks the emulator for the bodies.
pub(crate) async fn of(shape: Shape) -> Result<Bodies> {
    let spartera = if shape == Shape::SparteraGuide { SparteraShape::Guide } else { SparteraShape::Documented };
    let emulator = Emulator::builder().spartera_shape(spartera).seed(1).start().await?;
    let (id, list, secret) = match shape {
        Shape::Monad => {
            let service = emulator.monad();
            let id = service.add_keys(200).remove(0).id;
            (id, format!("{}/v2/{}/api_keys", service.base_url(), service.organization_id()), service.admin_key())
        }
        Shape::Spartera | Shape::SparteraGuide => {
            let service = emulator.spartera();
            let id = service.add_keys(200).remove(0).id;
            (id, format!("{}/companies/{}/api-keys", service.base_url(), service.company_id()), service.admin_key())
        }
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |url: String| {
        let answer = http.get(url).header("x-api-key", &secret).send().await?.error_for_status()?;
        anyhow::Ok(answer.text().await?)
    };
    let get = ask(format!("{list}/{id}")).await?;
    let page = ask(format!("{list}?limit=100")).await.context("the page")?;
    emulator.shutdown().await;
    Ok(Bodies { id, get: get.into_bytes(), page: page.into_bytes() })
}
