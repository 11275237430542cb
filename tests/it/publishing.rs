//! What `.ci/publish` puts into a registry is what people get from there.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{ControlPlane, Helm, Installation, OciRegistry, User, registry::small_image};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What the tests publish below.
const NAME: &str = "tools";

/// Images for two platforms, a key to sign with, and a registry.
struct Release {
    registry: OciRegistry,
    directory: TempDir,
    digests: [String; 2],
}

impl Release {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let digests = ["amd64", "arm64"].map(|platform| {
            small_image(&directory.path().join(format!("{platform}.tar")), platform, platform)
        });
        let [amd64, arm64] = digests;
        Ok(Self { registry: OciRegistry::start()?, directory, digests: [amd64?, arm64?] })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the script; an error has what it says.
    fn publish(&self, platforms: &[&str], variables: &[(&str, &str)]) -> Result<String> {
        let archives: Vec<_> =
            platforms.iter().map(|platform| self.path(&format!("{platform}.tar"))).collect();
        let archives: Vec<_> = archives.iter().map(PathBuf::as_path).collect();
        let output = self.registry.publish(NAME, &archives, variables)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn image(&self) -> String {
        format!("{}/{NAME}/wandb-auth-operator", self.registry.host())
    }

    fn chart(&self) -> String {
        format!("{}/{NAME}/charts/wandb-auth-operator", self.registry.host())
    }

    fn manifest(&self, reference: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.registry.crane(&["manifest", reference])?)?)
    }

    fn digest(&self, reference: &str) -> Result<String> {
        Ok(self.registry.crane(&["digest", reference])?.trim().to_owned())
    }
}

#[test]
fn images_of_all_platforms_are_pulled_by_digest() -> Result<()> {
    let release = Release::new()?;
    let said = release.publish(&["amd64", "arm64"], &[])?;
    let image = release.image();
    let index = release.digest(&format!("{image}:{VERSION}"))?;
    ensure!(said.contains(&format!("image: {image}:{VERSION}@{index}\n")), "{said}");
    release.registry.crane(&["validate", "--fast", "--remote", &format!("{image}@{index}")])?;
    for (platform, digest) in ["amd64", "arm64"].into_iter().zip(&release.digests) {
        // What a node of that platform gets has the digest that the image was made with.
        let reference = format!("{image}@{index}");
        let found =
            release.registry.crane(&["digest", "--platform", &format!("linux/{platform}"), &reference])?;
        ensure!(found.trim() == digest, "{platform}: {found} and not {digest}");
        let files = release.path(platform);
        let arguments = ["pull", "--format=oci", &format!("{image}@{digest}"), &files.to_string_lossy()];
        release.registry.crane(&arguments)?;
        ensure!(
            files.join("blobs/sha256").join(digest.trim_start_matches("sha256:")).is_file(),
            "{platform}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_chart_is_installed_from_the_registry_and_names_the_image_there() -> Result<()> {
    let release = Release::new()?;
    release.publish(&["amd64"], &[("DOCUMENTATION_URL", "https://docs.example.com/auth")])?;
    let digest = release.digest(&format!("{}:{VERSION}", release.chart()))?;
    let values = json!({"crds": {"enabled": false}, "prometheusRule": {"enabled": true}});
    for reference in [release.chart(), format!("{}@{digest}", release.chart())] {
        let helm = Helm::with_chart(format!("oci://{reference}").into())?;
        let arguments = ["--plain-http", "--set=crds.enabled=false", "--set=prometheusRule.enabled=true"];
        let rendered = helm.run(&[&["template", "auth", helm.chart()?], &arguments[..]].concat())?;
        let image = format!("image: \"{}:{VERSION}\"", release.image());
        ensure!(rendered.contains(&image), "{image} is not in {rendered}");
        ensure!(
            rendered.contains("runbook_url: \"https://docs.example.com/auth/operate/alerts.html#"),
            "{rendered}"
        );
    }
    // Another registry for all charts of a cluster stands for the host alone.
    let helm = Helm::with_chart(format!("oci://{}", release.chart()).into())?;
    let arguments =
        ["--plain-http", "--set=crds.enabled=false", "--set=global.imageRegistry=mirror.example.com"];
    let rendered = helm.run(&[&["template", "auth", helm.chart()?], &arguments[..]].concat())?;
    let image = format!("image: \"mirror.example.com/{NAME}/wandb-auth-operator:{VERSION}\"");
    ensure!(rendered.contains(&image), "{image} is not in {rendered}");
    // What Helm makes of the published chart is what it makes of the one in the tree, but for the registry.
    let published = Helm::with_chart(format!("oci://{}", release.chart()).into())?;
    let plane = ControlPlane::shared().await?;
    let here = Installation { kubeconfig: plane.kubeconfig(User::Admin), namespace: "published-chart" };
    let installed = published.upgrade_install(here, &json!({"crds": values["crds"]}), &["--plain-http"])?;
    ensure!(installed.contains("STATUS: deployed"), "{installed}");
    published.uninstall(here, &[])?;
    Ok(())
}

/// The public key that belongs to a new private one.
fn keys(release: &Release) -> Result<(String, PathBuf)> {
    let (private, public) = (release.path("key.pem"), release.path("key.pub"));
    let openssl = |arguments: &str| -> Result<()> {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(release.directory.path())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    openssl("ecparam -name prime256v1 -genkey -noout -out key.pem")?;
    openssl("ec -in key.pem -pubout -out key.pub")?;
    Ok((private.to_string_lossy().into_owned(), public))
}

/// Looks at a signature as cosign does: a payload that names the digest, and its signature by the key.
fn verify(release: &Release, key: &PathBuf, repository: &str, digest: &str) -> Result<()> {
    let manifest = release.manifest(&format!("{repository}:{}.sig", digest.replace(':', "-")))?;
    let layer = manifest.pointer("/layers/0").context("no payload")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    ensure!(text(layer.get("mediaType")) == "application/vnd.dev.cosign.simplesigning.v1+json", "{layer}");
    let payload = text(layer.get("digest"));
    let payload = release.registry.crane(&["blob", &format!("{repository}@{payload}")])?;
    let said: Value = serde_json::from_str(&payload)?;
    let pointer = |path: &str| text(said.pointer(path));
    ensure!(pointer("/critical/image/docker-manifest-digest") == digest, "{said}");
    ensure!(pointer("/critical/identity/docker-reference") == repository, "{said}");
    ensure!(pointer("/critical/type") == "cosign container image signature", "{said}");
    let signature = text(layer.pointer("/annotations/dev.cosignproject.cosign~1signature"));
    fs::write(release.path("signature"), BASE64_STANDARD.decode(signature)?)?;
    fs::write(release.path("payload"), payload)?;
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-signature", "signature", "-verify"])
        .arg(key)
        .arg("payload")
        .current_dir(release.directory.path())
        .output()?;
    ensure!(output.status.success(), "{repository}@{digest}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn with_a_key_everything_is_signed() -> Result<()> {
    let release = Release::new()?;
    let (private, public) = keys(&release)?;
    release.publish(&["amd64", "arm64"], &[("SIGNING_KEY", &private)])?;
    let (image, chart) = (release.image(), release.chart());
    verify(&release, &public, &image, &release.digest(&format!("{image}:{VERSION}"))?)?;
    verify(&release, &public, &chart, &release.digest(&format!("{chart}:{VERSION}"))?)?;
    for digest in &release.digests {
        verify(&release, &public, &image, digest)?;
    }
    let again = release.publish(&["amd64", "arm64"], &[("SIGNING_KEY", &private)])?;
    ensure!(again.matches("signed already: ").count() == 4, "each signature is verified: {again}");
    // The new pair is in the same files, and so is the path of its private key.
    let (private, stranger) = keys(&release)?;
    let told = release.publish(&["amd64", "arm64"], &[("SIGNING_KEY", &private)]).err();
    let told = told.context("another key's signature is taken")?.to_string();
    ensure!(told.contains("a signature that is not by SIGNING_KEY. Use the key that signed it"), "{told}");
    let [amd64, _] = &release.digests;
    ensure!(verify(&release, &stranger, &image, amd64).is_err(), "another key's signature would pass, too");
    Ok(())
}

#[test]
fn a_version_is_published_once() -> Result<()> {
    let release = Release::new()?;
    let refusal = |platforms: &[&str]| -> Result<String> {
        Ok(release.publish(platforms, &[]).err().context("it is overwritten")?.to_string())
    };
    let first = release.publish(&["amd64", "arm64"], &[])?;
    let again = release.publish(&["amd64", "arm64"], &[])?;
    ensure!(first == again, "{first}{again}");
    let told = refusal(&["amd64"])?;
    ensure!(told.contains("is there already with another content"), "{told}");
    small_image(&release.path("arm64.tar"), "arm64", "changed")?;
    let told = refusal(&["amd64", "arm64"])?;
    ensure!(told.contains("raise the version"), "{told}");
    let told = refusal(&["amd64", "amd64"])?;
    ensure!(told.contains("two archives are for amd64"), "{told}");
    Ok(())
}

/// Only a registry's word that something is absent lets it be pushed.
#[test]
fn a_registry_that_does_not_answer_is_not_taken_for_an_empty_one() -> Result<()> {
    let release = Release::new()?;
    let tools = release.path("tools");
    fs::create_dir(&tools)?;
    let stub = |name: &str, script: &str| -> Result<()> {
        let file = tools.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(file, Permissions::from_mode(0o755))?;
        Ok(())
    };
    stub("helm", "exit 0")?;
    let path = format!("{}:{}", tools.display(), env::var("PATH")?);
    for (answer, absent) in [
        ("GET https://r/v2/a/manifests/1: MANIFEST_UNKNOWN: manifest unknown", true),
        ("GET https://r/v2/a/manifests/1: NAME_UNKNOWN: Unknown name", true),
        ("GET https://r/v2/a/manifests/1: NOT_FOUND: artifact a:1 not found", true),
        ("GET https://r/v2/a/manifests/1: unexpected status code 404 Not Found", true),
        ("GET https://r/v2/a/manifests/1: unexpected status code 500 Internal Server Error", false),
        ("GET https://r/v2/a/manifests/1: UNAUTHORIZED: authentication required", false),
        ("Get https://r/v2/: dial tcp: connection refused", false),
    ] {
        // What crane says of its first try must not count.
        let first = "HEAD request failed, falling back on GET: unexpected status code 404 Not Found";
        let digest = format!("echo '{first}' >&2; echo 'Error: {answer}' >&2; exit 1");
        stub(
            "crane",
            &format!("case \"$*\" in *digest*) {digest} ;; esac\necho \"it runs $*\" >&2; exit 1"),
        )?;
        let told = release.publish(&["amd64"], &[("PATH", &path)]).err();
        let told = told.context("nothing can be pushed")?.to_string();
        ensure!(told.contains("is there already is not known: ") != absent, "{answer}: {told}");
        ensure!(told.contains("it runs ") == absent, "{answer}: {told}");
        ensure!(absent || told.contains(answer), "{answer}: {told}");
    }
    Ok(())
}
