//! The API server as a process: what it costs, and that it is away for a while.

use anyhow::Result;

use super::{ControlPlane, User, components, status_of};
use crate::process::PATIENCE;

impl ControlPlane {
    /// The id of the API server's process.
    pub fn api_server_id(&self) -> u32 {
        self.api_server.id()
    }

    /// Ends the API server. What is stored stays.
    pub fn stop_api_server(&mut self) -> Result<()> {
        self.api_server.terminate(PATIENCE)?;
        Ok(())
    }

    /// Starts the API server again, at the same address, and waits until it is ready.
    pub fn start_api_server(&mut self) -> Result<()> {
        let (port, address) = (self.etcd_port, self.client.address);
        self.api_server = components::start_api_server(
            &self.binaries,
            &self.directory,
            &self.credentials,
            port,
            address,
            self.versions,
        )?;
        let (client, credentials) = (&self.client, &self.credentials);
        self.api_server.wait_until_ready(PATIENCE, || {
            status_of(client, credentials, User::Admin, "/readyz").is_ok_and(|status| status == 200)
        })
    }
}
