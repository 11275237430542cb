//! The documented first steps lead to resources that are Ready, with the real kubectl.
//!
//! They are run as they stand: the pages' names lead to the tests' servers, which have the pages' passwords, in a
//! network of the test's own. A machine that lets nobody make one tries the README with other names.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use test_support::{
    Certificate, CertificateAuthority, ControlPlane, Leaf, NameServer, OpenIdClient, OpenIdProvider,
    PodPlayer, Slapd, User, Workspace,
    pods::{Life, WandbWorkload},
    tools,
};
use wandb_auth_operator::api::custom_resource_definitions;

use super::Page;
use crate::{
    own_network,
    world::{PASSWORD, REDIRECT_URI, certificate, directory, operator, program, workspace},
};

/// The commands of the README that need nothing but a cluster with the operator: what comes before makes that.
fn readme() -> Result<String> {
    let block = Page::read("README.md")?.blocks("sh").next().context("the README begins with commands")?;
    ensure!(block.lines().count() <= 18, "the way to the first resource is long: {block}");
    let (_, commands) = block.split_once("--wait\n").context("helm installs the operator")?;
    Ok(commands.to_owned())
}

#[tokio::test]
async fn the_first_steps_lead_to_resources_that_are_ready() -> Result<()> {
    if own_network::is_possible() {
        return own_network::call("documentation::readme::inside_a_network_of_its_own");
    }
    eprintln!("this machine lets nobody make a network of one's own with `unshare`, so the names are others");
    readme_with_other_names().await
}

/// Where the names of the pages lead. The operator may connect to it without being asked.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 30, 40);

#[tokio::test]
#[ignore = "is called in a network of its own by the test above"]
async fn inside_a_network_of_its_own() -> Result<()> {
    let _resolver = own_network::set_up("nameserver 127.0.0.1\n")?;
    own_network::run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"])?;
    let names = ["ldap.example.com", "login.example.com"];
    let _names =
        NameServer::start(SocketAddr::from(([127, 0, 0, 1], 53)), &names.map(|name| (name, ADDRESS)))?;
    let leaf = Leaf { dns_names: names.map(str::to_owned).to_vec(), ..Leaf::loopback() };
    let certificate = CertificateAuthority::new("the pages' authority")?.issue(&leaf)?;
    let _directory = Slapd::builder(PASSWORD).in_pod().certificate(&certificate).start()?;
    let _provider = OpenIdProvider::builder()
        .in_pod("login.example.com")
        .issuer_path("/realms/main")
        .certificate(&certificate)
        .client(OpenIdClient::confidential("wandb", "THE-SECRET", REDIRECT_URI))
        .start()?;

    let plane = ControlPlane::start().await?;
    let (admin, own) = (plane.kubeconfig(User::Admin), plane.kubeconfig(User::Operator));
    let workspace = Workspace::on(admin, own, "wandb", &custom_resource_definitions()).await?;
    let person = Person::new(&certificate, admin)?;
    let authorities = person.path("ca.crt")?;
    let _operator = workspace.start_operator_in(program(), &[], &[("SSL_CERT_FILE", &authorities)])?;
    let said = person.run(&readme()?)?;
    ensure!(said.contains("condition met"), "{said}");
    first_resource(&person, &workspace).await
}

/// The page `first-resource`, from its first file to the pods.
async fn first_resource(person: &Person<'_>, workspace: &Workspace) -> Result<()> {
    let page = Page::read("docs/get-started/first-resource.md")?;
    let manifests: Vec<_> = page.blocks("yaml").collect();
    let [alone, with_target] = manifests.as_slice() else { anyhow::bail!("{manifests:?}") };
    person.write("main.yaml", alone)?;
    for commands in page.blocks("sh") {
        person.run(&commands)?;
    }
    workspace.wait_until_ready("OidcProvider", "main").await?;

    let _player = PodPlayer::start(workspace, |_| Life::Ready)?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    person.write("main.yaml", with_target)?;
    person.run("kubectl apply -n wandb -f main.yaml")?;
    workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "RolledOut").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    Ok(())
}

/// Whoever follows the pages, in a folder with the files that they are told to write.
struct Person<'a> {
    folder: tempfile::TempDir,
    kubeconfig: &'a Path,
}

impl<'a> Person<'a> {
    fn new(certificate: &Certificate, kubeconfig: &'a Path) -> Result<Self> {
        let person = Self { folder: tempfile::tempdir()?, kubeconfig };
        person.write("ca.crt", &certificate.authority_pem)?;
        person.write("password", PASSWORD)?;
        Ok(person)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join(name), text)?)
    }

    fn path(&self, name: &str) -> Result<String> {
        Ok(self.folder.path().join(name).to_str().context("a path")?.to_owned())
    }

    /// Runs the commands with the real kubectl and this program; returns all that they printed.
    fn run(&self, commands: &str) -> Result<String> {
        let kubectl = tools::kubectl()?;
        let folder = |program: &Path| program.parent().map(|folder| folder.display().to_string());
        let tools = [folder(&kubectl), folder(program())].map(Option::unwrap_or_default).join(":");
        let output = Command::new("sh")
            .args(["-e", "-c", &format!("PATH={tools}:$PATH\n{commands}")])
            .env("KUBECONFIG", self.kubeconfig)
            .env("SSL_CERT_FILE", self.path("ca.crt")?)
            .current_dir(self.folder.path())
            .output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{commands}\n{said}");
        Ok(said)
    }
}

async fn readme_with_other_names() -> Result<()> {
    let workspace = workspace().await?;
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let _operator = operator(&workspace)?;
    let mut mine = readme()?;
    for (theirs, ours) in [
        ("-n wandb", format!("-n {}", workspace.namespace())),
        ("ldaps://ldap.example.com:636", directory.ldaps_url()?),
    ] {
        ensure!(mine.contains(theirs), "the README does not say {theirs}: {mine}");
        mine = mine.replace(theirs, &ours);
    }
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let said = Person::new(&certificate, kubeconfig)?.run(&mine)?;
    ensure!(said.contains("condition met"), "{mine}\n{said}");
    Ok(())
}
