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
//! - [`values`], [`references`], [`token`], [`login`], [`quoting`], [`similar`], [`text`], `jitter`: words that every folder
//!   uses and that need none of them.
//! - [`problem`], [`error`], [`sensitive`]: the three kinds of text that must not be mixed. A
//!   [`Problem`](problem::Problem) is the user's and becomes a condition; an [`Error`](error::Error)
//!   is ours and becomes a retry; a [`Sensitive`](sensitive::Sensitive) is nobody's to read.
//! - [`engine`]: the pipeline that every kind shares, on one screen in
//!   [`engine::reconcile`]. It knows kinds only through the [`Kind`](engine::Kind) trait.
//! - [`net`]: connections to the outside, one way for all: resolve, permit, connect (perhaps through a proxy), encrypt. Names are looked up as
//!   the pods of the resource's namespace do, and certificates are judged as Go judges them.
//! - [`instance`]: W&B Server as programs talk to it, and the judgement of its answers.
//! - [`workloads`]: the workloads that published values are delivered to, and what becomes of a rollout.
//!   `engine::delivery` decides what goes there.
//! - [`issuer`]: what every kind asks of an issuer of tokens.
//! - [`ldap`], [`oidc`], [`jwt`], [`service_account`]: a slice a kind, from its spec to its checks and
//!   its values.
//! - [`operator`]: the process, from a cluster's address to running controllers; beside it
//!   [`api_server`], [`leader`], [`server`], [`engine::metrics`], [`open_files`] and [`telemetry`].
//!
//! No folder needs one that needs it, the engine knows no kind, and a type is defined once: `tests/it/house.rs` says so.
//! Further places:
//!
//! - [`import`]: from the settings of a running server back to the resources that say the same, or to their checks.
//! - [`probe`]: checks from a pod like the server's: the pod, and the verdict that it leaves.
//! - [`cli`]: the command line. `check` runs the engine's own steps without a cluster; `login` tries a person's login by the
//!   same ones; `status` shows what the operator wrote into one, beside what the pods run with.
//!
//! Outside of `src`: `charts` has the Helm chart, whose definitions this crate generates and whose default
//! rendering is `deploy/operator.yaml`; `image` makes the container image; `gitops` has what Argo CD and Flux need
//! to know; `tests/it` is the integration tests, `tests/e2e` the story on a real node, and `tests/support` what
//! both stand on.
//!
//! Invariants, each with the tests that would fail without it (`tests/it` by the name of the module there, else a
//! module of `src`):
//!
//! - Values whose checks failed never replace values whose checks passed. `publishPolicy: Always` is the user's own
//!   wish to the contrary, and even then a login is enforced only once it was verified.
//!   Tests: `engine::publishing::values_that_fail_never_replace_values_that_passed`,
//!   `engine::publishing::always_publishes_what_parses_but_enforces_login_only_once_verified`.
//! - A password that a directory refused, or answered in no clear way, is sent once for an account, whichever
//!   resources have it, until the spec, the contents of the Secret or the re-check annotation of one of them changes,
//!   also after a restart; one that has passed before, seldom. What the answer was stands in a status before anything
//!   else is written, so that only a process that ends between the answer and this write leaves a second try to the
//!   next one. (Its memory holds the answers to 4096 credentials; a Secret that is deleted and made again while no
//!   operator runs counts as changed.)
//!   Tests: `ldap::lockout::a_locked_account_is_tried_once_over_two_intervals`,
//!   `engine::credentials::a_wrong_password_is_sent_once_for_all_who_have_it`,
//!   `engine::credentials::who_is_killed_after_a_status_has_told_all_who_come_after`,
//!   `engine::refusals::credentials_that_were_refused_are_sent_once_although_no_status_is_taken`.
//! - `login` sends a person's password once, and neither an empty one nor one for a name that several entries or none
//!   have. It takes no answer of a provider that belongs to another login, and prints nothing that somebody could use.
//!   Tests: `login::directory::a_refused_password_is_sent_once`, `login::directory::an_empty_password_is_never_sent`,
//!   `login::directory::nothing_is_sent_for_nobody_or_for_several`,
//!   `login::provider::an_answer_to_another_login_is_not_taken`.
//! - An API key is revoked only when another one is published and the time to take that up is over.
//!   Tests: `service_account::rotation::a_key_is_replaced_in_time_and_the_old_one_revoked_after_the_overlap`,
//!   `service_account::crashes::whatever_request_is_the_last_one_key_is_left`.
//! - Unchanged inputs lead to no write, apart from the time of the last check, once an hour at most; and the operator's
//!   own writes lead to no check.
//!   Tests: `engine::requests::nothing_is_written_in_a_minute_apart_from_the_lease`.
//! - A status is written only over one that this process has seen, and one that somebody else wrote is mended at once,
//!   a few times; who goes on writing it is mended whenever the operator looks anyway.
//!   Tests: `engine::statuses::a_leader_that_was_paused_writes_no_old_status`,
//!   `engine::statuses::what_somebody_else_wrote_is_mended_by_the_change_itself`, `engine::statuses::two_writers_make_no_storm`.
//! - A status names the Secrets and ConfigMaps that it speaks of, at the versions that were read: nothing says Ready of
//!   one that was not looked at yet.
//!   Tests: `engine::kubectl::a_script_can_wait_for_a_changed_secret`.
//! - W&B Server is a Go program: what Go's libraries make of certificates, documents, keys, tokens and directories
//!   is the verdict, and tests compare both.
//!   Tests: `trust::chains::every_chain_is_judged_as_go_judges_it`, `trust::bundles::every_bundle_is_read_as_go_reads_it`,
//!   `oidc::opinion::documents_are_judged_as_go_judges_them`, `jwt::opinion::tokens_are_judged_as_go_judges_them`.
//! - A secret leaves this process in the published Secret and in the protocol that needs it, and
//!   nowhere else: the type that holds it cannot be printed, and messages are searched for it.
//!   Tests: `engine::secrecy::planted_secrets_appear_nowhere_outside_secrets`,
//!   `service_account::secrecy::keys_appear_nowhere_outside_secrets`,
//!   `service_account::federated::secrecy::tokens_appear_nowhere_outside_secrets`.
//! - What a remote side sends is limited in size before it is parsed, what all of them send together has a budget
//!   of memory, and nothing that they send can end the process.
//!   Tests: `ldap::hostile::huge_answers_are_not_read`, `ldap::hostile::well_formed_nonsense_harms_nobody`,
//!   `oidc::documents::answers_that_are_no_document_are_told_apart`,
//!   `engine::memory::fifty_servers_that_answer_as_much_as_is_allowed_do_not_end_the_process`.
//! - Neither a namespace nor a server that hangs can take what another one needs: runs, turns at the API server and
//!   the memory for answers are had in fair shares, of which nobody takes more than they leave.
//!   Tests: `engine::fair_shares::a_hundred_black_holes_delay_nobody`.
//! - A change of an object has those resources run that refer to it or publish it, found without looking at all of
//!   them, and no others; what a run has read or written itself has nobody run.
//!   Tests: `engine::request_counts::a_change_has_those_run_whom_it_concerns_and_nobody_else`,
//!   `engine::request_counts::every_kind_becomes_ready_with_the_requests_that_are_listed`.
//! - After a restart, what an earlier process has proven not to be due is checked at its own point of its interval.
//!   Tests: `engine::restarts::a_restart_makes_no_check_that_is_not_due_and_writes_nothing`.
//! - A document that resources share is no older than the interval of the one that uses it, and each uses it once. The
//!   first failure of the same request ends it for all, and who is asked for a look asks anew.
//!   Tests: `engine::shared_answers::nobody_is_ready_by_an_answer_that_another_resource_cannot_get_any_more`,
//!   `engine::shared_answers::who_asks_for_a_look_gets_one_and_others_share_what_it_found`,
//!   `engine::shared_answers::every_look_of_a_resource_sees_something_new`.
//! - With `checkFrom: ServerPod`, nothing is published before a pod like the server's has proven it. A resource never has
//!   two such pods, none gets traffic or a token, and nothing is left of them; a password that one was refused is sent
//!   by no other.
//!   Tests: `server_pods::verdicts::what_only_the_operator_reaches_is_not_published`,
//!   `server_pods::crashes::whatever_write_is_the_last_nothing_is_left_and_the_end_is_the_same`,
//!   `server_pods::admission::the_pod_is_restricted_owned_and_gets_no_traffic`,
//!   `server_pods::passwords::a_wrong_password_is_sent_by_one_pod_for_all_who_have_it`.
//! - A connection goes to an address that the egress policy has seen, and no redirect is followed.
//!   Tests: `engine::checking::an_address_that_egress_forbids_is_never_connected_to`,
//!   `oidc::documents::a_redirect_is_told_and_not_followed`.
//! - Behind a proxy, what can be looked up is judged before the proxy is asked, and what the egress policy refuses is not
//!   asked for. Proxies are read as Go reads them, LDAP and the pod's own API server are reached directly, and a proxy's
//!   credentials go to nobody else.
//!   Tests: `proxies::egress::forbidden_addresses_and_names_are_not_asked_of_a_proxy`,
//!   `proxies::settings::the_variables_are_read_as_go_reads_them`,
//!   `proxies::checks::through_a_proxy_that_wants_credentials`.
//! - Secrets and ConfigMaps are watched as metadata; their contents are read at use and kept only
//!   as the values that were verified last.
//!   Tests: `engine::requests::secrets_and_config_maps_are_watched_as_metadata_and_read_by_name`.
//! - A Secret that is not the resource's own is never written.
//!   Tests: `engine::publishing::somebody_elses_secret_is_left_alone`,
//!   `delivery::workloads::a_secret_that_is_named_like_a_revision_is_somebody_elses`.
//! - A target refers to immutable revisions of the published Secret, and none goes while a pod or a pod
//!   template refers to it. Every step of a delivery is one write that follows from what the cluster holds,
//!   so a process that is killed leaves nothing that the next one cannot finish.
//!   Tests: `delivery::revisions::revisions_are_kept_as_long_as_anything_makes_pods_of_them`,
//!   `delivery::crashes::whatever_write_is_the_last_the_end_is_the_same`.
//! - Every request to the API server has a time limit, a run that waits for an answer holds nobody else up, and the
//!   process ends within five seconds of SIGTERM. The Lease is given up only once nothing of it can write any more.
//!   Tests: `engine::outages::reads_that_hang_hold_nobody_else_up`, `engine::stopping::while_the_api_server_hangs`,
//!   `engine::stopping::while_a_write_hangs_the_lease_is_left_to_expire`.
//! - A revision that did not work in the pods is not tried again before a person changes something.
//!   Tests: `delivery::deadlines::a_failed_revision_is_tried_again_when_a_person_changes_something`.
//! - No way leads back to values that do not work at the servers any more. While a server does not answer, its earlier
//!   values count as working.
//!   Tests: `delivery::no_way_back::a_password_that_was_rotated_and_revoked_is_no_way_back`,
//!   `delivery::no_way_back::a_directory_that_is_down_keeps_nobody_from_going_back`.
//! - What a program in a pod wrote stays there.
//!   Tests: `delivery::rollback::a_crashing_configuration_is_rolled_back`.
//! - One resource decides at a target at a time, and an entry of anybody else is never changed, unless `spec.target.adopt`
//!   asks for that. One that works is displaced only by one that works, by one change of the target, and one that
//!   cannot be read keeps what it has.
//!   Tests: `delivery::precedence::the_next_of_a_kind_takes_over_without_a_gap`,
//!   `delivery::claims::an_older_provider_that_was_never_verified_takes_nothing`,
//!   `delivery::claims::a_deletion_while_nobody_was_there_waits_for_the_successor`,
//!   `delivery::claims::what_cannot_be_read_keeps_its_place_and_takes_none`,
//!   `delivery::adoption::refusals::with_never_every_entry_is_named_and_none_is_touched`.
//! - There is no webhook, no cluster-wide right unless somebody asks for every namespace, and a finalizer only where a key was made at W&B
//!   Server, or a target has entries, that must go with their resource. In a namespace that is being deleted there is
//!   none, so that it ends although the operator's rights end with it.
//!   Tests: `chart::rendering::values_lead_to_these_objects`, `chart::rendering::nobody_gets_what_the_security_rules_forbid`,
//!   `engine::requests::every_right_is_used_and_every_use_is_granted`,
//!   `engine::publishing::deleting_removes_or_retains_the_secret`, `engine::ending_namespaces::with_the_operator_inside`.
//! - What cannot be undone, such as a key's end, goes by the API server's time and by the time that this process has
//!   seen pass, never by a clock that has just jumped.
//!   Tests: `service_account::clocks::the_machines_clock_is_a_day_ahead`,
//!   `service_account::clocks::the_api_servers_clock_is_a_day_ahead`.
//! - No token that the API server itself accepts is published, and no resource leads the operator to the API server.
//!   Tests: `service_account::federated::kubernetes::no_token_opens_the_api_server`,
//!   `engine::checking::the_api_servers_own_address_is_closed_and_so_is_all_while_it_is_unknown`.

pub mod api;
pub mod api_server;
pub mod cli;
pub mod engine;
pub mod error;
pub mod import;
pub mod instance;
pub mod issuer;
mod jitter;
pub mod jwt;
pub mod ldap;
pub mod leader;
pub mod login;
pub mod net;
pub mod oidc;
pub mod open_files;
pub mod operator;
pub mod probe;
pub mod problem;
pub mod quoting;
pub mod references;
pub mod sensitive;
pub mod server;
pub mod service_account;
mod shares;
pub mod similar;
pub mod telemetry;
pub mod text;
pub mod token;
pub mod values;
pub mod workloads;
