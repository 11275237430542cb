//! The map of wandb-auth-operator: what is where, and what always holds.
//!
//! A person describes the authentication of W&B Server in custom resources. The operator proves
//! that each description works, publishes it as a Secret of environment variables, and keeps it
//! true. **Nobody is ever locked out because of it** decides every open question.
//!
//! In reading order:
//!
//! - [`api`]: the custom resources, their validation rules, and every word that programs match on
//!   (condition types, reasons, check names). No I/O.
//! - [`problem`], [`error`], [`sensitive`]: the three kinds of text that must not be mixed. A
//!   [`Problem`](problem::Problem) is the user's and becomes a condition; an [`Error`](error::Error)
//!   is ours and becomes a retry; a [`Sensitive`](sensitive::Sensitive) is nobody's to read.
//! - [`engine`]: the pipeline that every kind shares, on one screen in
//!   [`engine::reconcile`]. It knows kinds only through the [`Kind`](engine::Kind) trait.
//! - [`net`]: connections to the outside, one way for all: resolve, permit, connect, encrypt. Names are looked up as
//!   the pods of the resource's namespace do, and certificates are judged as Go judges them.
//! - [`instance`]: W&B Server as programs talk to it, and the judgement of its answers.
//! - [`target`]: the workloads that published values are delivered to, and what becomes of a rollout.
//!   `engine::delivery` decides what goes there.
//! - [`issuer`]: what every kind asks of an issuer of tokens.
//! - [`ldap`], [`oidc`], [`jwt`], [`service_account`]: a slice a kind, from its spec to its checks and
//!   its values.
//! - [`operator`]: the process, from a cluster's address to running controllers; beside it
//!   [`api_server`], [`leader`], [`server`], [`metrics`], [`open_files`] and [`telemetry`].
//! - [`import`]: from the settings of a running server back to the resources that say the same.
//! - [`cli`]: the command line. `check` runs the engine's own steps without a cluster.
//!
//! Outside of `src`: `charts` has the Helm chart, whose definitions this crate generates and whose default
//! rendering is `deploy/operator.yaml`; `image` makes the container image; `gitops` has what Argo CD and Flux need
//! to know; `tests/it` is the integration tests, `tests/e2e` the story on a real node, and `tests/support` what
//! both stand on.
//!
//! Invariants:
//!
//! - Values whose checks failed never replace values whose checks passed (`publishPolicy: Always`
//!   is the user's own wish to the contrary).
//! - A password that a directory refused, or answered in no clear way, is not tried again until the spec, the Secret
//!   or the re-check annotation changes, also after a restart; one that has passed before, seldom.
//! - An API key is revoked only when another one is published and the time to take that up is over.
//! - Unchanged inputs lead to no write, and the operator's own writes lead to no check.
//! - W&B Server is a Go program: what Go's libraries make of certificates, documents, keys, tokens and directories
//!   is the verdict, and tests compare both.
//! - A secret leaves this process in the published Secret and in the protocol that needs it, and
//!   nowhere else: the type that holds it cannot be printed, and messages are searched for it.
//! - What a remote side sends is limited in size before it is parsed, what all of them send together has a budget
//!   of memory, and nothing that they send can end the process.
//! - Neither a namespace nor a server that hangs can take what another one needs: runs, turns at the API server and
//!   the memory for answers are had in fair shares, of which nobody takes more than they leave.
//! - A connection goes to an address that the egress policy has seen, and no redirect is followed.
//! - Secrets and ConfigMaps are watched as metadata; their contents are read at use and kept only
//!   as the values that were verified last.
//! - A Secret that is not the resource's own is never written.
//! - A target refers to immutable revisions of the published Secret, and none goes while a pod or a pod
//!   template refers to it. Every step of a delivery is one write that follows from what the cluster holds,
//!   so a process that is killed leaves nothing that the next one cannot finish.
//! - Every request to the API server has a time limit, a run that waits for an answer holds nobody else up, and the
//!   process ends within five seconds of SIGTERM. The Lease is given up only once nothing of it can write any more.
//! - A revision that did not work in the pods is not tried again before a person changes something.
//! - No way leads back to values that do not work at the servers any more.
//! - What a program in a pod wrote stays there.
//! - One resource decides at a target at a time, and an entry of anybody else is never changed.
//! - There is no webhook, no cluster-wide right unless somebody asks for every namespace, and a finalizer only where a key was made at W&B
//!   Server, or a target has entries, that must go with their resource.

pub mod api;
pub mod api_server;
pub mod cli;
pub mod engine;
pub mod error;
pub mod import;
pub mod instance;
pub mod issuer;
pub mod jwt;
pub mod ldap;
pub mod leader;
pub mod metrics;
pub mod net;
pub mod oidc;
pub mod open_files;
pub mod operator;
pub mod problem;
pub mod sensitive;
pub mod server;
pub mod service_account;
mod shares;
pub mod target;
pub mod telemetry;
