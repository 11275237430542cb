//! The way of a request: recorded, announced, broken or performed, announced again, answered.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::call::{Call, Hooks, Phase};
use super::caller::Caller;
use super::fault::{Fault, FaultPlan, errors};
use super::graphql::{self, Operation};
use super::state::State;
use super::{exchange, operations, schema};
use crate::hostile::{Request, Response};

/// What the server and the test share. No lock is held while a hook runs, so hooks may ask the server.
#[derive(Debug)]
pub(super) struct Serving {
    state: Mutex<State>,
    faults: Mutex<FaultPlan>,
    hooks: Mutex<Hooks>,
    calls: Mutex<Vec<Call>>,
}

impl Serving {
    pub(super) fn new(key_prefix: String, lists_whole_keys: bool) -> Self {
        Self {
            state: Mutex::new(State::new(key_prefix, lists_whole_keys)),
            faults: Mutex::default(),
            hooks: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, FaultPlan> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answer(&self, request: &Request) -> Response {
        let path = request.path.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path) {
            ("POST", "/graphql") => self.graphql(request),
            ("POST", exchange::PATH) => {
                let call = call(request, exchange::claimed_subject(&request.body), path);
                self.handle(&call, || exchange::exchange(&mut self.state(), &request.body))
            }
            ("GET", "/healthz") => self.handle(&call(request, None, path), || Response::status(200, "ok")),
            _ => self.handle(&call(request, None, path), || Response::status(404, "404 page not found")),
        }
    }

    fn graphql(&self, request: &Request) -> Response {
        let caller = Caller::identify(&self.state(), request.header("authorization"));
        let known = caller.as_ref().ok().and_then(Caller::username).map(str::to_owned);
        match read_operation(&request.body) {
            Err(message) => self
                .handle(&call(request, known, "/graphql"), || Response::json_status(400, &errors(&message))),
            Ok(operation) => {
                let mut call = call(request, known, &operation.root.name);
                call.arguments = Value::Object(operation.root.arguments.clone());
                self.handle(&call, || match caller {
                    Err(message) => Response::json_status(401, &errors(&message)),
                    Ok(caller) => self.perform(&caller, &operation),
                })
            }
        }
    }

    fn perform(&self, caller: &Caller, operation: &Operation) -> Response {
        match operations::perform(self, caller, &operation.root) {
            Ok(result) => {
                let alias = operation.root.alias.clone();
                Response::json(&json!({ "data": { alias: operation.root.project(&result) } }))
            }
            Err(message) => Response::json(&errors(&message)),
        }
    }

    fn handle(&self, call: &Call, perform: impl FnOnce() -> Response) -> Response {
        self.calls().push(call.clone());
        let hook = self.hooks().on_request.clone();
        let announce = |phase| {
            if let Some(hook) = &hook {
                hook(call, phase);
            }
        };
        announce(Phase::Before);
        let fault = self.faults().next(&call.operation);
        let response = match fault {
            None => perform(),
            Some(fault) => {
                if fault == Fault::CloseAfterPerforming {
                    drop(perform());
                }
                fault.response()
            }
        };
        announce(Phase::After);
        response
    }
}

fn call(request: &Request, account: Option<String>, operation: &str) -> Call {
    Call {
        account,
        operation: operation.to_owned(),
        arguments: Value::Null,
        headers: request.headers.clone(),
    }
}

/// The operation of a request, checked like the real server does before it does anything.
fn read_operation(body: &str) -> Result<Operation, String> {
    let body: Value = serde_json::from_str(body).map_err(|_| "The body is no JSON.".to_owned())?;
    let query = body.get("query").and_then(Value::as_str).ok_or("Must provide query string.")?;
    let variables = body.get("variables").cloned().unwrap_or_default();
    let operation = graphql::parse(query, &variables)?;
    schema::validate(operation.root_type, &operation.root)?;
    Ok(operation)
}
