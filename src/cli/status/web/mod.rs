//! `status --web`: the status as a page that a browser of this machine shows, live.
//!
//! `picture` says what is seen, which is pure; `site` serves it on loopback; the page itself is the three files beside
//! this one, without anything from elsewhere.

mod nodes;
mod picture;
mod site;
mod timeline;

use std::{pin::pin, time::Duration};

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;
use tokio::{sync::watch, time::Instant};

pub(super) use self::picture::{PicturePlace, StatusPicture};
use self::site::{PageAddress, Site};
use super::{
    collect::{EventScope, StatusScope, collect},
    draw::unread as in_words,
    observed::ObservedCluster,
    report::StatusReport,
    watch::{changes, next_look, rested},
};
use crate::cli::{CommandVerdict, terminal};

/// How long the cluster may take to answer before people learn that what they see is not new.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the page's script gets.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PageFeed {
    picture: StatusPicture,
    /// When that was read.
    read: Timestamp,
    /// Why nothing newer can be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
}

/// Whether and where the page is served.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// Serve it as a page for a browser of this machine, live, until interrupted.
    #[arg(long, conflicts_with_all = ["resource", "watch", "output", "quiet"])]
    web: bool,

    /// Port of the page on 127.0.0.1 [default: any that is free].
    #[arg(long, value_name = "PORT", requires = "web")]
    port: Option<u16>,
}

impl PageArgs {
    /// Whether a person asked for the page.
    pub(super) fn is_wanted(&self) -> bool {
        self.web
    }
}

/// Serves the page until the process is interrupted.
pub(super) async fn serve_page(
    client: &Client,
    namespace: Option<String>,
    arguments: &PageArgs,
) -> anyhow::Result<CommandVerdict> {
    let place = namespace.clone().map_or(PicturePlace::Everywhere, PicturePlace::Namespace);
    let scope = StatusScope { namespace, events: EventScope::Everything };
    let listener = site::listen(arguments.port).await?;
    let address = PageAddress::new(listener.local_addr()?)?;
    let observed = collect(client, &scope).await;
    if let Some(obstacle) = obstacle(&observed) {
        bail!(obstacle);
    }
    let feed = PageFeed::of(&observed, &place);
    let (sender, receiver) = watch::channel(feed);
    terminal::print(&format!(
        "The page is at {address}\n\
         This machine alone reaches it, and who has the address sees what you may see. Ctrl-C ends it.\n"
    ))?;
    let site = Site::new(address, receiver);
    tokio::select! {
        served = site.serve(listener) => served?,
        () = follow(client, &scope, &place, &sender) => {}
    }
    Ok(CommandVerdict::Passed)
}

/// Shows what changes, for ever.
async fn follow(client: &Client, scope: &StatusScope, place: &PicturePlace, shown: &watch::Sender<PageFeed>) {
    let mut changes = changes(client, scope);
    // The page was made of a look just before.
    let mut rest = rested(Instant::now());
    loop {
        next_look(&mut changes, rest).await;
        let begun = Instant::now();
        let mut reading = pin!(collect(client, scope));
        let observed = if let Ok(observed) = tokio::time::timeout(PATIENCE, &mut reading).await {
            observed
        } else {
            let obstacle = format!("The cluster has not answered within {} seconds.", PATIENCE.as_secs());
            shown.send_modify(|feed| feed.obstacle = Some(obstacle));
            reading.await
        };
        rest = rested(begun);
        shown.send_modify(|feed| feed.update(&observed, place));
    }
}

impl PageFeed {
    fn of(observed: &ObservedCluster, place: &PicturePlace) -> Self {
        let picture = StatusPicture::of(&StatusReport::of(observed), place);
        Self { picture, read: observed.now, obstacle: None }
    }

    /// Shows what was observed; where the cluster was not reached, what was seen last stays, and it is said why.
    fn update(&mut self, observed: &ObservedCluster, place: &PicturePlace) {
        match obstacle(observed) {
            Some(obstacle) => self.obstacle = Some(obstacle),
            None => *self = Self::of(observed, place),
        }
    }
}

/// Why the resources could not be read.
fn obstacle(observed: &ObservedCluster) -> Option<String> {
    let interruptions = StatusReport::of(observed).interruptions();
    (!interruptions.is_empty()).then(|| in_words(&interruptions).join(" "))
}
