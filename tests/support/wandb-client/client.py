# The real W&B client of the tests: `python client.py ACTION ANSWER`, where ANSWER is the file for what
# came of it. The actions are in src/wandb_client.rs; the environment says with which server and as whom.
import json
import sys

import wandb


def login():
    return {"loggedIn": wandb.login(verify=True, prompt=False)}


def viewer():
    found = wandb.Api().viewer
    return {
        "username": found.username,
        "entity": found.entity,
        "email": found.email,
        "admin": found.admin,
        "teams": found.teams,
        "apiKeys": found.api_keys,
    }


action, answer = sys.argv[1:]
try:
    outcome = {"ok": {"login": login, "viewer": viewer}[action]()}
except Exception as error:
    outcome = {"error": f"{type(error).__name__}: {error}"}
with open(answer, "w") as file:
    json.dump(outcome, file)
