//! `reload`: the running daemon reads everything at once and says what came of it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::args::{Common, Reload};
use super::settings::File;
use super::{Exit, output};
use crate::app::{Address, RELOAD, ReloadRequest, ReloadResponse};

/// Loading a hundred thousand resources takes seconds; a daemon that says nothing for this long is
/// not at work.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn run(common: &Common, command: &Reload) -> Result<Exit> {
    let address = File::read(common)?.admin(command.admin.as_ref())?;
    let address =
        address.ok_or_else(|| anyhow!("`admin` in the settings is `none`: no daemon can be reached"))?;
    let request = ReloadRequest {
        accept_unresolved: command.accept_unresolved,
        accept_removals: command.accept_removals,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let response = runtime.block_on(ask(&address, request))?;
    output::print(&shown(&response));
    let is_fine = response.held.is_empty() && response.problems.is_empty();
    Ok(if is_fine { Exit::Done } else { Exit::Findings })
}

async fn ask(address: &Address, request: ReloadRequest) -> Result<ReloadResponse> {
    let unreachable =
        || format!("no xds-bridge answers on {address}: is it running, and is this its --admin address?");
    let channel = connect(address).await.with_context(unreachable)?;
    let mut client = Grpc::new(channel);
    client.ready().await.with_context(unreachable)?;
    let path = http::uri::PathAndQuery::from_static(RELOAD);
    let answer = client.unary(tonic::Request::new(request), path, ProstCodec::default());
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let answer =
        answer.map_err(|_| anyhow!("the bridge on {address} did not answer in {}", PATIENCE.as_secs()))?;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| anyhow!("the bridge on {address}: {}", status.message()))
}

async fn connect(address: &Address) -> Result<Channel, tonic::transport::Error> {
    let uri = match address {
        Address::Tcp(ip) => format!("http://{ip}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    Endpoint::from_shared(uri)?.connect_timeout(Duration::from_secs(5)).connect().await
}

fn shown(response: &ReloadResponse) -> String {
    let ReloadResponse { generation, added, changed, removed, held, problems } = response;
    let mut text = match (added, changed, removed) {
        (0, 0, 0) => format!("nothing that is served has changed; snapshot {generation} is served\n"),
        _ => format!("+{added} ~{changed} -{removed}; snapshot {generation} is served\n"),
    };
    for reason in held {
        text.push_str(&format!("held back: {reason}\n"));
    }
    for problem in problems {
        text.push_str(&format!("{problem}\n"));
    }
    text
}
