//! Real components and hostile servers for the tests of wandb-auth-operator.
