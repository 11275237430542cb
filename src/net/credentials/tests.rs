use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use tokio::sync::Barrier;

use super::*;
use crate::{
    api::Reason,
    net::{EgressPolicy, Host, SharedNetwork},
};

/// A server that answers after a moment, and counts the requests.
struct Server {
    network: Arc<SharedNetwork>,
    tries: AtomicUsize,
}

impl Server {
    fn new() -> Self {
        let network = Arc::new(SharedNetwork::new(EgressPolicy::Unrestricted));
        Self { network, tries: AtomicUsize::new(0) }
    }

    async fn send(&self, login: &Login, terms: Terms, is_right: bool) -> Result<(), Problem> {
        let moment = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.send_and_await(moment, login, terms, is_right).await
    }

    /// The same, where the server answers after this pause.
    async fn send_and_await(
        &self,
        pause: impl Future<Output = ()>,
        login: &Login,
        terms: Terms,
        is_right: bool,
    ) -> Result<(), Problem> {
        let send = async {
            self.tries.fetch_add(1, Ordering::SeqCst);
            pause.await;
            if is_right { Ok(()) } else { Err(Problem::new(Reason::InvalidCredentials, "No.")) }
        };
        self.network.seen_from("team").on_terms(terms).send_once(login, send, said).await
    }

    fn tries(&self) -> usize {
        self.tries.load(Ordering::SeqCst)
    }
}

fn said(outcome: Result<&(), &Problem>) -> Said {
    if outcome.is_ok() { Said::Accepted } else { Said::Refused }
}

fn login(account: &str, secret: &str) -> Login {
    Login {
        server: Endpoint { host: Host::parse("ldap.example.com").unwrap(), port: 636 },
        account: account.to_owned(),
        secret: secret.into(),
        consequence: Consequence::Lock,
    }
}

#[tokio::test]
async fn those_that_race_send_wrong_ones_once() {
    let server = Server::new();
    let wrong = login("cn=w", "wrong");
    let outcomes = join_all((0..12).map(|_| server.send(&wrong, Terms::default(), false))).await;
    assert_eq!(server.tries(), 1);
    let told = outcomes.iter().filter(|outcome| {
        outcome.as_ref().is_err_and(|problem| problem.message.contains("they were not sent again"))
    });
    assert_eq!(told.count(), 11);
    // Another password or another account is judged independently.
    server.send(&login("cn=w", "other"), Terms::default(), false).await.unwrap_err();
    server.send(&login("cn=x", "wrong"), Terms::default(), false).await.unwrap_err();
    assert_eq!(server.tries(), 3);
}

#[tokio::test]
async fn right_ones_are_sent_by_all() {
    let server = Server::new();
    let right = login("cn=w", "right");
    let others = Barrier::new(49);
    let pause = || async {
        if server.tries() == 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        } else {
            // They are answered once all of them are sent.
            others.wait().await;
        }
    };
    let sent = (0..50).map(|_| server.send_and_await(pause(), &right, Terms::default(), true));
    let outcomes = tokio::time::timeout(Duration::from_mins(1), join_all(sent)).await;
    assert!(outcomes.expect("one waits for the other").iter().all(Result::is_ok));
    assert_eq!(server.tries(), 50);
}

#[tokio::test]
async fn a_success_ends_the_refusal_for_everybody() {
    let server = Server::new();
    let password = login("cn=w", "password");
    let network = server.network.seen_from("team");
    let refused =
        [network.recall_refusal(&password, Said::Refused, &Problem::new(Reason::AccountLocked, "No."))];
    server.send(&password, Terms::default(), true).await.unwrap_err();
    let acceptances = server.network.credentials.acceptances();
    assert!(!server.network.credentials.were_accepted(&refused));
    let consent = Terms { consent: Consent::Given, ..Terms::default() };
    server.send(&password, consent, true).await.unwrap();
    assert!(server.network.credentials.were_accepted(&refused) && acceptances.has_changed().unwrap());
    server.send(&password, Terms::default(), true).await.unwrap();
    assert_eq!(server.tries(), 2);
}

#[tokio::test]
async fn a_try_that_is_given_up_may_have_been_counted() {
    let server = Server::new();
    let password = login("cn=w", "password");
    let network = server.network.seen_from("team");
    let endless = network.send_once(&password, std::future::pending::<Result<(), _>>(), said);
    assert!(tokio::time::timeout(Duration::from_millis(20), endless).await.is_err());
    assert_eq!(network.usage().refused.len(), 1, "it is worth a look once they are accepted");
    let problem = server.send(&password, Terms::default(), true).await.unwrap_err();
    assert_eq!((problem.reason, server.tries()), (Reason::TimedOut, 0));
}

#[tokio::test]
async fn an_acceptance_that_is_older_than_an_unclear_answer_says_nothing_of_it() {
    let server = Server::new();
    let password = login("cn=w", "password");
    server.send(&password, Terms::default(), true).await.unwrap();
    let network = server.network.seen_from("team");
    let endless = network.send_once(&password, std::future::pending::<Result<(), _>>(), said);
    assert!(tokio::time::timeout(Duration::from_millis(20), endless).await.is_err());
    let refused = network.usage().refused;
    assert_eq!(refused.len(), 1);
    assert!(!server.network.credentials.were_accepted(&refused), "it may not be sent again at once");
    server.send(&password, Terms::default(), true).await.unwrap();
    assert!(server.network.credentials.were_accepted(&refused));
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_first_one_keeps_others_waiting_for_a_while() {
    let server = Server::new();
    let password = login("cn=w", "password");
    let network = server.network.seen_from("team");
    let endless = network.send_once(&password, std::future::pending::<Result<(), _>>(), said);
    let told = tokio::select! {
        biased;
        _ = endless => panic!("it is never answered"),
        outcome = server.send(&password, Terms::default(), true) => outcome.unwrap_err(),
    };
    assert_eq!((told.reason, server.tries()), (Reason::AwaitingAnswer, 0));
}

#[tokio::test]
async fn who_begins_waits_for_what_statuses_tell() {
    let server = Server::new();
    let password = login("cn=w", "password");
    let credentials = &server.network.credentials;
    let recall = credentials.begin_recall();
    let early = server.network.seen_from("team");
    let waits = early.send_once(&password, async { Ok(()) }, said);
    {
        let mut waits = std::pin::pin!(waits);
        assert!(tokio::time::timeout(Duration::from_millis(20), waits.as_mut()).await.is_err());
        assert!(early.awaits_others(), "nothing was sent, which is no answer");
    }
    assert!(!early.awaits_others() && early.usage().refused.is_empty());
    let ((), outcome) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            let problem = Problem::new(Reason::InvalidCredentials, "No.");
            server.network.seen_from("team").recall_refusal(&password, Said::Refused, &problem);
            credentials.end_recall(recall);
        },
        server.send(&password, Terms::default(), true)
    );
    assert!(outcome.is_err());
    assert_eq!(server.tries(), 0);
}

#[test]
fn only_so_many_are_remembered_and_refusals_longest() {
    let credentials = Credentials::default();
    let digest = |number: usize| credentials.digest(["server", &number.to_string(), "secret"]);
    let problem = Problem::new(Reason::InvalidCredentials, "No.");
    credentials.end(digest(0), Said::Refused, Some(&problem));
    for number in 1..=MOST_ENTRIES + 10 {
        credentials.end(digest(number), Said::Accepted, None);
    }
    assert_eq!(credentials.entries().len(), MOST_ENTRIES);
    assert!(credentials.entries().contains_key(&digest(0)));
    assert!(!credentials.entries().contains_key(&digest(1)));
}

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_a_pod_sends_nobody_else_sends_until_it_has_answered() {
    let server = Server::new();
    let network = server.network.seen_from("team");
    let shared = login("cn=w", "shared");
    network.begin_elsewhere(&shared, LIMIT).await.unwrap();
    assert_eq!(network.begin_elsewhere(&shared, LIMIT).await.unwrap_err().reason, Reason::AwaitingAnswer);
    network.end_elsewhere(&shared, Said::Refused, Some(&Problem::new(Reason::InvalidCredentials, "No.")));
    let known = network.begin_elsewhere(&shared, LIMIT).await.unwrap_err();
    assert!(known.reason == Reason::InvalidCredentials && known.message.contains("were not sent again"));
    server.send(&shared, Terms::default(), true).await.unwrap_err();
    assert_eq!(server.tries(), 0);
}

#[tokio::test]
async fn a_pod_that_never_answers_holds_nobody_up_for_ever() {
    let server = Server::new();
    let network = server.network.seen_from("team");
    let (given_up, forgotten) = (login("cn=w", "a"), login("cn=w", "b"));
    network.begin_elsewhere(&given_up, LIMIT).await.unwrap();
    network.release_elsewhere(&given_up);
    server.send(&given_up, Terms::default(), true).await.unwrap();
    network.begin_elsewhere(&forgotten, Duration::ZERO).await.unwrap();
    server.send(&forgotten, Terms::default(), true).await.unwrap();
    // Credentials that were accepted delay nobody.
    network.begin_elsewhere(&given_up, LIMIT).await.unwrap();
    server.send(&given_up, Terms::default(), true).await.unwrap();
    assert_eq!(server.tries(), 3);
}
