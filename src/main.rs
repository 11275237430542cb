//! The `wandb-auth-operator` command.
fn main() {
    for crd in wandb_auth_operator::api::custom_resource_definitions() {
        println!("---\n{}", serde_yaml::to_string(&crd).unwrap());
    }
}
